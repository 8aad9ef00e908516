"""The licence that a model's card names."""

from __future__ import annotations

from pathlib import Path

from models.store.contents import CARD_NAME

__all__ = ["UNKNOWN_LICENCE", "read_licence"]

UNKNOWN_LICENCE = "unknown"


def read_licence(directory: Path) -> str:
    """The ``license`` in the front matter of ``README.md``, as the hub reads it; ``unknown`` if there is none."""
    path = directory / CARD_NAME
    if not path.is_file():
        return UNKNOWN_LICENCE
    from huggingface_hub import ModelCard
    from yaml import YAMLError

    try:
        data = ModelCard.load(path).data
    except (OSError, ValueError, YAMLError):
        return UNKNOWN_LICENCE
    licence = data.get("license_name") or data.get("license")
    return ", ".join(map(str, licence)) if isinstance(licence, list) else str(licence or UNKNOWN_LICENCE)
