"""Redis misbehaves, and a table says what became of the requests: ``python -m benchmarks.faults``.

For each fault: a real Valkey server, a real worker, and a client that sends 8 requests a second, each with an id of its
own. The exit status is 1 if a request is lost that Redis's own settings keep, if the service does not come back, or if
the worker ends.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from tqdm import tqdm

from benchmarks.faults.report import OPERATIONS, RESULTS, faults_table, write
from benchmarks.faults.run import Outcome, play
from benchmarks.faults.scenes import FAULTS
from benchmarks.machine import machine


def main(arguments: Sequence[str] | None = None) -> int:
    """Play the faults, and print the table."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.faults", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--only", action="append", choices=FAULTS, metavar="FAULT", help=f"one of {', '.join(FAULTS)}; may be repeated"
    )
    parser.add_argument(
        "--write", action="store_true", help=f"write the rows into {OPERATIONS.name} and {RESULTS.name}"
    )
    parser.add_argument("--json", action="store_true", help="print JSON instead of the table")
    parser.add_argument("--logs", type=Path, metavar="DIR", help="keep the worker's logs there")
    options = parser.parse_args(arguments)
    # So that servers and workers end with it.
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    facts, outcomes = machine(), []
    for name in tqdm(options.only or list(FAULTS), unit="fault", disable=None):
        outcomes.append(_play(name, options.logs))
        tqdm.write(f"{name}: {outcomes[-1].summary}", file=sys.stderr)
        if options.write:
            write(facts, outcomes)
    results = {"machine": facts, "faults": [outcome.as_json() for outcome in outcomes]}
    print(json.dumps(results, indent=1) if options.json else faults_table(outcomes))
    bad = [outcome for outcome in outcomes if not outcome.is_good]
    for outcome in bad:
        print(
            f"{outcome.fault}: {outcome.summary}; keep its log with --only {outcome.fault} --logs DIR", file=sys.stderr
        )
    return int(bool(bad))


def _play(name: str, logs: Path | None) -> Outcome:
    log: list[str] = []
    try:
        return play(name, log)
    finally:
        if logs is not None:
            logs.mkdir(parents=True, exist_ok=True)
            (logs / f"{name}.log").write_text("\n".join(log), encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
