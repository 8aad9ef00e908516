"""The directory of a run."""

from __future__ import annotations

import shutil
from pathlib import Path

__all__ = ["fresh_directory"]


def fresh_directory(path: Path) -> Path:
    """Make an empty directory; what an earlier run has left there goes."""
    shutil.rmtree(path, ignore_errors=True)
    path.mkdir(parents=True)
    return path
