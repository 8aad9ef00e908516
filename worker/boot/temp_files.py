"""Keeps a killed worker from leaving files in the temporary directory."""

from __future__ import annotations

import multiprocessing
import tempfile
from typing import Any

__all__ = ["use_system_temp_dir"]


def use_system_temp_dir() -> None:
    """Have billiard create its files directly in the system's temporary directory.

    Billiard maps a file for each pool process and unlinks it at once, but creates it in a directory ``pymp-*`` that is
    removed only by an orderly exit. An unlinked file needs no directory of its own, and without one a SIGKILL leaves
    nothing behind. Call this before the pool is made: pool processes inherit the setting.
    """
    process: Any = multiprocessing.current_process()
    process._config.setdefault("tempdir", tempfile.gettempdir())  # noqa: SLF001 - there is no public way
