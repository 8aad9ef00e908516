"""Compiled models on disk, mapped by every process of this host that runs them.

OpenVINO's own cache (``CACHE_DIR``) writes in place, where another process may be reading, and takes what it finds for
whole. Here a file appears in one step, ends with its checksum, and is named for everything that it depends on.
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

__all__ = ["DEFAULT_CACHE_DIR", "Blob", "CompiledFile", "compiled_file", "forget"]

logger = logging.getLogger(__name__)

#: A compiled model as OpenVINO exports it, one byte an element.
Blob = np.ndarray[tuple[int], np.dtype[np.uint8]]

DEFAULT_CACHE_DIR = Path("~/.cache/celeriac/compiled")
_SUFFIX = ".blob"
_DIGEST_BYTES = hashlib.sha256().digest_size
#: Another process compiles for so long at most; then this one does it for itself.
_WAIT_S, _POLL_S = 20.0, 0.05
#: What nobody has used for so long is deleted when something is added.
_KEPT_S = 30 * 24 * 3600.0
_CPUINFO = Path("/proc/cpuinfo")
#: What tells two types of CPU apart; a number of a core or its clock does not.
_CPU_FACTS = ("vendor_id", "cpu family", "model", "model name", "stepping", "flags", "Features", "CPU implementer")


class CompiledFile:
    """The place of one compiled model in the cache."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def read(self) -> Blob | None:
        """Map the compiled model; None where there is none, or a damaged one.

        Pages that nobody writes to are the page cache's, which all processes share.
        """
        try:
            # A copy on write: OpenVINO takes memory that it may write to, and copies any other.
            mapped = np.memmap(self.path, dtype=np.uint8, mode="c")
        except (OSError, ValueError):
            return None
        blob = mapped[:-_DIGEST_BYTES]
        if hashlib.sha256(blob.data).digest() != mapped[-_DIGEST_BYTES:].tobytes():
            logger.warning("%s is damaged: the model is compiled again", self.path)
            self.discard()
            return None
        with contextlib.suppress(OSError):
            os.utime(self.path)
        return blob

    def write(self, blob: memoryview) -> None:
        """Put a compiled model in place, in one step.

        Raises:
            OSError: it cannot be written.
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
        """Delete it, if it is there."""
        with contextlib.suppress(OSError):
            self.path.unlink()

    def read_or_fill(self, compile_model: Callable[[], memoryview]) -> Blob | None:
        """Map the compiled model; whoever comes first makes it, while others wait.

        Args:
            compile_model: gives what shall be kept.

        Returns:
            None where it cannot be kept: no space, a read-only directory, or somebody who does not get done.
        """
        found = self.read()
        if found is not None:
            return found
        try:
            with self._alone():
                found = self.read()
                if found is None:
                    self._delete_abandoned()
                    self.write(compile_model())
                    found = self.read()
                return found
        except OSError as error:
            logger.warning("compiled models cannot be kept in %s: %s", self.path.parent, error)
            return None

    @property
    def _temporary_prefix(self) -> str:
        return f".{self.path.stem}-"

    def _delete_abandoned(self) -> None:
        """Delete what killed processes were writing; only the holder of the lock writes, and that is this process."""
        for path in self.path.parent.glob(f"{self._temporary_prefix}*"):
            with contextlib.suppress(OSError):
                path.unlink()

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        """Hold the lock of this file, which the kernel gives back should this process die.

        Raises:
            OSError: there is no lock to be had, or not in time.
        """
        self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        give_up_s = time.monotonic() + _WAIT_S
        with self.path.with_suffix(".lock").open("wb") as file:
            while True:
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    if time.monotonic() > give_up_s:
                        raise TimeoutError(f"another process holds {file.name}") from None
                    time.sleep(_POLL_S)
            yield


def compiled_file(directory: Path, revision: str, openvino: str, options: Mapping[str, Any]) -> CompiledFile:
    """The place of a model as it is compiled here.

    Args:
        directory: of the cache.
        revision: of the model: names exactly its files.
        openvino: version that compiles it.
        options: with which it is compiled.
    """
    depends_on = {"openvino": openvino, "options": dict(options), "cpu": _cpu_facts(), "machine": platform.machine()}
    key = hashlib.sha256(json.dumps(depends_on, sort_keys=True, default=str).encode()).hexdigest()[:16]
    return CompiledFile(directory / f"{revision}-{key}{_SUFFIX}")


def forget(directory: Path, revision: str) -> None:
    """Delete whatever was compiled from these files, for whichever CPU."""
    for pattern in (f"{revision}-*", f".{revision}-*"):
        for path in directory.glob(pattern):
            with contextlib.suppress(OSError):
                path.unlink()


def _cpu_facts() -> dict[str, str]:
    try:
        first, *_ = _CPUINFO.read_text(encoding="utf-8").split("\n\n")
    except OSError:
        return {"processor": platform.processor()}
    pairs = (line.partition(":") for line in first.splitlines())
    return {name.strip(): value.strip() for name, _, value in pairs if name.strip() in _CPU_FACTS}


def _delete_unused(directory: Path) -> None:
    oldest_s = time.time() - _KEPT_S
    for path in directory.iterdir():
        with contextlib.suppress(OSError):
            if path.stat().st_mtime < oldest_s:
                path.unlink()
