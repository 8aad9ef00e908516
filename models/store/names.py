"""What a model may be called: a name becomes a directory, part of a queue's name, and a word on a command line."""

from __future__ import annotations

import re

from models.errors import InvalidNameError

__all__ = ["MAX_NAME_CHARACTERS", "check_name", "is_path"]

MAX_NAME_CHARACTERS = 200
_NAME = re.compile(rf"[A-Za-z0-9][A-Za-z0-9._-]{{0,{MAX_NAME_CHARACTERS - 1}}}")


def is_path(name: str) -> bool:
    """Whether it is meant as the path of a prepared directory, and not as a name."""
    return "/" in name


def check_name(name: str) -> None:
    """Check that a model can be called this.

    Raises:
        InvalidNameError: it is too long, or has a character that is not allowed.
    """
    if not _NAME.fullmatch(name):
        raise InvalidNameError(
            f"{name!r} cannot be the name of a model: a name has 1 to {MAX_NAME_CHARACTERS} letters, digits, "
            f"'.', '_' and '-', and begins with a letter or a digit"
        )
