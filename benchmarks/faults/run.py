"""Plays one fault and says what became of the requests."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from typing import Any

from benchmarks.faults.scenes import FAULTS
from benchmarks.faults.traffic import Ledger, Traffic
from examples.local_stack import PATIENCE_S, LocalWorker
from worker.endpoints.procfs import resources_of

__all__ = ["Outcome", "play"]

#: Answers before the fault, and how long requests are sent after it, in seconds.
_WARM_ANSWERS, _AFTER_S = 20, 3.0
#: How long accepted requests may take to end once nobody sends any more, in seconds: more than a visibility timeout.
_DRAIN_S = 75.0
#: How long the service may take to be back, in seconds, before it counts as gone.
_BACK_S = 60.0
_POLL_S = 0.05


@dataclass(frozen=True)
class Outcome:
    """What became of the requests of one fault.

    Attributes:
        fault: its name.
        what: what was done.
        accepted: requests whose ``submit`` returned.
        answered: those of them that were answered.
        failed: requests that ended with an error: at ``submit``, or instead of an answer, by type.
        waits_failed: calls of ``wait`` that ended with an error and were made again, by type.
        lost: accepted requests without any end.
        may_lose: why Redis may lose some, and what closes it; empty where nothing may be lost.
        back_s: seconds from the fault's end to the first answer to a request sent after it; None if there was none.
        worker_restarts: how often the worker took up its consumer again.
        worker_cpu_s: what the worker computed, in seconds of CPU time, from the fault's begin to its end.
        worker_ended: its exit status, if it has ended; None if not.
    """

    fault: str
    what: str
    accepted: int
    answered: int
    failed: dict[str, int]
    waits_failed: dict[str, int]
    lost: int
    may_lose: str
    back_s: float | None
    worker_restarts: int
    worker_cpu_s: float
    worker_ended: int | None

    @property
    def is_good(self) -> bool:
        """Whether nothing is lost that Redis keeps, and the service came back."""
        return (not self.lost or bool(self.may_lose)) and self.back_s is not None and self.worker_ended is None

    @property
    def summary(self) -> str:
        """What became of the requests, in a line."""
        back = "never back" if self.back_s is None else f"back after {self.back_s:g} s"
        ended = "" if self.worker_ended is None else f", the worker ended with status {self.worker_ended}"
        failed = sum(self.failed.values())
        return f"{self.accepted} accepted, {self.answered} answered, {failed} failed, {self.lost} lost, {back}{ended}"

    @classmethod
    def from_json(cls, found: Mapping[str, Any]) -> Outcome:
        """One that was stored."""
        return cls(**found)

    def as_json(self) -> dict[str, Any]:
        """For the results' file."""
        return asdict(self)


def play(name: str, log: list[str] | None = None) -> Outcome:
    """Play one fault.

    Args:
        name: of :data:`FAULTS`.
        log: gets the worker's log.
    """
    fault = FAULTS[name]
    with ExitStack() as stack:
        stage = fault.stage(stack)
        worker = stack.enter_context(
            LocalWorker(["--concurrency=1"], {**stage.environment, "CELERIAC_MODELS": "sentiment"})
        )
        worker.wait_until_ready()
        stage.worker = worker
        with Traffic(*stage.client_urls, durable=fault.durable, call_s=fault.call_s) as traffic:
            worker.wait_for(
                lambda: len(traffic.ledger.answered) >= _WARM_ANSWERS and bool(traffic.ledger.probes), PATIENCE_S
            )
            cpu_s = _cpu_s(worker)
            well_s = fault.play(stage)
            cpu_s = _cpu_s(worker) - cpu_s
            back_s = _wait_until_back(traffic.ledger, worker, well_s)
            time.sleep(_AFTER_S)
            traffic.end()
            traffic.drain(stage.is_empty, _DRAIN_S if worker.exit_status is None else 0.0)
        if log is not None:
            log.append(worker.log)
        return _outcome(name, traffic.ledger, worker, back_s, cpu_s)


def _wait_until_back(ledger: Ledger, worker: LocalWorker, well_s: float) -> float | None:
    give_up_s = well_s + _BACK_S
    while (back_s := ledger.back_after_s(well_s)) is None:
        if time.monotonic() > give_up_s or worker.exit_status is not None:
            break
        time.sleep(_POLL_S)
    return back_s


def _cpu_s(worker: LocalWorker) -> float:
    found = [resources_of(pid) for pid in (worker.pid, *worker.processes.values())]
    return sum(one.cpu_seconds for one in found if one is not None)


def _outcome(name: str, ledger: Ledger, worker: LocalWorker, back_s: float | None, cpu_s: float) -> Outcome:
    fault = FAULTS[name]
    return Outcome(
        fault=name,
        what=fault.what,
        accepted=len(ledger.accepted),
        answered=len(ledger.answered),
        failed=dict(ledger.refused + Counter(ledger.failed.values())),
        waits_failed=dict(ledger.waits_failed),
        lost=len(ledger.open),
        may_lose=fault.may_lose,
        back_s=None if back_s is None else round(back_s, 1),
        worker_restarts=worker.log.count("onnection to broker lost"),
        worker_cpu_s=round(cpu_s, 1),
        worker_ended=worker.exit_status,
    )
