"""Let workers run for a while, without faults, and see whether anything grows: ``python -m benchmarks.chaos.soak``.

Memory of parents and processes, open files, keys, channels and connections are sampled and plotted. The first third of
the time is for warming up. The exit status is 0; 1 where something grows or a message is lost; 3 where the run could
not be made.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks.chaos.options import Contestant, Mode, RunOptions
from benchmarks.chaos.run import ChaosError, run_chaos
from benchmarks.chaos.samples import SERIES, Growth, Sampler, growth_of
from benchmarks.chaos.workplace import fresh_directory
from benchmarks.machine import git_revision, machine, versions

_ROOT = Path(__file__).resolve().parents[2]
_RESULTS = _ROOT / "benchmarks" / "results"
_KEEP = _ROOT / "build" / "chaos"
_WARM_UP_SHARE = 1 / 3
_SAMPLES = 180
_LEAST_SAMPLES = 6
#: Results are gone so soon that keys come and go at the same rate for most of the run.
_RESULT_EXPIRES_SHARE = 0.1
_FAILED_RUN, _INTERRUPTED = 3, 130


def main(arguments: list[str] | None = None) -> int:
    """Run, print, write, plot."""
    given = _parser().parse_args(arguments)
    seconds = given.minutes * 60
    options = RunOptions(
        messages=round(given.rate * seconds),
        kills=0,
        worker_kills=0,
        seconds=seconds,
        seed=given.seed,
        mode=Mode(given.mode),
        workers=given.workers,
        processes=given.processes,
        text_share=0.5,
        other_faults=False,
        result_expires_s=max(10, round(seconds * _RESULT_EXPIRES_SHARE)),
        canvas=False,
    )
    # As Ctrl-C: what was started is ended.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    directory = fresh_directory(given.keep / "soak")
    samplers: list[Sampler] = []

    def watch(fleet: Any, url: str) -> Sampler:
        samplers.append(Sampler(fleet, url, max(0.5, seconds / _SAMPLES)))
        return samplers[0]

    try:
        verdict = run_chaos(options, Contestant.CELERIAC, directory, watch=watch)
    except ChaosError as error:
        print(f"error: {error}", file=sys.stderr)
        return _FAILED_RUN
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return _INTERRUPTED
    sampler = samplers[0]
    growth = judge_growth(sampler.times_s, sampler.samples, seconds)
    print(_table(growth))
    _write(given.output, sampler, growth, verdict.figures)
    grows = [name for name, one in growth.items() if not one.is_flat]
    for problem in [*verdict.problems, *(f"{SERIES[name].title}: grows by {growth[name].growth}" for name in grows)]:
        print(problem, file=sys.stderr)
    return 1 if grows or not growth or not verdict.is_good else 0


def judge_growth(times_s: list[float], samples: Mapping[str, list[float]], seconds: float) -> dict[str, Growth]:
    """The growth of each series after the warm-up; empty if there are too few samples to judge by."""
    kept = [index for index, at_s in enumerate(times_s) if _WARM_UP_SHARE * seconds <= at_s <= seconds]
    if len(kept) < _LEAST_SAMPLES:
        return {}
    times = [times_s[index] for index in kept]
    return {name: growth_of(name, times, [values[index] for index in kept]) for name, values in samples.items()}


def _table(growth: Mapping[str, Growth]) -> str:
    rows = [f"{'':<46}{'median':>10}{'growth':>10}"]
    for name, one in growth.items():
        verdict = "flat" if one.is_flat else "GROWS"
        rows.append(f"{SERIES[name].title:<46}{one.median:>10}{one.growth:>10}  {verdict}")
    return "\n".join(rows)


def _write(directory: Path, sampler: Sampler, growth: Mapping[str, Growth], figures: Mapping[str, Any]) -> None:
    directory.mkdir(parents=True, exist_ok=True)
    results = {
        "messages": figures["messages"],
        "lost": figures["lost"],
        "seconds": figures["seconds"],
        "growth": {name: asdict(one) for name, one in growth.items()},
        "times_s": sampler.times_s,
        "samples": sampler.samples,
        "revision": git_revision(),
        "machine": machine(),
        "versions": versions(),
    }
    (directory / "soak.json").write_text(json.dumps(results) + "\n", encoding="utf-8")
    try:
        from benchmarks.plots import make_grid, save
    except ImportError as error:
        print(f"no plot: {error}", file=sys.stderr)
        return
    figure, axes = make_grid(3, 3)
    for axis, (name, values) in zip(axes, sampler.samples.items(), strict=True):
        axis.plot([at_s / 60 for at_s in sampler.times_s], values)
        axis.set_title(SERIES[name].title, fontsize=9)
        axis.set_xlabel("minutes", fontsize=8)
        # A line that does not change would lie on the frame.
        axis.set_ylim(0, 1.1 * max(1, *values))
        axis.grid(visible=True, alpha=0.25)
    save(directory, "soak.png", figure)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.chaos.soak",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--minutes", type=float, default=15.0, help="default: %(default)s")
    parser.add_argument("--rate", type=float, default=60.0, help="messages a second (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="of the messages (default: %(default)s)")
    parser.add_argument("--mode", choices=[mode.value for mode in Mode], default="real", help="default: %(default)s")
    parser.add_argument("--workers", type=int, default=1, help="default: %(default)s")
    parser.add_argument("--processes", type=int, default=2, help="of each worker (default: %(default)s)")
    parser.add_argument("--output", type=Path, default=_RESULTS, help="directory of results (default: %(default)s)")
    parser.add_argument("--keep", type=Path, default=_KEEP, help="logs and journals (default: %(default)s)")
    return parser


if __name__ == "__main__":
    sys.exit(main())
