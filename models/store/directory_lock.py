"""A lock on a directory, for processes of one host."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = ["locked_directory"]


@contextmanager
def locked_directory(directory: Path) -> Iterator[None]:
    """Exclude other processes that hold the lock of an existing directory. The kernel releases it if the process dies.

    Raises:
        OSError: the directory cannot be opened.
    """
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
