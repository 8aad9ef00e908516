"""Directories in settings: ``~`` is the home directory, where there is one."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator

__all__ = ["Directory"]

#: As in ``models.store.home``, which this package does not import: nothing is there, and nobody may make it.
_NO_HOME = Path("/nonexistent")


def _expand_home(path: Path) -> Path:
    """A path with its ``~`` replaced; also under a uid that has no home directory, in a container."""
    try:
        return path.expanduser()
    except RuntimeError:
        first, *rest = path.parts
        if first != "~":
            raise ValueError(f"there is no user {first[1:]!r}, so {first} is no directory") from None
        return _NO_HOME.joinpath(*rest)


Directory = Annotated[Path, AfterValidator(_expand_home)]
