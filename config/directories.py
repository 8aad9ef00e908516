"""The type of directories in settings: ``~`` is the home directory, if there is one."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator

from config.home import NO_HOME

__all__ = ["Directory"]


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
        return NO_HOME.joinpath(*rest)


Directory = Annotated[Path, AfterValidator(_expand_home)]
