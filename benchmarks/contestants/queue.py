"""Contestants behind a queue: they differ in who consumes it, never in how they are asked."""

from __future__ import annotations

import os
import sys
import tempfile
import time
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any, ClassVar

from benchmarks.contestants.base import LONE_PAUSE_S, Contestant, Situation, UnavailableError, split_roles
from benchmarks.processes import Service, family, is_computing
from benchmarks.queue_load import NoAnswerError, OpenLoop, saturate
from benchmarks.workloads import Item
from models.engine.arithmetic import Arithmetic
from producer import CeleriacError, Client, WaitTimeout
from producer.contract import MAX_INPUTS, QueueClass, queue_name

__all__ = ["CeleriacBulk", "CeleriacSingle", "CeleryOptimum", "CeleryTransformers", "QueueContestant"]

_START_S = 180.0
_LOOK_S = 1.0


class QueueContestant(Contestant):
    """Sends ahead with our producer, one text a message unless :attr:`per_message` says otherwise."""

    per_message: ClassVar[int] = 1
    queue_class: ClassVar[QueueClass] = QueueClass.INTERACTIVE

    @property
    def least_items(self) -> int:
        """See :attr:`Contestant.least_items`."""
        return max(super().least_items, 4 * self.per_message * len(self.situation.cores))

    def answer(self, items: Sequence[Item]) -> list[str | None]:
        """See :meth:`Contestant.answer`."""
        several = self.per_message > 1
        chunks = [items[start : start + self.per_message] for start in range(0, len(items), self.per_message)]
        requests = [self.workload.request(chunk, several=several) for chunk in chunks]
        in_flight = max(self.situation.in_flight // self.per_message, 2 * len(self.situation.cores))
        try:
            results = saturate(self.situation.url, requests, self.queue_class, in_flight)
        except NoAnswerError as error:
            raise UnavailableError(f"{error}\n{self._log()}") from error
        answers: list[str | None] = []
        for chunk, result in zip(chunks, results, strict=True):
            answers += self._read(result, len(chunk), several=several)
        return answers

    def answer_arrivals(self, items: Sequence[Item], arrivals: Sequence[float]) -> list[float]:
        """See :meth:`Contestant.answer_arrivals`; one item a message."""
        requests = [self.workload.request([item], several=False) for item in items]
        try:
            with OpenLoop(self.situation.url) as loop:
                return loop.run(requests, arrivals)
        except NoAnswerError as error:
            raise UnavailableError(f"{self.name}: {error}") from error

    def answer_alone(self, items: Sequence[Item]) -> list[float]:
        """See :meth:`Contestant.answer_alone`; sent and awaited with our client."""
        seconds = []
        with Client(self.situation.url, timeout_s=30) as client:
            for item in items:
                request = self.workload.request([item], several=False)
                time.sleep(LONE_PAUSE_S)
                started_s = time.perf_counter()
                try:
                    client.wait(client.submit(request))
                except CeleriacError as error:
                    raise UnavailableError(f"{self.name}: {error}") from error
                seconds.append(time.perf_counter() - started_s)
        return seconds

    def parties(self) -> dict[str, list[int]]:
        """See :meth:`Contestant.parties`."""
        own = {"producer": [os.getpid()], "redis": [self.situation.server_pid]}
        return {**own, **split_roles(family(self._root()))}

    def _read(self, result: Any, count: int, *, several: bool) -> list[str | None]:
        try:
            found: list[str | None] = list(self.workload.answers(result, several=several))
        except (LookupError, TypeError):
            return [None] * count
        return found if len(found) == count else [None] * count

    def _wait_for_first_answer(self) -> None:
        """Ask one item, and wait as long as the service lives."""
        deadline_s = time.monotonic() + _START_S
        with Client(self.situation.url, timeout_s=30) as client:
            request = self.workload.request(self.workload.items[:1], several=False)
            request_id = client.submit(request, queue_class=self.queue_class)
            while True:
                with suppress(WaitTimeout):
                    client.wait(request_id, timeout_s=_LOOK_S)
                    return
                if self._ended() or time.monotonic() > deadline_s:
                    raise UnavailableError(f"{self.name} does not answer:\n{self._log()}")

    @abstractmethod
    def _root(self) -> int: ...

    @abstractmethod
    def _ended(self) -> bool: ...

    @abstractmethod
    def _log(self) -> str: ...


class _Worker(QueueContestant):
    """A ``celery … worker``, which logs warnings, as it does unless it is told otherwise."""

    def __init__(self, situation: Situation) -> None:
        super().__init__(situation)
        self._service: Service | None = None

    def start(self) -> None:
        """See :meth:`Contestant.start`."""
        command = [sys.executable, "-m", "celery", "-A", self._application(), "worker", "--loglevel=WARNING"]
        self._service = Service([*command, "-n", f"{self.name}@%h", *self._options()], self._environment())
        self._wait_for_first_answer()

    def settle(self) -> None:
        """See :meth:`Contestant.settle`."""
        deadline_s = time.monotonic() + _START_S
        while sum(map(is_computing, family(self._root()))) < len(self.situation.cores):
            if self._ended() or time.monotonic() > deadline_s:
                raise UnavailableError(f"{self.name} did not start:\n{self._log()}")
            time.sleep(_LOOK_S)

    def stop(self) -> None:
        """See :meth:`Contestant.stop`."""
        if self._service:
            self._service.stop()

    @abstractmethod
    def _application(self) -> str: ...

    @abstractmethod
    def _options(self) -> list[str]: ...

    @abstractmethod
    def _environment(self) -> Mapping[str, str]: ...

    def _root(self) -> int:
        if self._service is None:
            raise UnavailableError(f"{self.name} was not started")
        return self._service.pid

    def _ended(self) -> bool:
        return self._service is None or self._service.ended

    def _log(self) -> str:
        return self._service.log[-2000:] if self._service else ""


class _Celeriac(_Worker):
    packages: ClassVar[tuple[str, ...]] = ("openvino", "tokenizers")
    #: What differs from the defaults.
    settings: ClassVar[Mapping[str, str]] = {}

    def __init__(self, situation: Situation) -> None:
        super().__init__(situation)
        # Its own leases: on this machine, another worker may serve.
        self._leases = tempfile.TemporaryDirectory(prefix="celeriac-cores-")

    def stop(self) -> None:
        """See :meth:`Contestant.stop`."""
        super().stop()
        self._leases.cleanup()

    def _application(self) -> str:
        return "worker"

    def _options(self) -> list[str]:
        return []

    def _environment(self) -> Mapping[str, str]:
        return {
            "CELERIAC_BROKER_URL": self.situation.url,
            "CELERIAC_RESULT_BACKEND_URL": self.situation.url,
            "CELERIAC_MODELS": str(self.workload.model),
            "CELERIAC_CORES_LEASE_DIR": self._leases.name,
            **self.settings,
        }


class CeleriacSingle(_Celeriac):
    """One text a message."""

    name: ClassVar[str] = "celeriac_single"
    summary: ClassVar[str] = "`celery -A worker worker`, one text a message"


class CeleriacBulk(_Celeriac):
    """As many texts a message as the contract allows."""

    name: ClassVar[str] = "celeriac_bulk"
    summary: ClassVar[str] = f"`celery -A worker worker` as set up for bulk alone, {MAX_INPUTS} texts a message"
    per_message: ClassVar[int] = MAX_INPUTS
    queue_class: ClassVar[QueueClass] = QueueClass.BULK
    #: As the README sets a worker up that serves bulk queues alone.
    settings: ClassVar[Mapping[str, str]] = {"CELERIAC_BATCH_BULK_S": "4", "CELERIAC_LIMITS_HELD_WORK_S": "10"}


class _PlainCelery(_Worker):
    #: What :mod:`benchmarks.contestants.plain_worker` loads.
    library: ClassVar[str]

    def _application(self) -> str:
        return "benchmarks.contestants.plain_worker"

    def _options(self) -> list[str]:
        return ["-P", "prefork", "-c", str(len(self.situation.cores)), "-Q", queue_name(self.workload.task)]

    def _environment(self) -> Mapping[str, str]:
        return {
            "BENCH_BROKER_URL": self.situation.url,
            "BENCH_LIBRARY": self.library,
            "BENCH_MODEL": str(self._model()),
            "BENCH_TASK": self.workload.task.value,
            "BENCH_CORES": ",".join(map(str, self.situation.cores)),
            # One thread a process, also in what torch is built on.
            "OMP_NUM_THREADS": "1",
            "TOKENIZERS_PARALLELISM": "false",
        }

    @abstractmethod
    def _model(self) -> object: ...


class CeleryTransformers(_PlainCelery):
    """What most people write first."""

    name: ClassVar[str] = "celery_transformers"
    summary: ClassVar[str] = "plain Celery prefork, transformers pipeline on torch FP32, one text a message"
    packages: ClassVar[tuple[str, ...]] = ("torch", "transformers")
    library: ClassVar[str] = "transformers"

    @property
    def arithmetic(self) -> Arithmetic | None:
        """See :attr:`Contestant.arithmetic`."""
        return None

    def _model(self) -> object:
        if self.workload.checkpoint is None:
            raise UnavailableError("there is no checkpoint for torch")
        return self.workload.checkpoint


class CeleryOptimum(_PlainCelery):
    """What one writes who knows optimum-intel."""

    name: ClassVar[str] = "celery_optimum"
    summary: ClassVar[str] = "plain Celery prefork, optimum-intel pipeline on the same INT8 files, one text a message"
    packages: ClassVar[tuple[str, ...]] = ("optimum.intel", "transformers")
    library: ClassVar[str] = "optimum"

    @property
    def arithmetic(self) -> Arithmetic | None:
        """See :attr:`Contestant.arithmetic`; optimum computes what the file says."""
        return Arithmetic.INT8

    def _model(self) -> object:
        return self.workload.model
