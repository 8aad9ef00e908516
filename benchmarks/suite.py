"""The whole run: workload by workload, latency, one core beside all; results are written as they come."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tqdm import tqdm

from benchmarks.fastest import fastest_arithmetic
from benchmarks.latency import LatencyOptions, lone_requests, under_load
from benchmarks.machine import git_revision, machine, versions
from benchmarks.model_cache import ModelCache
from benchmarks.results_files import write_results
from benchmarks.rounds import RoundOptions, measure
from benchmarks.stack import Stack, on_cores, open_stack
from benchmarks.targets import judge, ratios
from benchmarks.workloads import Workload, make_workload

__all__ = ["Suite", "SuiteOptions"]

#: The workload whose latency and scaling are measured.
_MAIN_WORKLOAD = "short"
_SCALING_CONTESTANTS = ("bound", "celeriac_single", "celeriac_bulk")
_SHARES, _QUICK_SHARES = tuple(tenths / 10 for tenths in range(1, 10)), (0.1, 0.5, 0.9)
_QUICK_LATENCY = ("celeriac_single",)
_MISSED = 3


@dataclass(frozen=True)
class SuiteOptions:
    """What the command line says; see its help."""

    workloads: tuple[str, ...]
    contestants: tuple[str, ...]
    by_name: frozenset[str]
    texts: int
    rounds: int
    seconds: float
    in_flight: int
    cores: int
    quick: bool
    latency: bool
    scaling: bool
    strict: bool
    output: Path
    cache: Path
    checkpoints: Path | None

    @property
    def round_options(self) -> RoundOptions:
        """For each workload."""
        return RoundOptions(self.rounds, self.seconds, self.seconds / 2)

    @property
    def latency_options(self) -> LatencyOptions:
        """For each contestant."""
        if self.quick:
            return LatencyOptions(_QUICK_SHARES, 2 * self.seconds, 60, _QUICK_LATENCY)
        return LatencyOptions(_SHARES, self.seconds, 200)


class Suite:
    """One run with its results."""

    def __init__(self, options: SuiteOptions) -> None:
        self._options = options
        self._cache = ModelCache(options.cache, options.checkpoints, self._say)
        settings = {key: str(value) if isinstance(value, Path) else value for key, value in asdict(options).items()}
        for private in ("output", "cache", "checkpoints", "by_name"):
            settings.pop(private)
        self._results: dict[str, Any] = {
            "format": 1,
            "date": datetime.now(UTC).isoformat(timespec="seconds"),
            "revision": git_revision(),
            "versions": versions(),
            "settings": settings | {"real_checkpoints": options.checkpoints is not None},
            "workloads": {},
        }

    def run(self) -> int:
        """Measure everything, and return the exit status."""
        options = self._options
        with on_cores(options.cores):
            self._results["machine"] = machine()
            for name in options.workloads:
                self._measure(name)
                self._write()
            if options.scaling and _MAIN_WORKLOAD in options.workloads and options.cores > 1:
                self._measure_one_core()
                self._write()
        print((options.output / "latest.md").read_text(encoding="utf-8"))
        return self._status()

    def _workload(self, name: str) -> Workload:
        options = self._options
        checkpoint, same = None, False
        if "celery_transformers" in options.contestants:
            checkpoint, same = self._cache.checkpoint(name)
        model = self._cache.int8_model(name)
        workload = make_workload(name, options.texts, model=model, checkpoint=checkpoint, same_weights=same)
        return replace(workload, arithmetic=fastest_arithmetic(workload.model))

    def _measure(self, name: str) -> None:
        options = self._options
        workload = self._workload(name)
        latency = options.latency and name == _MAIN_WORKLOAD
        steps = len(options.contestants) * (2 + options.rounds)
        if latency:
            steps += len(options.latency_options.names) * len(options.latency_options.shares) + 1
        with tqdm(total=steps, desc=name, unit="step") as bar:
            step = _advance(bar)
            with self._stack(workload, options.contestants, step) as stack:
                contestants = measure(workload, stack, options.round_options, step)
                figures = {"description": workload.description, "contestants": contestants}
                figures["ratios"] = ratios(contestants)
                self._results["workloads"][name] = figures
                if latency:
                    self._results["latency"] = self._latency(stack, contestants, step)

    def _stack(self, workload: Workload, names: tuple[str, ...], step: Iterator[object]) -> Any:
        options = self._options
        return open_stack(workload, names, in_flight=options.in_flight, quick=options.quick, step=step)

    def _latency(self, stack: Stack, figures: dict[str, Any], step: Iterator[object]) -> dict[str, Any]:
        options = self._options.latency_options
        points = {}
        lone = lone_requests(stack, options.names, options.lone_requests)
        next(step, None)
        for name in options.names:
            if contestant := stack.contestants.get(name):
                with contestant.turn():
                    points[name] = under_load(contestant, figures[name]["texts_per_second"], options, step)
        return {"workload": _MAIN_WORKLOAD, "lone_requests": lone, "under_load": points}

    def _measure_one_core(self) -> None:
        """The same on one core; what was measured on all stands beside it."""
        names = tuple(name for name in _SCALING_CONTESTANTS if name in self._options.contestants)
        workload = self._workload(_MAIN_WORKLOAD)
        steps = len(names) * (2 + self._options.rounds)
        with on_cores(1), tqdm(total=steps, desc="one core", unit="step") as bar:
            step = _advance(bar)
            with self._stack(workload, names, step) as stack:
                alone = measure(workload, stack, self._options.round_options, step)
        everywhere = self._results["workloads"][_MAIN_WORKLOAD]["contestants"]
        self._results["scaling"] = {
            "workload": _MAIN_WORKLOAD,
            "cores": {
                "1": {name: alone[name] for name in names},
                str(self._options.cores): {name: everywhere[name] for name in names},
            },
        }

    def _write(self) -> None:
        self._results["targets"] = judge(self._results["workloads"])
        write_results(self._options.output, self._results, self._say)

    def _status(self) -> int:
        options = self._options
        failed = False
        for name, figures in self._results["workloads"].items():
            for contestant, seen in figures["contestants"].items():
                if why := seen.get("unavailable"):
                    self._say(f"{name}: {contestant} could not run: {why}")
                    failed |= contestant in options.by_name
                elif not seen["answers_right"]:
                    self._say(f"{name}: {contestant} gave wrong answers or none")
                    failed = True
            failed |= all("unavailable" in seen for seen in figures["contestants"].values())
        if failed:
            return 1
        missed = any(verdict["met"] is False for verdict in self._results["targets"])
        return _MISSED if options.strict and missed else 0

    @staticmethod
    def _say(text: str) -> None:
        tqdm.write(text, file=sys.stderr)


def _advance(bar: tqdm[Any]) -> Iterator[None]:
    """Each ``next`` is a step."""
    while True:
        bar.update()
        yield
