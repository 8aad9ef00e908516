"""Swapping two directories atomically (``renameat2`` with ``RENAME_EXCHANGE``, Linux 3.15)."""

from __future__ import annotations

import ctypes
import os
from pathlib import Path

__all__ = ["swap_directories"]

_AT_FDCWD = -100
_RENAME_EXCHANGE = 2


def swap_directories(one: Path, other: Path) -> bool:
    """Swap two paths in one step.

    Returns:
        Whether they were swapped; False if the system or the file system does not support it, or one does not exist.
    """
    rename = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if rename is None:
        return False
    status = rename(_AT_FDCWD, os.fsencode(one), _AT_FDCWD, os.fsencode(other), _RENAME_EXCHANGE)
    return bool(status == 0)
