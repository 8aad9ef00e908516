"""The contestants of one workload side by side: a server, and all of them started on it, each idle until its turn."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec

import redis

from benchmarks.contestants import CONTESTANTS
from benchmarks.contestants.base import Contestant, Situation, UnavailableError
from benchmarks.workloads import Workload
from examples.local_stack import LocalServer

__all__ = ["Stack", "on_cores", "open_stack"]


@dataclass
class Stack:
    """What was started.

    Attributes:
        contestants: those that answer, in the order of their names' registry.
        unavailable: why the others do not, by name.
        cold_start_s: seconds from start to first answer, by name.
        server_url: the Redis server, without a database.
    """

    server_url: str
    contestants: dict[str, Contestant] = field(default_factory=dict)
    unavailable: dict[str, str] = field(default_factory=dict)
    cold_start_s: dict[str, float] = field(default_factory=dict)

    def drop(self, name: str, reason: str) -> None:
        """Take a contestant out that does not answer any more."""
        contestant = self.contestants.pop(name)
        self.unavailable[name] = reason
        contestant.stop()

    def forget_results(self) -> None:
        """Empty all databases, so that one contestant's results are not another's memory."""
        with redis.Redis.from_url(f"{self.server_url}/0") as server:
            for name in server.info("keyspace"):
                with redis.Redis.from_url(f"{self.server_url}/{name.removeprefix('db')}") as database:
                    for keys in _in_parts(list(database.scan_iter("celery-task-meta-*", count=1000))):
                        database.delete(*keys)


def _in_parts(keys: list[bytes], size: int = 1000) -> Iterator[list[bytes]]:
    return (keys[start : start + size] for start in range(0, len(keys), size))


@contextlib.contextmanager
def open_stack(
    workload: Workload, names: Sequence[str], *, in_flight: int, quick: bool, step: Iterator[object]
) -> Iterator[Stack]:
    """Start contestants one after another, so that each cold start has the machine to itself.

    Args:
        workload: what they will be asked.
        names: which.
        in_flight: see :class:`Situation`.
        quick: see :class:`Situation`.
        step: advanced after each start.
    """
    with contextlib.ExitStack() as cleanup:
        server = cleanup.enter_context(LocalServer())
        stack = Stack(server.url.rpartition("/")[0])
        cleanup.callback(lambda: [contestant.stop() for contestant in stack.contestants.values()])
        for database, name in enumerate(names):
            cores = sorted(os.sched_getaffinity(0))
            situation = Situation(workload, cores, stack.server_url, server.pid, database, in_flight, quick)
            _start(stack, name, situation)
            next(step, None)
        for name, contestant in list(stack.contestants.items()):
            try:
                contestant.settle()
            except UnavailableError as error:
                stack.drop(name, str(error))
        yield stack


def _start(stack: Stack, name: str, situation: Situation) -> None:
    kind = CONTESTANTS[name]
    missing = [package for package in kind.packages if not _is_there(package)]
    if missing:
        stack.unavailable[name] = f"not installed: {', '.join(missing)}"
        return
    contestant = kind(situation)
    started_s = time.perf_counter()
    try:
        contestant.start()
    except UnavailableError as error:
        stack.unavailable[name] = str(error)
        contestant.stop()
        return
    except BaseException:
        contestant.stop()
        raise
    stack.cold_start_s[name] = time.perf_counter() - started_s
    stack.contestants[name] = contestant


def _is_there(package: str) -> bool:
    try:
        return find_spec(package) is not None
    except ModuleNotFoundError:
        return False


@contextlib.contextmanager
def on_cores(count: int) -> Iterator[None]:
    """Keep this process, and all that it starts, on its first ``count`` cores."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, set(sorted(before)[:count]))
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)
