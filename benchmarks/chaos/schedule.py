"""Which faults happen when: all of it follows from the seed."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from benchmarks.chaos.options import RunOptions
from benchmarks.chaos.steps import PARENT_STEPS, PROCESS_STEPS, Step

__all__ = ["Fault", "FaultKind", "plan_faults"]

#: Faults begin after the first moments, when all workers are at work, and end a little before the last message is sent.
_QUIET_START_S = 2.0
_QUIET_END_SHARE = 0.05
#: One in so many whole workers dies without its pool processes, which are left to themselves.
_PARENT_ALONE = 3
#: The steps of a parent are passed once a call or a message, those of a process once a batch.
_MOST_PASSINGS = 40
_MOST_REDIS_PAUSE_S = 3.0


class FaultKind(Enum):
    """What is done to whom."""

    KILL_PROCESS = "SIGKILL of a pool process"
    KILL_WORKER = "SIGKILL of a worker with its processes"
    KILL_PARENT = "SIGKILL of a worker's parent alone"
    STOP_WORKER = "SIGSTOP and SIGCONT of a worker with its processes"
    STOP_PROCESS = "SIGSTOP and SIGCONT of a pool process"
    DRAIN_WORKER = "SIGTERM of a worker"
    PAUSE_REDIS = "pause of Redis"
    RESTART_REDIS = "restart of Redis"
    CUT_CONNECTIONS = "all connections of workers are cut"

    @property
    def is_kill(self) -> bool:
        """Whether it is a SIGKILL."""
        return self in _KILLS

    @property
    def is_of_worker(self) -> bool:
        """Whether it is a SIGKILL of a whole worker."""
        return self in {FaultKind.KILL_WORKER, FaultKind.KILL_PARENT}


_KILLS = frozenset({FaultKind.KILL_PROCESS, FaultKind.KILL_WORKER, FaultKind.KILL_PARENT})
#: How many kills there are for each fault of another kind; there is at least one of each.
_KILLS_PER_FAULT = {
    FaultKind.STOP_WORKER: 12,
    FaultKind.STOP_PROCESS: 12,
    FaultKind.DRAIN_WORKER: 15,
    FaultKind.PAUSE_REDIS: 20,
    FaultKind.RESTART_REDIS: 30,
    FaultKind.CUT_CONNECTIONS: 20,
}


@dataclass(frozen=True)
class Fault:
    """One fault.

    Attributes:
        at_s: seconds from the first message.
        kind: what is done.
        worker: which worker, as a share of those that are ready then.
        process: which of its processes, likewise.
        lasts_s: how long a stop or a pause lasts.
        step: the step at which a process kills itself; None to kill it from outside, at once.
        passings: how often the step is passed before.
    """

    at_s: float
    kind: FaultKind
    worker: float
    process: float
    lasts_s: float = 0.0
    step: Step | None = None
    passings: int = 1

    def describe(self) -> str:
        """The fault in words."""
        at = f" at {self.step.name}" if self.step is not None else ""
        lasts = f" for {self.lasts_s:.1f} s" if self.lasts_s else ""
        return f"{self.kind.value}{at}{lasts}"


def plan_faults(options: RunOptions) -> list[Fault]:
    """The faults of a run, in order."""
    dice = random.Random(f"{options.seed}:faults")  # noqa: S311 - replayed from the seed
    kinds = _kinds_of_kills(options, dice)
    moments = _spread(len(kinds), options, dice)
    faults = [_kill(at_s, kind, options, dice) for at_s, kind in zip(moments, kinds, strict=True)]
    if options.other_faults:
        for kind, kills in _KILLS_PER_FAULT.items():
            faults += [
                Fault(at_s, kind, dice.random(), dice.random(), _length_s(kind, options, dice))
                for at_s in _spread(max(1, options.kills // kills), options, dice)
            ]
    return sorted(faults, key=lambda fault: fault.at_s)


def _kinds_of_kills(options: RunOptions, dice: random.Random) -> list[FaultKind]:
    alone = options.worker_kills // _PARENT_ALONE
    kinds = [FaultKind.KILL_PARENT] * alone + [FaultKind.KILL_WORKER] * (options.worker_kills - alone)
    kinds += [FaultKind.KILL_PROCESS] * (options.kills - options.worker_kills)
    dice.shuffle(kinds)
    return kinds


def _spread(count: int, options: RunOptions, dice: random.Random) -> Sequence[float]:
    """Moments over the whole run, one at random within each part of it."""
    length_s = max(0.0, options.seconds * (1 - _QUIET_END_SHARE) - _QUIET_START_S)
    return [_QUIET_START_S + (index + dice.random()) * length_s / count for index in range(count)]


def _kill(at_s: float, kind: FaultKind, options: RunOptions, dice: random.Random) -> Fault:
    worker, process = dice.random(), dice.random()
    step = dice.choice(PARENT_STEPS if kind.is_of_worker else PROCESS_STEPS)
    passings = dice.randint(1, _MOST_PASSINGS if kind.is_of_worker else _MOST_PASSINGS // 4)
    if not options.at_steps:
        return Fault(at_s, kind, worker, process)
    if step in {Step.CHORD_BEGINS, Step.CHORD_ENDED}:
        passings = 1
    return Fault(at_s, kind, worker, process, step=step, passings=passings)


def _length_s(kind: FaultKind, options: RunOptions, dice: random.Random) -> float:
    if kind is FaultKind.STOP_WORKER:
        # Some are longer than what the worker holds stays its own.
        return dice.uniform(0.5, 1.5 * options.visibility_timeout_s)
    if kind is FaultKind.STOP_PROCESS:
        return dice.uniform(0.5, options.visibility_timeout_s)
    return dice.uniform(0.3, _MOST_REDIS_PAUSE_S) if kind is FaultKind.PAUSE_REDIS else 0.0
