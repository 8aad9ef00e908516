"""Our scaling rule beside Celery's and KEDA's, on the same arrivals: ``python -m benchmarks.scaling``.

A simulation in steps of a tenth of a second: requests arrive, wait in one queue in their order, and are served by
however many processes are up. Ours is decided by ``worker.scaling.rule``, the code that a worker runs. The rules of the
others are written down from their documentation: Celery's autoscaler counts what a worker holds (up at once, down 30 s
after the last message), KEDA asks for the length of the list every 30 s, which does not hold what workers have fetched,
and its HPA goes down to what the last 300 s asked for. A pod starts slower than a process. *celeriac, pods* is our
rule for pods, as ``deploy/kubernetes/keda`` has it.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import sys
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from benchmarks.arrivals import percentile
from config.groups import ScaleSettings
from worker.scaling.rule import ScalingRule
from worker.workload.workload import ArrivalMeter, Workload

__all__ = ["PATTERNS", "RULES", "Outcome", "simulate"]

STEP_S = 0.1
#: Requests that one process does in a second.
RATE = 100.0
MOST = 50
#: What a process has fetched ahead; KEDA and the broker's list do not see it.
_HELD_PER_PROCESS = 200
_PROCESS_START_S, _POD_START_S = 2.0, 15.0
_CELERY_KEEPALIVE_S, _KEDA_POLL_S, _HPA_WINDOW_S = 30.0, 30.0, 300.0
#: ``CELERIAC_SCALE_DRAIN_S`` of ``deploy/kubernetes/keda``: about as long as it takes for a pod to be there.
PODS_DRAIN_S = 30.0
#: ``/scale`` says what is needed now; what was needed before is the HPA's to remember.
_NO_MEMORY_S = 1e-6
#: An HPA asks this often, and does nothing about a difference of a tenth.
_HPA_SYNC_S, _HPA_TOLERANCE = 15.0, 0.1
#: Of ``deploy/kubernetes/keda/scaling.yaml``: the window for going down, the largest step up in 15 s, and down in 60 s.
_PODS_WINDOW_S, _PODS_UP, _PODS_UP_LEAST, _PODS_DOWN, _PODS_DOWN_S = 120.0, 10, 10, 0.75, 60.0
#: Growing again so soon after having shrunk is flapping.
_FLAP_S = 60.0
_LARGE_MEAN = 50
_SEED = 5


@dataclass(frozen=True)
class View:
    """What a rule sees at one moment.

    Attributes:
        now_s: since the start.
        waiting: requests that wait or run.
        processes: that are up or starting.
        arrived: requests since the start.
        last_arrival_s: when the last one came.
    """

    now_s: float
    waiting: int
    processes: int
    arrived: int
    last_arrival_s: float

    @property
    def held(self) -> int:
        """What the workers have fetched."""
        return min(self.waiting, self.processes * _HELD_PER_PROCESS)


class Rule(Protocol):
    """Decides how many processes there should be."""

    start_s: float

    def decide(self, view: View) -> int:
        """Asked at every step."""
        ...


class Ours:
    """``worker/scaling/rule.py``, twice a second, on a sample of up to a second ago.

    Args:
        targets: its defaults, where none are given.
    """

    start_s = _PROCESS_START_S

    def __init__(self, targets: ScaleSettings | None = None) -> None:
        self._rule = ScalingRule(targets or ScaleSettings())
        self._meter = ArrivalMeter()
        self._next_s = self._sample_s = 0.0
        self._queued_s = self._arriving = 0.0
        self._wanted = 1

    def decide(self, view: View) -> int:
        """See :class:`Rule`."""
        if view.now_s >= self._sample_s:
            self._sample_s = view.now_s + 1.0
            queued = view.waiting - view.held
            self._queued_s = queued / RATE
            self._arriving = self._meter.update(view.now_s, (view.arrived - queued) / RATE, self._queued_s)
        if view.now_s >= self._next_s:
            self._next_s = view.now_s + 0.5
            load = Workload(self._queued_s + view.held / RATE, self._arriving)
            self._wanted = self._rule.decide(view.now_s, load, 1, MOST)
        return self._wanted


class Celery:
    """``celery.worker.autoscale``: as many processes as requests are held; fewer only 30 s after the last message.

    Args:
        most: as in ``--autoscale=most,1``.
    """

    start_s = _PROCESS_START_S

    def __init__(self, most: int = MOST) -> None:
        self._most = most

    def decide(self, view: View) -> int:
        """See :class:`Rule`."""
        if min(view.held, self._most) > view.processes:
            return min(view.held, self._most)
        if max(view.held, 1) < view.processes and view.now_s - view.last_arrival_s > _CELERY_KEEPALIVE_S:
            return max(view.held, 1)
        return view.processes


class Keda:
    """A ``redis`` scaler with ``listLength`` 200 on single-process pods: polled every 30 s, down after 300 s."""

    start_s = _POD_START_S

    def __init__(self) -> None:
        self._next_s = 0.0
        self._asked: deque[tuple[float, int]] = deque()

    def decide(self, view: View) -> int:
        """See :class:`Rule`."""
        if view.now_s >= self._next_s:
            self._next_s = view.now_s + _KEDA_POLL_S
            self._asked.append((view.now_s, math.ceil((view.waiting - view.held) / _HELD_PER_PROCESS)))
        while self._asked and self._asked[0][0] <= view.now_s - _HPA_WINDOW_S:
            self._asked.popleft()
        return min(max(1, *(count for _, count in self._asked)), MOST) if self._asked else 1


class Pods:
    """Our rule on single-process pods: KEDA asks a worker's ``/scale``, and an HPA does what it is told."""

    start_s = _POD_START_S

    def __init__(self) -> None:
        self._rule = Ours(ScaleSettings(drain_s=PODS_DRAIN_S, cooldown_s=_NO_MEMORY_S))
        self._next_s = self._down_s = 0.0
        self._asked: deque[tuple[float, int]] = deque()

    def decide(self, view: View) -> int:
        """See :class:`Rule`."""
        wanted, pods = self._rule.decide(view), view.processes
        if view.now_s < self._next_s:
            return pods
        self._next_s = view.now_s + _HPA_SYNC_S
        self._asked.append((view.now_s, wanted))
        while self._asked[0][0] <= view.now_s - _PODS_WINDOW_S:
            self._asked.popleft()
        highest = max(count for _, count in self._asked)
        if wanted > pods * (1 + _HPA_TOLERANCE):
            return min(wanted, max(pods * _PODS_UP, pods + _PODS_UP_LEAST))
        if highest < pods * (1 - _HPA_TOLERANCE) and view.now_s >= self._down_s:
            self._down_s = view.now_s + _PODS_DOWN_S
            return max(highest, min(math.floor(pods * _PODS_DOWN), pods - 1))
        return pods


#: By name, as they are shown; Celery's also with as many processes at most as cost about what ours do in bursts.
RULES: dict[str, Callable[[], Rule]] = {
    "celeriac": Ours,
    "celeriac, pods": Pods,
    "celery": Celery,
    "celery, 11 at most": lambda: Celery(11),
    "keda": Keda,
}


def _step(now_s: float) -> float:
    """Ten times what one process can, for three minutes."""
    begin_s, end_s = 60, 240
    return 10 * RATE if begin_s <= now_s < end_s else 0.3 * RATE


def _bursts(now_s: float) -> float:
    """Ten seconds of fifteen times what one process can, every two minutes."""
    every_s, length_s = 120, 10
    return 15 * RATE if now_s % every_s < length_s else 0.5 * RATE


def _daily(now_s: float) -> float:
    """A day in an hour."""
    return RATE * (10 - 9.5 * math.cos(2 * math.pi * now_s / 3600))


#: Requests a second by time, and how long.
PATTERNS: dict[str, tuple[Callable[[float], float], float]] = {
    "step": (_step, 600.0),
    "bursts": (_bursts, 900.0),
    "daily": (_daily, 3600.0),
}


@dataclass
class Outcome:
    """What became of the requests, and what it cost.

    Attributes:
        waits: seconds from arrival to end, of each request.
        core_seconds: of all processes, starting ones included.
        processes: at each step.
        waiting: at each step.
        flaps: how often it grew again within a minute of having shrunk.
    """

    waits: list[float] = field(default_factory=list)
    core_seconds: float = 0.0
    processes: list[int] = field(default_factory=list)
    waiting: list[int] = field(default_factory=list)
    flaps: int = 0

    def summary(self) -> dict[str, float]:
        """For the report."""
        return {
            "p50_s": round(percentile(self.waits, 50), 2),
            "p95_s": round(percentile(self.waits, 95), 2),
            "core_seconds": round(self.core_seconds),
            "most_processes": max(self.processes),
            "flaps": self.flaps,
        }


def simulate(rule: Rule, rate: Callable[[float], float], length_s: float) -> Outcome:
    """Serve arrivals at ``rate`` for ``length_s`` seconds, and then what is left."""
    dice = random.Random(_SEED)  # noqa: S311 - a simulation
    outcome = Outcome()
    queue: deque[float] = deque()
    ready_at: list[float] = [0.0]
    arrived, last_arrival_s, capacity, shrunk_s, now_s = 0, 0.0, 0.0, -math.inf, 0.0
    while now_s < length_s or queue:
        for _ in range(_poisson(dice, rate(now_s) * STEP_S) if now_s < length_s else 0):
            queue.append(now_s)
            arrived, last_arrival_s = arrived + 1, now_s
        wanted = rule.decide(View(now_s, len(queue), len(ready_at), arrived, last_arrival_s))
        if wanted > len(ready_at):
            outcome.flaps += now_s - shrunk_s < _FLAP_S
            ready_at += [now_s + rule.start_s] * (wanted - len(ready_at))
        elif wanted < len(ready_at):
            shrunk_s = now_s
            ready_at = sorted(ready_at)[:wanted]
        up = sum(moment <= now_s for moment in ready_at)
        # A process that has nothing to do does not save its time up.
        capacity = min(capacity, 1.0) + up * RATE * STEP_S
        while queue and capacity >= 1.0:
            capacity -= 1.0
            outcome.waits.append(now_s + STEP_S - queue.popleft())
        outcome.core_seconds += len(ready_at) * STEP_S
        outcome.processes.append(len(ready_at))
        outcome.waiting.append(len(queue))
        now_s += STEP_S
    return outcome


def _poisson(dice: random.Random, mean: float) -> int:
    """Knuth's for small means, the normal's for large ones."""
    if mean > _LARGE_MEAN:
        return max(0, round(dice.gauss(mean, math.sqrt(mean))))
    limit, count, product = math.exp(-mean), 0, dice.random()
    while product > limit:
        count += 1
        product *= dice.random()
    return count


def main() -> int:
    """Simulate, print a table, and plot where it is asked for."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scaling", description=__doc__.splitlines()[0])
    parser.add_argument("--pattern", action="append", choices=list(PATTERNS), help="repeatable (default: all)")
    parser.add_argument("--json", action="store_true", help="JSON instead of a table")
    parser.add_argument("--plot", type=Path, help="write a PNG (needs the bench extra)")
    options = parser.parse_args()
    found = {
        pattern: {name: simulate(make(), *PATTERNS[pattern]) for name, make in RULES.items()}
        for pattern in options.pattern or PATTERNS
    }
    if options.json:
        print(json.dumps({p: {n: o.summary() for n, o in by.items()} for p, by in found.items()}, indent=2))
    else:
        _print_table(found)
    if options.plot:
        _plot(found, options.plot)
    return 0


def _print_table(found: dict[str, dict[str, Outcome]]) -> None:
    print("| arrivals | rule | p50 s | p95 s | core-seconds | most processes | flaps |")
    print("| --- | --- | ---: | ---: | ---: | ---: | ---: |")
    for pattern, by_rule in found.items():
        for name, outcome in by_rule.items():
            print(f"| {pattern} | {name} | " + " | ".join(f"{value:g}" for value in outcome.summary().values()) + " |")


def _plot(found: dict[str, dict[str, Outcome]], path: Path) -> None:
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(2, len(found), figsize=(5 * len(found), 6), squeeze=False, sharex="col")
    for column, (pattern, by_rule) in enumerate(found.items()):
        for name, outcome in by_rule.items():
            _draw(axes[0][column], outcome.processes, name)
            _draw(axes[1][column], outcome.waiting, name)
        axes[0][column].set_title(pattern)
        axes[0][column].set_ylabel("processes")
        axes[1][column].set_ylabel("requests waiting")
        axes[1][column].set_yscale("symlog")
        axes[1][column].set_xlabel("seconds")
        axes[0][column].legend()
    figure.tight_layout()
    figure.savefig(path, dpi=110)


def _draw(axis: object, values: Sequence[int], name: str) -> None:
    axis.plot([index * STEP_S for index in range(len(values))], values, label=name, linewidth=1)  # type: ignore[attr-defined]


if __name__ == "__main__":
    sys.exit(main())
