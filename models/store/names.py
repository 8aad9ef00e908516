"""Valid model names. A name becomes a directory, part of a queue's name, and a word on a command line."""

from __future__ import annotations

import re

from models.errors import InvalidNameError
from producer.contract import MAX_MODEL_NAME_CHARACTERS

__all__ = ["check_name", "is_path"]

_NAME = re.compile(rf"[A-Za-z0-9][A-Za-z0-9._-]{{0,{MAX_MODEL_NAME_CHARACTERS - 1}}}")


def is_path(name: str) -> bool:
    """Whether the text is the path of a prepared directory rather than a name."""
    return "/" in name


def check_name(name: str) -> None:
    """Check that a text is a valid model name.

    Raises:
        InvalidNameError: it is empty, too long, or contains a character that is not allowed.
    """
    if not _NAME.fullmatch(name):
        raise InvalidNameError(
            f"{name!r} cannot be the name of a model: a name has 1 to {MAX_MODEL_NAME_CHARACTERS} letters, digits, "
            f"'.', '_' and '-', and begins with a letter or a digit"
        )
