"""The type of directories in settings: ``~`` is the home directory, if there is one."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator

__all__ = ["Directory"]

#: A directory that does not exist and cannot be created. ``models.store.home``, which this package must not import,
#: uses the same one.
_NO_HOME = Path("/nonexistent")


def _expand_home(path: Path) -> Path:
    """Replace a leading ``~``. Also works for a user without a home directory, as in a container.

    Raises:
        ValueError: the path begins with ``~name``, and there is no user of that name.
    """
    try:
        return path.expanduser()
    except RuntimeError:
        first, *rest = path.parts
        if first != "~":
            raise ValueError(f"there is no user {first[1:]!r}, so {first} is not a directory") from None
        return _NO_HOME.joinpath(*rest)


Directory = Annotated[Path, AfterValidator(_expand_home)]
