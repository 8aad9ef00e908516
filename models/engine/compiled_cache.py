"""Compiled models on disk, mapped by every process on this host that runs them.

OpenVINO's own cache (``CACHE_DIR``) writes files in place, where another process may be reading, and does not check
that they are complete. Here a file appears in one step, ends with its checksum, and is named for everything that it
depends on.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import logging
import os
import platform
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from models.engine.cpu import cpu_facts

__all__ = ["Blob", "CompiledFile", "compiled_file", "delete_compiled"]

logger = logging.getLogger(__name__)

#: A compiled model as OpenVINO exports it, of shape (bytes,).
Blob = np.ndarray[tuple[int], np.dtype[np.uint8]]

_SUFFIX = ".blob"
_DIGEST_BYTES = hashlib.sha256().digest_size
#: How long to wait for another process to compile a model before compiling it without the cache.
_WAIT_S = 20.0
_POLL_S = 0.05
#: Files that have not been used for this long are deleted when a model is added.
_KEPT_S = 30 * 24 * 3600.0
#: What tells types of CPU apart; the number of a core or its clock do not.
_CPU_FACTS = ("vendor_id", "cpu family", "model", "model name", "stepping", "flags", "Features", "CPU implementer")


class CompiledFile:
    """The cache file of one compiled model."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def read(self) -> Blob | None:
        """Map the compiled model into memory.

        Its pages belong to the page cache, which all processes share, as long as nobody writes to them.

        Returns:
            None if there is no file, or it is damaged; a damaged one is deleted.
        """
        try:
            # Copy-on-write: OpenVINO uses writable memory as it is, and copies read-only memory.
            mapped = np.memmap(self.path, dtype=np.uint8, mode="c")
        except (OSError, ValueError):
            return None
        blob = mapped[:-_DIGEST_BYTES]
        if hashlib.sha256(blob.data).digest() != mapped[-_DIGEST_BYTES:].tobytes():
            logger.warning("%s is damaged: compiling the model again", self.path)
            self.discard()
            return None
        with contextlib.suppress(OSError):
            os.utime(self.path)
        return blob

    def write(self, blob: memoryview) -> None:
        """Write a compiled model; the file appears in one step.

        Raises:
            OSError: the file cannot be written.
        """
        _delete_unused(self.path.parent)
        file, name = tempfile.mkstemp(dir=self.path.parent, prefix=self._temporary_prefix)
        try:
            with open(file, "wb") as temporary:  # noqa: PTH123 - a descriptor
                temporary.write(blob)
                temporary.write(hashlib.sha256(blob).digest())
            Path(name).replace(self.path)
        except OSError:
            Path(name).unlink(missing_ok=True)
            raise

    def discard(self) -> None:
        """Delete the file, if it exists."""
        with contextlib.suppress(OSError):
            self.path.unlink()

    def read_or_compile(self, compile_model: Callable[[], memoryview]) -> Blob | None:
        """Map the compiled model. The first process compiles it while the others wait.

        Args:
            compile_model: returns the compiled model as OpenVINO exports it.

        Returns:
            None if it cannot be kept: the disk is full, the directory is read-only, or another process takes too long.
        """
        blob = self.read()
        if blob is not None:
            return blob
        try:
            with self._locked():
                blob = self.read()
                if blob is None:
                    self._delete_abandoned()
                    self.write(compile_model())
                    blob = self.read()
                return blob
        except OSError as error:
            logger.warning("compiled models cannot be kept in %s: %s", self.path.parent, error)
            return None

    @property
    def _temporary_prefix(self) -> str:
        return f".{self.path.stem}-"

    def _delete_abandoned(self) -> None:
        """Delete half-written files of killed processes. Only the holder of the lock writes: this process."""
        for path in self.path.parent.glob(f"{self._temporary_prefix}*"):
            with contextlib.suppress(OSError):
                path.unlink()

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        """Hold the lock of this file. The kernel releases it if the process dies.

        Raises:
            OSError: the file cannot be locked.
            TimeoutError: another process has held the lock for too long.
        """
        self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        deadline_s = time.monotonic() + _WAIT_S
        with self.path.with_suffix(".lock").open("wb") as file:
            while True:
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    if time.monotonic() > deadline_s:
                        raise TimeoutError(f"another process holds {file.name}") from None
                    time.sleep(_POLL_S)
            yield


def compiled_file(directory: Path, revision: str, openvino_version: str, options: Mapping[str, Any]) -> CompiledFile:
    """The cache file of a model as it is compiled on this host.

    Args:
        directory: of the cache.
        revision: identifies the exact model files.
        openvino_version: the version that compiles the model.
        options: the compile options.
    """
    depends_on = {
        "openvino": openvino_version,
        "options": dict(options),
        "cpu": _cpu_type(),
        "machine": platform.machine(),
    }
    key = hashlib.sha256(json.dumps(depends_on, sort_keys=True, default=str).encode()).hexdigest()[:16]
    return CompiledFile(directory / f"{revision}-{key}{_SUFFIX}")


def delete_compiled(directory: Path, revision: str) -> None:
    """Delete everything that was compiled from one revision of a model, for any CPU."""
    for pattern in (f"{revision}-*", f".{revision}-*"):
        for path in directory.glob(pattern):
            with contextlib.suppress(OSError):
                path.unlink()


def _cpu_type() -> dict[str, str]:
    facts = {name: value for name, value in cpu_facts().items() if name in _CPU_FACTS}
    return facts or {"processor": platform.processor()}


def _delete_unused(directory: Path) -> None:
    oldest_s = time.time() - _KEPT_S
    for path in directory.iterdir():
        with contextlib.suppress(OSError):
            if path.stat().st_mtime < oldest_s:
                path.unlink()
