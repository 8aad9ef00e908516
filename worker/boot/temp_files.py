"""A worker that is killed leaves nothing in the temporary directory."""

from __future__ import annotations

import multiprocessing
import tempfile
from typing import Any

__all__ = ["make_no_temp_dir"]


def make_no_temp_dir() -> None:
    """Have billiard put its files straight into the temporary directory of the system.

    Billiard maps a file for each pool process and deletes it at once, but in a directory ``pymp-*`` that only an
    orderly exit removes. A file that is deleted at once needs no directory of its own, and without one a SIGKILL
    leaves nothing behind. Call it before the pool is made: pool processes inherit the setting.
    """
    process: Any = multiprocessing.current_process()
    process._config.setdefault("tempdir", tempfile.gettempdir())  # noqa: SLF001 - there is no other way
