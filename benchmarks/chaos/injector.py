"""Carries out the schedule of faults."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass

import redis

from benchmarks.chaos.fleet import Fleet, Member
from benchmarks.chaos.schedule import Fault, FaultKind
from benchmarks.chaos.sender import CLIENT_NAME
from benchmarks.chaos.steps import Step
from examples.local_stack import LocalServer

__all__ = ["Injector", "Kill"]

_POLL_S = 0.02
#: How long a trap stays set before the process is killed from outside.
_TRAP_S = 10.0
#: Faults that are late keep this share of the time that is planned between them.
_LEAST_GAP = 0.5
#: How long a worker is waited for that a fault can hit.
_PATIENCE_S = 60.0


@dataclass(frozen=True)
class Kill:
    """A SIGKILL that has hit.

    Attributes:
        at_s: on the monotonic clock.
        kind: what was killed.
        worker: index of the worker.
        worker_pid: its parent.
        pids: the processes that were killed; empty if the one at a step is not known.
        step: where it was.
    """

    at_s: float
    kind: FaultKind
    worker: int
    worker_pid: int
    pids: tuple[int, ...]
    step: Step | None = None

    def describe(self) -> str:
        """The kill in words."""
        at = f" at {self.step.name}" if self.step is not None else ""
        return f"{self.kind.value} (worker {self.worker}, pid {', '.join(map(str, self.pids)) or '?'}){at}"


class Injector(threading.Thread):
    """Injects faults in a thread of its own.

    Args:
        faults: the schedule.
        fleet: whom they hit.
        server: likewise.
        gate: held while the server cannot be reached, so that nothing is sent then.
    """

    def __init__(self, faults: Sequence[Fault], fleet: Fleet, server: LocalServer, gate: threading.Lock) -> None:
        super().__init__(name="chaos-injector", daemon=True)
        self._faults = faults
        self._fleet = fleet
        self._server = server
        self._gate = gate
        self._stops = threading.Event()
        #: What ends a stop or a pause, by when.
        self._later: list[tuple[float, Callable[[], object]]] = []
        self.kills: list[Kill] = []
        #: When a whole worker was killed or stopped, and its parent's pid.
        self.hits: list[tuple[float, int]] = []
        #: All faults that were injected, with the moment at which it was due.
        self.done: list[tuple[float, Fault]] = []
        self.counts: Counter[str] = Counter()
        self.steps: Counter[str] = Counter()
        self.current = ""
        self.error: Exception | None = None
        self.is_done = False

    def stop(self) -> None:
        """Inject no more, and let everything go on."""
        self._stops.set()
        self.join()

    def run(self) -> None:
        """Inject all faults."""
        started_s = time.monotonic()
        try:
            before_s = 0.0
            for fault in self._faults:
                gap_s = _LEAST_GAP * (fault.at_s - before_s)
                before_s = fault.at_s
                self._wait_until(max(started_s + fault.at_s, time.monotonic() + gap_s))
                if self._stops.is_set():
                    break
                self._inject(fault)
            while self._later and not self._stops.is_set():
                self._stops.wait(_POLL_S)
                self._end_what_is_over()
        except Exception as error:  # noqa: BLE001 - reported by the run
            self.error = error
        finally:
            self._end_what_is_over(all_of_it=True)
            self.is_done = True

    def _wait_until(self, at_s: float) -> None:
        while (left_s := at_s - time.monotonic()) > 0 and not self._stops.is_set():
            self._stops.wait(min(left_s, _POLL_S))
            self._end_what_is_over()

    def _end_what_is_over(self, *, all_of_it: bool = False) -> None:
        now_s = time.monotonic()
        for entry in [entry for entry in self._later if all_of_it or entry[0] <= now_s]:
            self._later.remove(entry)
            entry[1]()

    def _inject(self, fault: Fault) -> None:
        self.current = fault.describe()
        began_s = time.monotonic()
        match fault.kind:
            case FaultKind.PAUSE_REDIS:
                self._pause_redis(fault.lasts_s)
            case FaultKind.RESTART_REDIS:
                self._reach_redis()
                with self._gate:
                    self._server.stop()
                    self._server.start()
            case FaultKind.CUT_CONNECTIONS:
                self._reach_redis()
                with self._gate:
                    self._cut_connections()
            case _:
                member = self._pick(fault.worker)
                if member is None:
                    self.counts["not injected: no worker was ready"] += 1
                    return
                self._hit(member, fault)
        self.done.append((began_s, fault))
        self.counts[fault.kind.value] += 1

    def _reach_redis(self) -> None:
        """End a pause: the sender may hold the gate until the server answers."""
        self._server.resume()

    def _pick(self, share: float) -> Member | None:
        """A worker that is ready, once half of all are: on a slow machine a run takes longer, and is no worse."""
        deadline_s = time.monotonic() + _PATIENCE_S
        wanted = max(1, len(self._fleet.members) // 2)
        while len(ready := self._fleet.ready()) < wanted and not self._stops.is_set():
            if time.monotonic() > deadline_s:
                break
            self._stops.wait(_POLL_S)
            self._end_what_is_over()
        return ready[int(share * len(ready))] if ready else None

    def _hit(self, member: Member, fault: Fault) -> None:
        match fault.kind:
            case FaultKind.STOP_WORKER:
                self._stop_worker(member, fault.lasts_s)
            case FaultKind.STOP_PROCESS:
                self._stop_process(self._process_of(member, fault), fault.lasts_s)
            case FaultKind.DRAIN_WORKER:
                member.is_ordered_to_end = True
                member.signal(signal.SIGTERM, group=False)
            case _ if fault.step is None or not self._kill_at_step(member, fault, fault.step):
                self._kill(member, fault)

    def _process_of(self, member: Member, fault: Fault) -> int | None:
        """The pool process that a fault hits; None where there is none in time."""
        deadline_s = time.monotonic() + _PATIENCE_S
        while not (processes := self._living(member)) and time.monotonic() < deadline_s and not self._stops.is_set():
            self._stops.wait(_POLL_S)
            self._end_what_is_over()
        return processes[int(fault.process * len(processes))] if processes else None

    def _living(self, member: Member) -> list[int]:
        """The processes of a worker that nobody has killed; the kernel ends a killed one a moment later."""
        killed = {pid for kill in self.kills for pid in kill.pids if kill.worker_pid == member.pid}
        return [pid for pid in member.live_processes if pid not in killed]

    def _kill(self, member: Member, fault: Fault) -> None:
        worker_pid = member.pid
        if fault.kind is FaultKind.KILL_PROCESS:
            pid = self._process_of(member, fault)
            if pid is None or not _send(pid, signal.SIGKILL):
                self.counts["not injected: the process was gone"] += 1
                return
            pids: tuple[int, ...] = (pid,)
        else:
            is_whole = fault.kind is FaultKind.KILL_WORKER
            pids = (worker_pid, *(member.processes if is_whole else ()))
            member.is_ordered_to_end = True
            member.signal(signal.SIGKILL, group=is_whole)
            self.hits.append((time.monotonic(), worker_pid))
        self.kills.append(Kill(time.monotonic(), fault.kind, member.index, worker_pid, pids))

    def _kill_at_step(self, member: Member, fault: Fault, step: Step) -> bool:
        """Set a trap and wait for it.

        Returns:
            Whether a process has killed itself.
        """
        worker_pid, deadline_s = member.pid, time.monotonic() + _TRAP_S
        member.trap.set(step, fault.passings)
        while member.trap.is_set and time.monotonic() < deadline_s and not self._stops.is_set():
            self._stops.wait(_POLL_S)
            self._end_what_is_over()
        if member.trap.is_set:
            member.trap.clear()
            self.steps[f"{step.name}: not reached"] += 1
            return False
        self.steps[step.name] += 1
        is_of_worker = fault.kind.is_of_worker
        pids = (worker_pid,) if is_of_worker else ()
        if fault.kind is FaultKind.KILL_WORKER:
            with suppress(ProcessLookupError):
                os.killpg(worker_pid, signal.SIGKILL)
        if is_of_worker:
            self.hits.append((time.monotonic(), worker_pid))
        self.kills.append(Kill(time.monotonic(), fault.kind, member.index, worker_pid, pids, step))
        return True

    def _stop_worker(self, member: Member, lasts_s: float) -> None:
        pid = member.pid

        def go_on() -> None:
            if member.pid == pid:
                member.signal(signal.SIGCONT, group=True)
                member.is_stopped = False

        member.is_stopped = True
        self.hits.append((time.monotonic(), pid))
        member.signal(signal.SIGSTOP, group=True)
        self._later.append((time.monotonic() + lasts_s, go_on))

    def _stop_process(self, pid: int | None, lasts_s: float) -> None:
        if pid is not None and _send(pid, signal.SIGSTOP):
            self._later.append((time.monotonic() + lasts_s, lambda: _send(pid, signal.SIGCONT)))

    def _pause_redis(self, lasts_s: float) -> None:
        self._server.pause()
        self._later.append((time.monotonic() + lasts_s, self._server.resume))

    def _cut_connections(self) -> None:
        with redis.Redis.from_url(self._server.url, client_name=CLIENT_NAME) as server:
            for client in server.client_list():
                if client["name"] != CLIENT_NAME:
                    with suppress(redis.ResponseError):
                        server.client_kill_filter(_id=client["id"])


def _send(pid: int, number: signal.Signals) -> bool:
    """Send a signal to one process.

    Returns:
        Whether it was there.
    """
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return False
    return True
