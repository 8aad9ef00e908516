"""Kill, stop and cut off workers while messages flow, and say what became of each message.

All that is sent and done follows from the seed, which is printed. The exit status is 0; 1 for a bad verdict on our
worker, whose reasons are printed and kept with the logs; 2 for wrong usage; 3 where the run could not be made.
"""

from __future__ import annotations

import argparse
import json
import random
import signal
import sys
from pathlib import Path

from benchmarks.arguments import positive
from benchmarks.chaos.options import Contestant, Mode, RunOptions
from benchmarks.chaos.report import MAIN_RUN, results_of, table, write_results
from benchmarks.chaos.run import ChaosError, run_chaos
from benchmarks.chaos.verdict import Verdict
from benchmarks.chaos.workplace import fresh_directory

_ROOT = Path(__file__).resolve().parents[2]
_OUTPUT = _ROOT / "benchmarks" / "results" / "chaos.json"
_KEEP = _ROOT / "build" / "chaos"
_FAILED_RUN, _INTERRUPTED = 3, 130
_BOTH = "both"


def main(arguments: list[str] | None = None) -> int:
    """Run, print, write."""
    parser = _parser()
    given = parser.parse_args(arguments)
    if given.worker_kills > given.kills:
        parser.error("--worker-kills: they are among the --kills")
    options = _options(given)
    wanted = list(Contestant) if given.contestant == _BOTH else [Contestant(given.contestant)]
    # As Ctrl-C: what was started is ended.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    print(f"seed {options.seed}; run again with --seed {options.seed}", file=sys.stderr)
    verdicts: dict[Contestant, Verdict] = {}
    try:
        for contestant in wanted:
            verdicts[contestant] = _run(options, contestant, given.keep)
    except ChaosError as error:
        print(f"error: {error}", file=sys.stderr)
        return _FAILED_RUN
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return _INTERRUPTED
    results = results_of(options, verdicts)
    write_results(given.output, given.name, results)
    print(json.dumps(results, indent=1) if given.json else table(verdicts))
    return _conclude(verdicts, given.keep)


def _run(options: RunOptions, contestant: Contestant, keep: Path) -> Verdict:
    verdict = run_chaos(options, contestant, fresh_directory(keep / contestant.value))
    if verdict.story:
        (keep / f"{contestant.value}.txt").write_text("\n".join(verdict.story) + "\n", encoding="utf-8")
    return verdict


def _conclude(verdicts: dict[Contestant, Verdict], keep: Path) -> int:
    ours = verdicts.get(Contestant.CELERIAC)
    if ours is None or ours.is_good:
        if ours is not None:
            print("good", file=sys.stderr)
        return 0
    print("\n".join(["bad:", *ours.story]), file=sys.stderr)
    print(f"journals and logs are kept in {keep}", file=sys.stderr)
    return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.chaos", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--messages", type=positive, default=20_000, help="ids in the ledger (default: %(default)s)")
    parser.add_argument("--kills", type=positive, default=60, help="SIGKILLs (default: %(default)s)")
    parser.add_argument("--worker-kills", type=int, default=30, help="those of whole workers (default: %(default)s)")
    parser.add_argument("--seconds", type=float, default=100.0, help="for sending and faults (default: %(default)s)")
    parser.add_argument("--seed", type=int, help="of messages and faults (default: a new one)")
    contestants = [*(contestant.value for contestant in Contestant), _BOTH]
    parser.add_argument("--contestant", choices=contestants, default="celeriac", help="default: %(default)s")
    modes = [mode.value for mode in Mode]
    parser.add_argument("--mode", choices=modes, default="noop", help="real: the worker with a model (only celeriac)")
    parser.add_argument("--at-steps", action="store_true", help="processes kill themselves between two named steps")
    parser.add_argument("--only-kills", action="store_true", help="no stops, drains, pauses, restarts and cuts")
    parser.add_argument("--workers", type=positive, default=4, help="default: %(default)s")
    parser.add_argument("--processes", type=positive, default=2, help="of each worker (default: %(default)s)")
    parser.add_argument("--in-flight", type=positive, default=1000, help="sent and not answered (default: %(default)s)")
    parser.add_argument("--visibility-timeout", type=float, default=10.0, help="seconds (default: %(default)s)")
    parser.add_argument("--text-share", type=float, default=0.2, help="of sentiment requests, with --mode real")
    parser.add_argument("--name", default=MAIN_RUN, help="under which the figures are kept (default: %(default)s)")
    parser.add_argument("--output", type=Path, default=_OUTPUT, help="results file (default: %(default)s)")
    parser.add_argument("--keep", type=Path, default=_KEEP, help="logs and journals (default: %(default)s)")
    parser.add_argument("--untimed", action="store_true", help="the verdict does not depend on how long recovery takes")
    parser.add_argument("--json", action="store_true", help="print the results as JSON")
    return parser


def _options(given: argparse.Namespace) -> RunOptions:
    seed = given.seed if given.seed is not None else random.SystemRandom().randrange(1 << 31)
    return RunOptions(
        messages=given.messages,
        kills=given.kills,
        worker_kills=given.worker_kills,
        seconds=given.seconds,
        seed=seed,
        mode=Mode(given.mode),
        workers=given.workers,
        processes=given.processes,
        in_flight=given.in_flight,
        visibility_timeout_s=given.visibility_timeout,
        at_steps=given.at_steps,
        text_share=given.text_share,
        other_faults=not given.only_kills,
        is_timed=not given.untimed,
    )


if __name__ == "__main__":
    sys.exit(main())
