"""A run as its ledger and journals tell it, with times in seconds from its beginning."""

from __future__ import annotations

import time
from pathlib import Path

from benchmarks.chaos.broker import Leftovers
from benchmarks.chaos.history import History
from benchmarks.chaos.injector import Kill
from benchmarks.chaos.journal import What
from benchmarks.chaos.ledger import Ledger
from benchmarks.chaos.messages import End, MessageKind, Planned
from benchmarks.chaos.options import RunOptions
from benchmarks.chaos.schedule import FaultKind
from benchmarks.chaos.verdict import Evidence, Verdict, judge

__all__ = ["World"]

_OPTIONS = RunOptions(messages=20, kills=0, worker_kills=0, seconds=10.0, seed=1)


class World:
    """What is known of a run.

    Args:
        directory: for its journals.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self.zero_s = time.monotonic()
        self.ledger = Ledger(_OPTIONS.messages)
        self.kills: list[Kill] = []
        self.hits: list[tuple[float, int]] = []
        self.disturbances: list[float] = []
        self.leftovers = Leftovers({}, {}, 0)
        self.leaked_keys: list[str] = []

    def send(self, number: int, kind: MessageKind = MessageKind.PLAIN, value: float = 0.0, **options: object) -> None:
        planned = Planned(kind, (number,), value, **options)  # type: ignore[arg-type]
        self.ledger.send(planned)
        self.ledger.sent_s[number] = self.zero_s
        self.ledger.due_s[number] = self.zero_s + planned.extra_s

    def end(self, number: int, at_s: float, how: End = End.SUCCESS, what: str = "") -> None:
        self.ledger.end(number, how, what)
        self.ledger.ended_s[number] = self.zero_s + at_s

    def note(self, what: What, number: int, at_s: float, pid: int, worker_pid: int = 100, *, retries: int = 0) -> None:
        """Let a process write a line: a pool process of a worker, or with ``pid`` the worker's itself its parent."""
        parent_pid = 1 if pid == worker_pid else worker_pid
        path = self._directory / f"{parent_pid}-{pid}.journal"
        with path.open("a", encoding="ascii") as file:
            file.write(f"{what.value} {number} {retries} {self.zero_s + at_s:.4f}\n")

    def kill(self, kind: FaultKind, at_s: float, pid: int, worker_pid: int = 100) -> None:
        self.kills.append(Kill(self.zero_s + at_s, kind, 0, worker_pid, (pid,)))
        if kind.is_of_worker:
            self.hits.append((self.zero_s + at_s, worker_pid))

    def stop(self, at_s: float, worker_pid: int) -> None:
        self.hits.append((self.zero_s + at_s, worker_pid))

    def history(self) -> History:
        return History(self._directory, self.ledger, self.kills, self.hits, self.disturbances)

    def evidence(self) -> Evidence:
        return Evidence(_OPTIONS, self.ledger, self.history(), self.kills, [], [], self.leftovers, self.leaked_keys, [])

    def verdict(self) -> Verdict:
        return judge(self.evidence())
