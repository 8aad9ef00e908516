"""The results file and the table that is printed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.chaos.options import Contestant, RunOptions
from benchmarks.chaos.verdict import Verdict
from benchmarks.machine import git_revision, machine, versions

__all__ = ["MAIN_RUN", "results_of", "table", "write_results"]

#: The run whose figures are at the top of the file; others are kept under their names.
MAIN_RUN = "chaos"
_ROWS = (
    "messages", "kills", "worker_kills", "lost", "wedged", "computed_twice", "recomputed", "failed", "given_up",
    "ended_again", "computed_early", "wrong", "leaked_keys", "left_in_broker", "zombies", "worker_exits_unordered",
    "recovery_p50_s", "recovery_p99_s", "seconds",
)  # fmt: skip


def results_of(options: RunOptions, verdicts: Mapping[Contestant, Verdict]) -> dict[str, Any]:
    """What the file says of a run: the figures of our worker, and beside them those of stock Celery."""
    ours, stock = verdicts.get(Contestant.CELERIAC), verdicts.get(Contestant.STOCK)
    results: dict[str, Any] = dict(ours.figures) if ours else {"seed": options.seed}
    if ours:
        results["is_good"] = ours.is_good
    if stock:
        results["stock"] = stock.figures
    results["run"] = {
        "mode": options.mode.value,
        "workers": options.workers,
        "processes": options.processes,
        "visibility_timeout_s": options.visibility_timeout_s,
        "at_steps": options.at_steps,
        "seconds": options.seconds,
    }
    return {**results, "revision": git_revision(), "machine": machine(), "versions": versions()}


def write_results(path: Path, name: str, results: Mapping[str, Any]) -> None:
    """Write the figures of a run, and keep those of runs with other names."""
    before = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    runs = before.pop("runs", {})
    after = {**results, "runs": runs} if name == MAIN_RUN else {**before, "runs": {**runs, name: results}}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(after, indent=1) + "\n", encoding="utf-8")


def table(verdicts: Mapping[Contestant, Verdict]) -> str:
    """The figures side by side."""
    width = max(map(len, _ROWS))
    lines = [" " * width + "".join(f"{contestant.value:>12}" for contestant in verdicts)]
    for row in _ROWS:
        cells = [verdict.figures.get(row) for verdict in verdicts.values()]
        lines.append(f"{row:<{width}}" + "".join(f"{'-' if cell is None else cell:>12}" for cell in cells))
    return "\n".join(lines)
