"""What processes cost, by the kernel's account, and services that run as child processes."""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from examples.local_stack.procfs import open_libraries

__all__ = ["Service", "cpu_seconds", "family", "is_computing", "rss_anon_mib", "threads"]

_TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
_KIB_PER_MIB = 1024
_ROOT = Path(__file__).resolve().parents[1]
#: A process that has one of these mapped is one that computes.
_INFERENCE_LIBRARIES = ("libopenvino.so", "libtorch_cpu")
_STOP_S = 15.0


def family(root: int) -> list[int]:
    """A process and all that descend from it, the ancestors first."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and (fields := _stat(int(entry.name))):
            children.setdefault(int(fields[1]), []).append(int(entry.name))
    found = [root]
    for pid in found:
        found.extend(children.get(pid, ()))
    return found


def cpu_seconds(pids: Iterable[int]) -> float:
    """User and system time of processes together, in seconds; one that has ended counts nothing."""
    ticks = 0
    for pid in pids:
        if fields := _stat(pid):
            ticks += int(fields[11]) + int(fields[12])
    return ticks / _TICKS_PER_SECOND


def rss_anon_mib(pid: int) -> float:
    """Anonymous resident memory of a process, in MiB."""
    return int(_status(pid).get("RssAnon", "0 kB").split()[0]) / _KIB_PER_MIB


def threads(pid: int) -> int:
    """How many threads a process has."""
    return int(_status(pid).get("Threads", "0"))


def is_computing(pid: int) -> bool:
    """Whether a process has an inference library loaded."""
    try:
        return any(open_libraries(pid, name) for name in _INFERENCE_LIBRARIES)
    except OSError:
        return False


def _stat(pid: int) -> list[str] | None:
    """The fields of ``/proc/<pid>/stat`` after the name: state, parent, …; None when the process is gone."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    return stat.rpartition(")")[2].split()


def _status(pid: int) -> dict[str, str]:
    try:
        lines = Path(f"/proc/{pid}/status").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return {}
    return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}


class Service:
    """A child process with its log in a file; ends with all of its children."""

    def __init__(self, command: Sequence[str], environment: Mapping[str, str]) -> None:
        self._room = tempfile.TemporaryDirectory(prefix="celeriac-bench-")
        self._log = Path(self._room.name) / "log"
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(  # noqa: S603 - the suite's own commands
                command, stdout=log, stderr=log, cwd=_ROOT, env={**os.environ, **environment}, start_new_session=True
            )

    @property
    def pid(self) -> int:
        """The process that was started."""
        return self._process.pid

    @property
    def log(self) -> str:
        """What it has written."""
        return self._log.read_text(encoding="utf-8", errors="replace")

    @property
    def ended(self) -> bool:
        """Whether it is gone."""
        return self._process.poll() is not None

    def stop(self) -> None:
        """End it, kindly first."""
        self._process.terminate()
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(_STOP_S)
        # Its session is its own: whatever is left in it is its children.
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._room.cleanup()
