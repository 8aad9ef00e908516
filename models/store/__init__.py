"""Prepared models on disk: from a name to a directory, what may be in it, and who uses it."""

from models.store.lookup import (
    BUNDLED_DIRECTORY,
    CONFIG_NAME,
    DEFAULT_MODELS_DIR,
    MODEL_NAME,
    TOKENIZER_NAME,
    ModelEntry,
    StoredModel,
    entries,
    find,
    removable,
    remove,
)

__all__ = [
    "BUNDLED_DIRECTORY",
    "CONFIG_NAME",
    "DEFAULT_MODELS_DIR",
    "MODEL_NAME",
    "TOKENIZER_NAME",
    "ModelEntry",
    "StoredModel",
    "entries",
    "find",
    "removable",
    "remove",
]
