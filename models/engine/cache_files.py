"""Files that processes on one host share: named for what they depend on, written in one step, made by one process."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from models.engine.cpu import cpu_digest

__all__ = ["CacheFile", "cache_path"]

_POLL_S = 0.05
#: Files that have not been used for this long are deleted when one is added.
_KEPT_S = 30 * 24 * 3600.0
_KEY_CHARACTERS = 16


class CacheFile:
    """One file of the cache; subclasses say what it contains.

    Args:
        path: where the file is, or will be.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def _write_in_one_step(self, *parts: memoryview | bytes) -> None:
        """Write the file under another name, then rename it.

        Raises:
            OSError: the file cannot be written.
        """
        _delete_unused(self.path.parent)
        file, name = tempfile.mkstemp(dir=self.path.parent, prefix=self._temporary_prefix)
        try:
            with open(file, "wb") as temporary:  # noqa: PTH123 - a descriptor
                temporary.writelines(parts)
            Path(name).replace(self.path)
        except OSError:
            Path(name).unlink(missing_ok=True)
            raise

    def discard(self) -> None:
        """Delete the file, if it exists."""
        with contextlib.suppress(OSError):
            self.path.unlink()

    def mark_used(self) -> None:
        """Keep the file from being deleted as unused."""
        with contextlib.suppress(OSError):
            os.utime(self.path)

    @contextlib.contextmanager
    def locked(self, wait_s: float) -> Iterator[None]:
        """Hold the lock of this file. The kernel releases it if the process dies.

        Args:
            wait_s: how long to wait for another process that holds it.

        Raises:
            OSError: the file cannot be locked.
            TimeoutError: another process has held the lock for too long.
        """
        self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        deadline_s = time.monotonic() + wait_s
        with self.path.with_suffix(".lock").open("wb") as file:
            while True:
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    if time.monotonic() > deadline_s:
                        raise TimeoutError(f"another process holds {file.name}") from None
                    time.sleep(_POLL_S)
            self._delete_abandoned()
            yield

    @property
    def _temporary_prefix(self) -> str:
        return f".{self.path.stem}-"

    def _delete_abandoned(self) -> None:
        """Delete half-written files of killed processes. Only the holder of the lock writes: this process."""
        for path in self.path.parent.glob(f"{self._temporary_prefix}*"):
            with contextlib.suppress(OSError):
                path.unlink()


def cache_path(directory: Path, revision: str, openvino_version: str, options: Mapping[str, Any], suffix: str) -> Path:
    """The path of a file that depends on a model, on this type of CPU, on OpenVINO and on options.

    Args:
        directory: of the cache.
        revision: identifies the exact model files.
        openvino_version: the version that compiles the model.
        options: whatever else the file depends on.
        suffix: the end of the name.
    """
    depends_on = {"openvino": openvino_version, "options": dict(options), "cpu": cpu_digest()}
    key = hashlib.sha256(json.dumps(depends_on, sort_keys=True, default=str).encode()).hexdigest()
    return directory / f"{revision}-{key[:_KEY_CHARACTERS]}{suffix}"


def _delete_unused(directory: Path) -> None:
    oldest_s = time.time() - _KEPT_S
    for path in directory.iterdir():
        with contextlib.suppress(OSError):
            if path.stat().st_mtime < oldest_s:
                path.unlink()
