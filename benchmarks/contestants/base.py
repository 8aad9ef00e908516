"""What every contestant does: start, answer items, say what it cost, stop."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, ClassVar

from benchmarks.processes import cpu_seconds, is_computing, rss_anon_mib, threads
from benchmarks.workloads import Item, Workload
from models.engine.arithmetic import Arithmetic

__all__ = ["LONE_PAUSE_S", "Contestant", "Round", "Situation", "UnavailableError"]

#: Before each lone request, so that it finds everything idle.
LONE_PAUSE_S = 0.03


class UnavailableError(RuntimeError):
    """A contestant cannot run here, or stopped answering; the message says why."""


@dataclass(frozen=True)
class Situation:
    """What a contestant finds: the workload, the cores, a server to itself but for its database number.

    Attributes:
        workload: what will be asked.
        cores: one process on each.
        server_url: the Redis server, without a database.
        server_pid: its process.
        database: this contestant's own.
        in_flight: texts that are sent and not answered at most.
        quick: tune less.
    """

    workload: Workload
    cores: Sequence[int]
    server_url: str
    server_pid: int
    database: int
    in_flight: int
    quick: bool

    @property
    def url(self) -> str:
        """This contestant's database."""
        return f"{self.server_url}/{self.database}"


@dataclass(frozen=True)
class Round:
    """One measurement: the answer to each item (None where there was none), and what it took."""

    answers: list[str | None]
    seconds: float
    cpu_seconds: dict[str, float]
    rate: float = field(default=0.0)

    @property
    def texts_per_second(self) -> float:
        """Throughput."""
        return self.rate or len(self.answers) / self.seconds


class Contestant(ABC):
    """One way to answer the items of a workload."""

    name: ClassVar[str]
    #: What the report says of it.
    summary: ClassVar[str]
    #: Packages without which it cannot run.
    packages: ClassVar[tuple[str, ...]] = ()

    def __init__(self, situation: Situation) -> None:
        self.situation = situation
        self.workload = situation.workload

    @property
    def arithmetic(self) -> Arithmetic | None:
        """In which it computes the workload's model; None if it computes another one.

        If that is the bound's, its answers must be the bound's too.
        """
        return self.workload.arithmetic

    @property
    def least_items(self) -> int:
        """Fewer would leave some of its processes without work."""
        return 64

    @abstractmethod
    def start(self) -> None:
        """Start, and return when the first item has been answered.

        Raises:
            UnavailableError: it cannot run.
        """

    @abstractmethod
    def answer(self, items: Sequence[Item]) -> list[str | None]:
        """Answer items as fast as it can, in order.

        Raises:
            UnavailableError: it does not answer any more.
        """

    def answer_arrivals(self, items: Sequence[Item], arrivals: Sequence[float]) -> list[float]:
        """Seconds from each arrival to its answer, where items arrive at their moments and wait for nobody.

        Raises:
            UnavailableError: it does not answer, or not this kind of load.
        """
        raise UnavailableError(f"{self.name} takes no arrivals: {len(items)} items, {len(arrivals)} moments")

    def answer_alone(self, items: Sequence[Item]) -> list[float]:
        """Seconds that each item takes when nothing else is asked.

        Raises:
            UnavailableError: it does not answer.
        """
        raise UnavailableError(f"{self.name} answers no lone requests: {len(items)} items")

    @abstractmethod
    def parties(self) -> dict[str, list[int]]:
        """The processes that take part by role: producer, redis, parent, processes."""

    @abstractmethod
    def stop(self) -> None:
        """End all processes."""

    def settle(self) -> None:  # noqa: B027 - most have nothing to wait for
        """Wait until all processes, not only the first, are ready."""

    @contextmanager
    def turn(self) -> Iterator[None]:
        """While it is asked; between its turns it may be put to sleep."""
        yield

    def details(self) -> Mapping[str, Any]:
        """What else the report should say."""
        return {}

    def run(self, items: Sequence[Item]) -> Round:
        """Answer items, and measure."""
        parties = self.parties()
        before = {role: cpu_seconds(pids) for role, pids in parties.items()}
        started_s = time.perf_counter()
        answers = self.answer(items)
        seconds = time.perf_counter() - started_s
        cost = {role: cpu_seconds(pids) - before[role] for role, pids in parties.items()}
        return Round(answers, seconds, cost, self.own_rate())

    def own_rate(self) -> float:
        """Texts per second by its own account, or 0 where the clock of :meth:`run` counts."""
        return 0.0

    def layout(self) -> dict[str, Any]:
        """Processes, threads and anonymous memory in MiB by role."""
        return {
            role: {
                "processes": len(pids),
                "threads": [threads(pid) for pid in pids],
                "rss_anon_mib": [round(rss_anon_mib(pid), 1) for pid in pids],
            }
            for role, pids in self.parties().items()
            if role != "producer"
        }


def split_roles(pids: Sequence[int]) -> dict[str, list[int]]:
    """A service's processes: those that compute, and those that do not."""
    computing = [pid for pid in pids if is_computing(pid)]
    return {"parent": [pid for pid in pids if pid not in computing], "processes": computing}
