"""Celeriac beside the bare model and its peers, in one run on the same texts, cores and model files.

Writes latest.json, latest.md and plots. The exit status is 0; 1 where a contestant that was asked for by name could
not run, gave wrong answers, or nothing could be measured; 2 for wrong usage; 3 with --strict where a target is missed.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
from pathlib import Path

from benchmarks.arguments import positive
from benchmarks.contestants import CONTESTANTS
from benchmarks.model_cache import ModelCacheError
from benchmarks.suite import Suite, SuiteOptions
from benchmarks.workloads import WORKLOADS

_RESULTS = Path(__file__).parent / "results"
_CACHE = Path("~/.cache/celeriac/benchmarks")
_INTERRUPTED = 130


def main(arguments: list[str] | None = None) -> int:
    """Measure, write, print."""
    options = _parser().parse_args(arguments)
    cores = len(os.sched_getaffinity(0))
    if options.cores and options.cores > cores:
        _parser().error(f"--cores {options.cores}: there are {cores}")
    # As Ctrl-C: what was started is ended.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    suite = Suite(_suite_options(options))
    try:
        return suite.run()
    except ModelCacheError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return _INTERRUPTED


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--workload", action="append", choices=list(WORKLOADS), help="repeatable (default: all)")
    parser.add_argument("--contestant", action="append", choices=list(CONTESTANTS), help="repeatable (default: all)")
    parser.add_argument("--rounds", type=positive, help="turns of each contestant (default: 3)")
    parser.add_argument("--texts", type=positive, default=16384, help="most texts of a turn (default: %(default)s)")
    parser.add_argument("--seconds", type=float, help="what a turn should take (default: 10, quick 2)")
    parser.add_argument("--in-flight", type=positive, default=2000, help="texts sent ahead (default: %(default)s)")
    parser.add_argument("--cores", type=positive, help="use the first so many cores for everything (default: all)")
    parser.add_argument("--quick", action="store_true", help="the first workload only, short turns: under 3 minutes")
    parser.add_argument("--no-latency", action="store_true", help="leave out latency")
    parser.add_argument("--no-scaling", action="store_true", help="leave out the run on one core")
    parser.add_argument("--strict", action="store_true", help="exit status 3 where a target is missed")
    parser.add_argument("--output", type=Path, default=_RESULTS, help="directory of results (default: %(default)s)")
    parser.add_argument("--cache", type=Path, default=_CACHE, help="where models are made (default: %(default)s)")
    parser.add_argument(
        "--checkpoints",
        type=Path,
        help="checkpoints of the bundled models by name, for torch (default: random weights)",
    )
    return parser


def _suite_options(options: argparse.Namespace) -> SuiteOptions:
    quick: bool = options.quick
    return SuiteOptions(
        workloads=tuple(options.workload or (["short"] if quick else WORKLOADS)),
        contestants=tuple(name for name in CONTESTANTS if not options.contestant or name in options.contestant),
        by_name=frozenset(options.contestant or ()),
        texts=options.texts,
        rounds=options.rounds or 3,
        seconds=options.seconds or (2.0 if quick else 10.0),
        in_flight=options.in_flight,
        cores=options.cores or len(os.sched_getaffinity(0)),
        quick=quick,
        latency=not options.no_latency,
        scaling=not options.no_scaling,
        strict=options.strict,
        output=options.output,
        cache=options.cache.expanduser(),
        checkpoints=options.checkpoints,
    )


if __name__ == "__main__":
    sys.exit(main())
