"""Which models are in use: a worker locks their manifests, and the kernel releases the locks when it ends."""

from __future__ import annotations

import contextlib
import fcntl
from pathlib import Path
from typing import IO

from models.store.contents import MANIFEST_NAME

__all__ = ["announce_use", "is_in_use"]


def announce_use(directory: Path) -> IO[bytes] | None:
    """Mark a model as in use for as long as this process, or one that it forks, keeps the returned file open.

    Args:
        directory: the model's directory.

    Returns:
        The open, locked manifest. None if it cannot be opened or the file system has no locks; the model is then not
        reported as in use.
    """
    try:
        file = (directory / MANIFEST_NAME).open("rb")
    except OSError:
        return None
    try:
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        file.close()
        return None
    return file


def is_in_use(directory: Path) -> bool:
    """Whether a process on this host has marked the model in this directory as in use."""
    with contextlib.suppress(FileNotFoundError, PermissionError), (directory / MANIFEST_NAME).open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        except OSError:
            return False
    return False
