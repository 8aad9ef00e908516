"""Compiled models on disk, mapped by every process on this host that runs them.

OpenVINO's own cache (``CACHE_DIR``) writes files in place, where another process may be reading, and does not check
that they are complete. Here a file appears in one step, ends with its checksum, and is named for everything that it
depends on.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from models.engine.cache_files import CacheFile, cache_path

__all__ = ["Blob", "CompiledFile", "compiled_file", "delete_compiled"]

logger = logging.getLogger(__name__)

#: A compiled model as OpenVINO exports it, of shape (bytes,).
Blob = np.ndarray[tuple[int], np.dtype[np.uint8]]

_SUFFIX = ".blob"
_DIGEST_BYTES = hashlib.sha256().digest_size
#: How long to wait for another process to compile a model before compiling it without the cache.
_WAIT_S = 20.0


class CompiledFile(CacheFile):
    """The cache file of one compiled model."""

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
        self.mark_used()
        return blob

    def write(self, blob: memoryview) -> None:
        """Write a compiled model with its checksum; the file appears in one step.

        Raises:
            OSError: the file cannot be written.
        """
        self._write_in_one_step(blob, hashlib.sha256(blob).digest())

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
            with self.locked(_WAIT_S):
                blob = self.read()
                if blob is None:
                    self.write(compile_model())
                    blob = self.read()
                return blob
        except OSError as error:
            logger.warning("compiled models cannot be kept in %s: %s", self.path.parent, error)
            return None


def compiled_file(directory: Path, revision: str, openvino_version: str, options: Mapping[str, Any]) -> CompiledFile:
    """The cache file of a model as it is compiled on this host.

    Args:
        directory: of the cache.
        revision: identifies the exact model files.
        openvino_version: the version that compiles the model.
        options: the compile options.
    """
    return CompiledFile(cache_path(directory, revision, openvino_version, options, _SUFFIX))


def delete_compiled(directory: Path, revision: str) -> None:
    """Delete everything that was compiled from or measured on one revision of a model, for any CPU."""
    for pattern in (f"{revision}-*", f".{revision}-*"):
        for path in directory.glob(pattern):
            with contextlib.suppress(OSError):
                path.unlink()
