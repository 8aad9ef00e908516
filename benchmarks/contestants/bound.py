"""What the cores can do: tokenizer and OpenVINO alone, one process a core, no queue."""

from __future__ import annotations

import multiprocessing
import os
import time
from collections.abc import Mapping, Sequence
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, ClassVar

from benchmarks.contestants.base import LONE_PAUSE_S, Contestant, Situation, UnavailableError
from benchmarks.workloads import Item
from models.engine.arithmetic import Arithmetic
from producer.contract import TaskName

__all__ = ["Bound"]

_TUNING_S, _QUICK_TUNING_S = 1.0, 0.4
#: Padded tokens of a batch, and what lengths are rounded to; the best on this machine and these texts is taken.
_SHAPES = ((256, 4), (512, 4), (1024, 4), (512, 8), (1024, 8), (512, 16), (1024, 16), (2048, 16))
_QUICK_SHAPES = ((512, 4), (512, 8), (1024, 8))


class Bound(Contestant):
    """Splits the items evenly; each process sorts windows of its share by length."""

    name: ClassVar[str] = "bound"
    summary: ClassVar[str] = "tokenizer and OpenVINO alone, no queue"
    packages: ClassVar[tuple[str, ...]] = ("openvino", "tokenizers")

    def __init__(self, situation: Situation) -> None:
        super().__init__(situation)
        self._processes: list[BaseProcess] = []
        self._links: list[Connection] = []
        self._rate = 0.0
        self._shape: tuple[int, int] = (0, 0)

    def start(self) -> None:
        """See :meth:`Contestant.start`."""
        context = multiprocessing.get_context("spawn")
        for core in self.situation.cores:
            ours, theirs = context.Pipe()
            arguments = (theirs, core, self.workload.model, self.workload.task, self.workload.arithmetic)
            process = context.Process(target=_serve, args=arguments, daemon=True)
            process.start()
            theirs.close()
            self._processes.append(process)
            self._links.append(ours)
        self._ask(0, self.workload.items[:1])

    def settle(self) -> None:
        """Wait for all processes and find the best batch."""
        for index in range(len(self._links)):
            self._ask(index, self.workload.items[:1])
        self._tune()

    def answer(self, items: Sequence[Item]) -> list[str | None]:
        """See :meth:`Contestant.answer`."""
        share = -(-len(items) // len(self._links))
        parts = [items[start : start + share] for start in range(0, len(items), share)]
        replies = self._ask_all(parts)
        # What each does while the others do too, added up: a process that is done early does not lower it.
        self._rate = sum(len(part) / seconds for part, (_, seconds) in zip(parts, replies, strict=True))
        return [answer for answers, _ in replies for answer in answers]

    def own_rate(self) -> float:
        """See :meth:`Contestant.own_rate`."""
        return self._rate

    def answer_alone(self, items: Sequence[Item]) -> list[float]:
        """See :meth:`Contestant.answer_alone`; what the process itself takes, twice so that all shapes are known."""
        for item in items:
            self._ask(0, [item])
        seconds = []
        for item in items:
            time.sleep(LONE_PAUSE_S)
            seconds.append(self._ask(0, [item])[1])
        return seconds

    def parties(self) -> dict[str, list[int]]:
        """See :meth:`Contestant.parties`."""
        pids = [process.pid for process in self._processes if process.pid]
        return {"producer": [os.getpid()], "redis": [], "parent": [], "processes": pids}

    def details(self) -> Mapping[str, Any]:
        """The batch that was best."""
        return {"batch_tokens": self._shape[0], "lengths_rounded_to": self._shape[1]}

    def stop(self) -> None:
        """See :meth:`Contestant.stop`."""
        for link in self._links:
            link.close()
        for process in self._processes:
            process.join(5)
            process.kill()

    def _tune(self) -> None:
        wanted_s = _QUICK_TUNING_S if self.situation.quick else _TUNING_S
        probe = self.workload.items[:32]
        self._ask_all([probe] * len(self._links))
        count = int(32 / self._ask(0, probe)[1] * wanted_s)
        items = self.workload.items[: max(32, min(count, 1024))]
        speeds = {}
        for shape in _QUICK_SHAPES if self.situation.quick else _SHAPES:
            self._ask_all([shape] * len(self._links))
            # The first time makes kernels for the shapes, the second is what counts.
            self._ask_all([items] * len(self._links))
            seconds = [reply[1] for reply in self._ask_all([items] * len(self._links))]
            speeds[shape] = len(items) / max(seconds)
        self._shape = max(speeds, key=speeds.__getitem__)
        self._ask_all([self._shape] * len(self._links))

    def _ask_all(self, commands: Sequence[Any]) -> list[tuple[list[str], float]]:
        for link, command in zip(self._links, commands, strict=False):
            link.send(command)
        return [self._reply(index) for index, _ in enumerate(commands)]

    def _ask(self, index: int, command: Any) -> tuple[list[str], float]:
        self._links[index].send(command)
        return self._reply(index)

    def _reply(self, index: int) -> tuple[list[str], float]:
        link = self._links[index]
        try:
            while not link.poll(1.0):
                if not self._processes[index].is_alive():
                    raise UnavailableError(f"a process of {self.name} has ended")
            reply: tuple[list[str], float] = link.recv()
        except (EOFError, OSError) as error:
            raise UnavailableError(f"a process of {self.name} has ended: {error!r}") from error
        return reply


def _serve(link: Connection, core: int, directory: Path, task: TaskName, arithmetic: Arithmetic) -> None:
    """A process: a shape is taken over, items are answered; each reply has the seconds that it took."""
    os.sched_setaffinity(0, {core})
    from benchmarks.bare_model import BareModel, Shape

    model = BareModel(directory, task, arithmetic)
    while True:
        try:
            command = link.recv()
        except EOFError:
            return
        started_s = time.perf_counter()
        answers: list[str] = []
        if isinstance(command, tuple):
            model.shape = Shape(*command)
        else:
            answers = model.answer(command)
        link.send((answers, time.perf_counter() - started_s))
