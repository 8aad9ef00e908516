"""A real ``celery -A worker worker`` as a child process."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

__all__ = ["PATIENCE_S", "LocalWorker", "WorkerStartError"]

#: How long anything is waited for that shall happen: so long that a slow machine makes no difference.
PATIENCE_S = 300.0

_ROOT = Path(__file__).resolve().parents[2]
_POLL_S = 0.02
_PROCESS_READY = re.compile(r"process (\d+) \(pid (\d+)\) is ready")


class WorkerStartError(RuntimeError):
    """The worker ended, or was not ready in time; the message ends with its log."""


class LocalWorker:
    """One worker, its log in a file that goes with it.

    Args:
        arguments: further arguments of ``celery -A worker worker``.
        environment: variables on top of this process's own.
        directory: working directory; the project's by default.
        application: what ``-A`` names.
        launcher: a program with arguments that runs the worker's command, such as ``env`` or ``setpriv``.
    """

    def __init__(
        self,
        arguments: Sequence[str] = (),
        environment: Mapping[str, str] | None = None,
        directory: Path = _ROOT,
        application: str = "worker",
        launcher: Sequence[str] = (),
    ) -> None:
        self._room = tempfile.TemporaryDirectory(prefix="celeriac-worker-")
        self.log_path = Path(self._room.name) / "worker.log"
        worker = [sys.executable, "-m", "celery", "-A", application, "worker", "--loglevel=INFO", *arguments]
        self._command = [*launcher, *worker]
        self._environment = {**os.environ, **(environment or {})}
        self._directory = directory
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it; :meth:`wait_until_ready` waits until it serves."""
        with self.log_path.open("ab") as log:
            self._process = subprocess.Popen(
                self._command, stdout=log, stderr=log, cwd=self._directory, env=self._environment
            )

    @property
    def pid(self) -> int:
        """The parent process."""
        return self._running.pid

    @property
    def exit_status(self) -> int | None:
        """With which status it has ended; None while it runs."""
        return self._running.poll()

    @property
    def log(self) -> str:
        """What it has written so far."""
        return self.log_path.read_text(encoding="utf-8", errors="replace")

    @property
    def processes(self) -> dict[int, int]:
        """Pid of each pool process by its index, of those that have been ready and are alive."""
        starts = {int(index): int(pid) for index, pid in _PROCESS_READY.findall(self.log)}
        return {index: pid for index, pid in sorted(starts.items()) if Path(f"/proc/{pid}").exists()}

    def wait_until_ready(self, timeout_s: float = PATIENCE_S) -> float:
        """Wait until every process and the consumer are ready.

        Returns:
            Seconds waited.

        Raises:
            WorkerStartError: it ended before, or the time is up.
        """
        started_s = time.monotonic()
        self.wait_for(lambda: " ready." in self.log and "processes are ready" in self.log, timeout_s)
        return time.monotonic() - started_s

    def wait_for(self, condition: Callable[[], bool], timeout_s: float = PATIENCE_S) -> None:
        """Wait until ``condition`` holds.

        Raises:
            WorkerStartError: the worker ended before, or the time is up.
        """
        deadline_s = time.monotonic() + timeout_s
        while not condition():
            if self._running.poll() is not None:
                raise WorkerStartError(f"the worker ended with status {self._running.returncode}:\n{self.log}")
            if time.monotonic() > deadline_s:
                raise WorkerStartError(f"not in {timeout_s:g} s; the worker's log:\n{self.log}")
            time.sleep(_POLL_S)

    @property
    def has_ended(self) -> bool:
        """Whether the parent process has ended."""
        return self._running.poll() is not None

    def wait_for_exit(self, timeout_s: float = PATIENCE_S) -> int:
        """Wait until it has ended, and return its exit status."""
        return self._running.wait(timeout_s)

    def signal(self, number: signal.Signals) -> None:
        """Send the parent a signal."""
        self._running.send_signal(number)

    def stop(self, timeout_s: float = PATIENCE_S) -> int:
        """Ask it to shut down warmly, and return its exit status."""
        if self._running.poll() is None:
            self._running.send_signal(signal.SIGTERM)
        try:
            return self._running.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self._running.kill()
            return self._running.wait()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
        self._room.cleanup()

    @property
    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is None:
            raise WorkerStartError("the worker was not started")
        return self._process
