"""Prepared models on disk: finding them by name, what their directories may contain, and who uses them."""

from models.store.contents import CONFIG_NAME, MODEL_NAME, TOKENIZER_NAME
from models.store.lookup import (
    BUNDLED_DIRECTORY,
    ModelEntry,
    StoredModel,
    find,
    list_entries,
    places,
    removable_directory,
    remove,
)

__all__ = [
    "BUNDLED_DIRECTORY",
    "CONFIG_NAME",
    "MODEL_NAME",
    "TOKENIZER_NAME",
    "ModelEntry",
    "StoredModel",
    "find",
    "list_entries",
    "places",
    "removable_directory",
    "remove",
]
