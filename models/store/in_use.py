"""Who uses a prepared model: a worker locks its manifest, and the kernel gives that back when the worker has ended."""

from __future__ import annotations

import contextlib
import fcntl
from pathlib import Path
from typing import IO

from models.store.contents import MANIFEST_NAME

__all__ = ["announce_use", "is_in_use"]


def announce_use(directory: Path) -> IO[bytes] | None:
    """Say that this process, and those that it forks, use a model for as long as any of them has the file open.

    Returns:
        The open manifest, to be kept; None where the file system has no locks: then nobody is told.
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
    """Whether a process of this host has said that it uses this model."""
    with contextlib.suppress(FileNotFoundError, PermissionError), (directory / MANIFEST_NAME).open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        except OSError:
            return False
    return False
