"""The workers of a run: each is started again when it ends, whoever ended it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from benchmarks.chaos.journal import JOURNAL_VARIABLE
from benchmarks.chaos.noop_app import CONFIG_VARIABLE, CONTESTANT_VARIABLE
from benchmarks.chaos.options import Contestant, Mode, RunOptions
from benchmarks.chaos.steps import TRAP_VARIABLE, TrapFile
from benchmarks.chaos.work import WORK_VARIABLE
from examples.local_stack.procfs import process_state

__all__ = ["Exit", "Fleet", "Member"]

_ROOT = Path(__file__).resolve().parents[2]
_POLL_S = 0.05
#: How long a worker may take to end after SIGTERM.
_STOP_S = 60.0
#: How long pool processes whose worker's parent is gone may take to end by themselves.
_ORPHANS_S = 30.0
#: A child that has ended and is not waited for by its parent for so long is a zombie.
_ZOMBIE_S = 10.0
_LOG_TAIL_BYTES = 4096
#: Set for all processes of a run, so that those that are left are found.
_RUN_VARIABLE = "CHAOS_RUN"


@dataclass(frozen=True)
class Exit:
    """The end of a worker.

    Attributes:
        at_s: on the monotonic clock.
        worker: its index.
        pid: its parent process.
        status: as ``subprocess`` has it: negative for a signal.
        was_ordered: whether the run has ended it.
        log: the end of its log.
    """

    at_s: float
    worker: int
    pid: int
    status: int
    was_ordered: bool
    log: str


class Member:
    """One worker and those that follow it in its place.

    Args:
        index: of the worker.
        directory: for its log and its trap.
        command: starts it.
        environment: its variables.
    """

    def __init__(self, index: int, directory: Path, command: Sequence[str], environment: dict[str, str]) -> None:
        self.index = index
        self.log_path = directory / f"worker{index}.log"
        self.trap = TrapFile(directory / f"worker{index}.trap")
        self._journals = directory
        self._command = command
        trap_path = directory / f"worker{index}.trap"
        self._environment = {**os.environ, **environment, TRAP_VARIABLE: str(trap_path)}
        self._process: subprocess.Popen[bytes] | None = None
        #: Whether the run has ended it, or is about to.
        self.is_ordered_to_end = False
        self.is_stopped = False
        self.starts = 0

    def start(self) -> None:
        """Start it."""
        self.is_ordered_to_end = self.is_stopped = False
        self.trap.clear()
        with self.log_path.open("ab") as log:
            # A session of its own, so that it can be ended with its processes.
            self._process = subprocess.Popen(  # noqa: S603 - the run's own command
                self._command, stdout=log, stderr=log, cwd=_ROOT, env=self._environment, start_new_session=True
            )
        self.starts += 1

    @property
    def pid(self) -> int:
        """Its parent process; 0 before the first start."""
        return self._process.pid if self._process is not None else 0

    @property
    def status(self) -> int | None:
        """Its exit status; None while it runs."""
        return self._process.poll() if self._process is not None else None

    @property
    def is_ready(self) -> bool:
        """Whether it consumes and nothing is being done to it."""
        if self.status is not None or self.is_stopped or self.is_ordered_to_end:
            return False
        # It writes its first line when it consumes.
        return (self._journals / f"{os.getpid()}-{self.pid}.journal").exists() and bool(self.live_processes)

    @property
    def processes(self) -> list[int]:
        """Its pool processes."""
        try:
            children = Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text(encoding="ascii")
        except OSError:
            return []
        return sorted(map(int, children.split()))

    @property
    def live_processes(self) -> list[int]:
        """Its pool processes that have not ended, as far as the kernel knows."""
        return [pid for pid in self.processes if _state(pid) not in {"", "Z"}]

    def signal(self, number: signal.Signals, *, group: bool) -> None:
        """Send a signal to the parent, or to it and all its processes."""
        with suppress(ProcessLookupError):
            if group:
                os.killpg(self.pid, number)
            else:
                os.kill(self.pid, number)

    @property
    def log_tail(self) -> str:
        """The end of its log."""
        if not self.log_path.exists():
            return ""
        with self.log_path.open("rb") as log:
            log.seek(max(0, self.log_path.stat().st_size - _LOG_TAIL_BYTES))
            return log.read().decode("utf-8", "replace")


class Fleet:
    """All workers of a run, watched by a thread.

    Args:
        options: of the run.
        contestant: whose parts the workers use.
        url: the server.
        directory: for logs and journals.
    """

    def __init__(self, options: RunOptions, contestant: Contestant, url: str, directory: Path) -> None:
        self._run = f"{os.getpid()}-{contestant.value}-{time.monotonic_ns()}"
        self.directory = directory
        self.members = [
            Member(index, directory, _command(options, index), self._environment(options, contestant, url))
            for index in range(options.workers)
        ]
        self.exits: list[Exit] = []
        self._orphans: list[tuple[int, float]] = []
        self._zombies: dict[int, float] = {}
        self.zombies: list[str] = []
        self._stops = threading.Event()
        self._watcher = threading.Thread(target=self._watch, name="chaos-fleet", daemon=True)

    def _environment(self, options: RunOptions, contestant: Contestant, url: str) -> dict[str, str]:
        return {
            _RUN_VARIABLE: self._run,
            JOURNAL_VARIABLE: str(self.directory),
            CONTESTANT_VARIABLE: contestant.value,
            WORK_VARIABLE: f"{options.work_s:.4f}",
            CONFIG_VARIABLE: json.dumps(_config(options, contestant, url)),
            **(_settings(options, url, self.directory) if options.mode is Mode.REAL else {}),
        }

    # -- for whoever injects faults

    def ready(self) -> list[Member]:
        """The workers that consume and that nothing is being done to."""
        return [member for member in self.members if member.is_ready]

    @property
    def is_up(self) -> bool:
        """Whether all workers consume."""
        return all(member.is_ready for member in self.members)

    def pids(self) -> list[int]:
        """All processes of the run, wherever they are."""
        found = []
        wanted = f"{_RUN_VARIABLE}={self._run}".encode()
        for entry in Path("/proc").iterdir():
            with suppress(OSError):
                if entry.name.isdigit() and wanted in (entry / "environ").read_bytes().split(b"\0"):
                    found.append(int(entry.name))
        return sorted(found)

    # -- life

    def __enter__(self) -> Self:
        for member in self.members:
            member.start()
        self._watcher.start()
        return self

    def stop(self) -> None:
        """End all workers warmly, and note what is left of them."""
        self._stops.set()
        self._watcher.join()
        for member in self.members:
            member.is_ordered_to_end = True
            member.signal(signal.SIGCONT, group=True)
            member.signal(signal.SIGTERM, group=False)
        self._wait(lambda: all(member.status is not None for member in self.members), _STOP_S)
        for member in self.members:
            if member.status is None:
                self.zombies.append(f"worker {member.index} (pid {member.pid}) did not end on SIGTERM in {_STOP_S:g} s")
                member.signal(signal.SIGKILL, group=True)
        self._wait(lambda: not self.pids(), _ORPHANS_S)
        self.zombies += [f"process {pid} is left, in state {_state(pid)}" for pid in self.pids()]
        self._kill_all()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stops.set()
        if self._watcher.is_alive():
            self._watcher.join()
        self._kill_all()

    def _kill_all(self) -> None:
        for pid in self.pids():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self._wait(lambda: all(member.status is not None for member in self.members), _STOP_S)

    @staticmethod
    def _wait(condition: Callable[[], bool], timeout_s: float) -> None:
        deadline_s = time.monotonic() + timeout_s
        while not condition() and time.monotonic() < deadline_s:
            time.sleep(_POLL_S)

    def _watch(self) -> None:
        while not self._stops.wait(_POLL_S):
            for member in self.members:
                if member.status is not None:
                    self._replace(member)
            self._end_orphans()
            self._look_for_zombies()

    def _replace(self, member: Member) -> None:
        status, was_ordered = member.status or 0, member.is_ordered_to_end or member.status == -signal.SIGKILL
        ended = Exit(time.monotonic(), member.index, member.pid, status, was_ordered, member.log_tail)
        self.exits.append(ended)
        self._orphans.append((member.pid, time.monotonic() + _ORPHANS_S))
        member.start()

    def _end_orphans(self) -> None:
        """Note pool processes that outlive their worker's parent for too long, and end them."""
        now_s = time.monotonic()
        for group, deadline_s in [orphan for orphan in self._orphans if orphan[1] < now_s]:
            self._orphans.remove((group, deadline_s))
            with suppress(ProcessLookupError):
                os.killpg(group, signal.SIGKILL)
                self.zombies.append(f"processes of the dead worker with pid {group} were left after {_ORPHANS_S:g} s")

    def _look_for_zombies(self) -> None:
        now_s = time.monotonic()
        found = {
            pid for member in self.members if not member.is_stopped for pid in member.processes if _state(pid) == "Z"
        }
        self._zombies = {pid: self._zombies.get(pid, now_s) for pid in found}
        for pid, since_s in self._zombies.items():
            if now_s - since_s > _ZOMBIE_S and since_s > 0:
                self.zombies.append(f"process {pid} has ended, and its worker has not waited for it")
                self._zombies[pid] = 0.0


def _state(pid: int) -> str:
    try:
        return process_state(pid)
    except OSError:
        return ""


def _command(options: RunOptions, index: int) -> list[str]:
    app = f"benchmarks.chaos.{options.mode.value}_app"
    command = [sys.executable, "-W", "ignore", "-m", "celery", "-A", app, "worker", "--loglevel=WARNING"]
    command += [f"--concurrency={options.processes}", f"--hostname=chaos{index}@localhost"]
    return [*command, "--without-gossip", "--without-mingle", "--without-heartbeat"]


def _config(options: RunOptions, contestant: Contestant, url: str) -> dict[str, Any]:
    """Celery's configuration of the plain app.

    Both contestants acknowledge late, and sweep every five seconds for what a dead worker held. Celery's own pool gives
    back what a dead process had, since it would otherwise fail.
    """
    ours = contestant is Contestant.CELERIAC
    return {
        "broker_url": url,
        "result_backend": url,
        "task_acks_late": True,
        "task_reject_on_worker_lost": not ours,
        "worker_pool": "worker.pool:TaskPool" if ours else "prefork",
        "worker_prefetch_multiplier": 32 if ours else 4,
        "worker_cancel_long_running_tasks_on_connection_loss": True,
        "broker_connection_retry_on_startup": True,
        "broker_connection_max_retries": None,
        "broker_channel_error_retry": True,
        "result_expires": options.result_expires_s,
        "result_backend_always_retry": True,
        "result_backend_max_retries": 20,
        "broker_transport_options": {
            "visibility_timeout": options.visibility_timeout_s,
            "unacked_restore_interval": 5,
            "unacked_restore_throttle": 1,
            "unacked_mutex_expire": 30,
            "health_check_interval": 10,
        },
    }


def _settings(options: RunOptions, url: str, directory: Path) -> dict[str, str]:
    """The worker's own settings in real mode."""
    visibility_s = options.visibility_timeout_s
    return {
        "CELERIAC_BROKER_URL": url,
        "CELERIAC_MODELS": "sentiment",
        "CELERIAC_CORES_LEASE_DIR": str(directory / "leases"),
        "CELERIAC_CORES_ALLOW_SHARING": "true",
        "CELERIAC_COMPILED_DIR": os.environ.get("CELERIAC_COMPILED_DIR", str(_ROOT / "build" / "chaos" / "compiled")),
        "CELERIAC_ENGINE_ARITHMETIC": "int8",
        "CELERIAC_TIME_RESULT_EXPIRES_S": str(options.result_expires_s),
        "CELERIAC_TIME_VISIBILITY_TIMEOUT_S": f"{visibility_s:g}",
        # Both must be below the visibility timeout, and above the longest work that is planned.
        "CELERIAC_TIME_SOFT_LIMIT_S": f"{visibility_s * 0.8:g}",
        "CELERIAC_TIME_HARD_LIMIT_S": f"{visibility_s * 0.9:g}",
    }
