"""An HTTP peer with dynamic batching: LitServe, one worker a core."""

from __future__ import annotations

import os
import signal
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any, ClassVar

from benchmarks.contestants.base import Contestant, Situation, UnavailableError, split_roles
from benchmarks.http_load import HttpLoadError, ask_once, open_loop_http, saturate_http
from benchmarks.processes import Service, family, is_computing
from benchmarks.workloads import Item
from examples.local_stack import free_port

__all__ = ["HttpPeer"]

#: Two full batches for each of two workers, and as many that wait.
_CONNECTIONS_PER_CORE = 128
_START_S = 120.0
_LOOK_S = 0.1
#: Between lone requests; far longer than one takes.
_LONE_GAP_S = 0.1


class HttpPeer(Contestant):
    """One text a request, many connections at once."""

    name: ClassVar[str] = "http_peer"
    summary: ClassVar[str] = "LitServe with dynamic batching on the same INT8 files, one text a request"
    packages: ClassVar[tuple[str, ...]] = ("litserve", "openvino", "tokenizers")

    def __init__(self, situation: Situation) -> None:
        super().__init__(situation)
        self._service: Service | None = None
        self._claims = tempfile.TemporaryDirectory(prefix="celeriac-bench-cores-")
        self._port = free_port()
        self._connections = _CONNECTIONS_PER_CORE * len(situation.cores)

    def start(self) -> None:
        """See :meth:`Contestant.start`."""
        cores = ",".join(map(str, self.situation.cores))
        what = [str(self.workload.model), self.workload.task.value, self.workload.arithmetic.value]
        arguments = [str(self._port), *what, cores, self._claims.name]
        command = [sys.executable, "-m", "benchmarks.contestants.http_server", *arguments]
        self._service = Service(command, {"TOKENIZERS_PARALLELISM": "false", "LITSERVE_DISABLE_VERSION_CHECK": "1"})
        self._wait(lambda: ask_once(self._port, _body(self.workload.items[0])) is not None)

    def settle(self) -> None:
        """See :meth:`Contestant.settle`."""
        self._wait(lambda: sum(map(is_computing, self._pids())) >= len(self.situation.cores))
        self._signal(signal.SIGSTOP)

    @contextmanager
    def turn(self) -> Iterator[None]:
        """LitServe polls its queues when it has nothing to do, which would cost the others a third of a core."""
        self._signal(signal.SIGCONT)
        try:
            yield
        finally:
            self._signal(signal.SIGSTOP)

    def answer(self, items: Sequence[Item]) -> list[str | None]:
        """See :meth:`Contestant.answer`."""
        try:
            found = saturate_http(self._port, [_body(item) for item in items], self._connections)
        except HttpLoadError as error:
            raise UnavailableError(f"{self.name}: {error}\n{self._log()}") from error
        return [answer and answer["answer"] for answer in found]

    def answer_arrivals(self, items: Sequence[Item], arrivals: Sequence[float]) -> list[float]:
        """See :meth:`Contestant.answer_arrivals`."""
        try:
            return open_loop_http(self._port, [_body(item) for item in items], arrivals)
        except HttpLoadError as error:
            raise UnavailableError(f"{self.name}: {error}\n{self._log()}") from error

    def answer_alone(self, items: Sequence[Item]) -> list[float]:
        """See :meth:`Contestant.answer_alone`; on one connection that stays open."""
        moments = [index * _LONE_GAP_S for index in range(len(items))]
        return self.answer_arrivals(items, moments)

    def parties(self) -> dict[str, list[int]]:
        """See :meth:`Contestant.parties`."""
        return {"producer": [os.getpid()], "redis": [], **split_roles(self._pids())}

    def details(self) -> Mapping[str, Any]:
        """How it batches."""
        from benchmarks.contestants.http_server import BATCH_TIMEOUT_S, MAX_BATCH_SIZE

        return {
            "max_batch_size": MAX_BATCH_SIZE,
            "batch_timeout_s": BATCH_TIMEOUT_S,
            "connections": self._connections,
        }

    def stop(self) -> None:
        """See :meth:`Contestant.stop`."""
        if self._service:
            self._signal(signal.SIGCONT)
            self._service.stop()
        self._claims.cleanup()

    def _signal(self, number: signal.Signals) -> None:
        for pid in self._pids():
            with suppress(ProcessLookupError):
                os.kill(pid, number)

    def _pids(self) -> list[int]:
        if self._service is None:
            raise UnavailableError(f"{self.name} was not started")
        return family(self._service.pid)

    def _log(self) -> str:
        return self._service.log[-2000:] if self._service else ""

    def _wait(self, condition: Any) -> None:
        deadline_s = time.monotonic() + _START_S
        while not _holds(condition):
            if self._service is None or self._service.ended or time.monotonic() > deadline_s:
                raise UnavailableError(f"{self.name} did not start:\n{self._log()}")
            time.sleep(_LOOK_S)


def _holds(condition: Any) -> bool:
    """Whether it does; a server that is not there yet does not."""
    try:
        return bool(condition())
    except HttpLoadError:
        return False


def _body(item: Item) -> dict[str, Any]:
    return {"item": item}
