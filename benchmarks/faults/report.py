"""The table of faults, and its place in the documentation."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from benchmarks.faults.run import Outcome
from benchmarks.faults.scenes import FAULTS
from benchmarks.markdown import table

__all__ = ["OPERATIONS", "RESULTS", "faults_table", "write"]

_ROOT = Path(__file__).resolve().parents[2]
OPERATIONS = _ROOT / "docs" / "operations.md"
RESULTS = _ROOT / "benchmarks" / "results" / "faults.json"
_BEGIN, _END = "<!-- faults: begin -->", "<!-- faults: end -->"
_HEADS = ("fault", "accepted", "answered", "failed, by type", "lost", "back after, s")


def faults_table(outcomes: Iterable[Outcome]) -> str:
    """The outcomes as a Markdown table."""
    return table(_HEADS, map(_row, outcomes))


def write(facts: Mapping[str, Any], outcomes: Iterable[Outcome]) -> None:
    """Write outcomes into the results' file and the documentation, in place of older ones of the same faults."""
    found = json.loads(RESULTS.read_bytes())["faults"] if RESULTS.exists() else []
    by_name = {one["fault"]: one for one in (*found, *(outcome.as_json() for outcome in outcomes))}
    kept = [by_name[name] for name in FAULTS if name in by_name]
    RESULTS.write_text(json.dumps({"machine": facts, "faults": kept}, indent=1) + "\n", encoding="utf-8")
    _replace_table(OPERATIONS, faults_table(map(Outcome.from_json, kept)))


def _replace_table(path: Path, new: str) -> None:
    """Put a table between the markers of a page.

    Raises:
        ValueError: the page has no markers.
    """
    before, begin, rest = path.read_text(encoding="utf-8").partition(_BEGIN)
    _, end, after = rest.partition(_END)
    if not (begin and end):
        raise ValueError(f"{path.name} has no {_BEGIN} and {_END}")
    path.write_text(f"{before}{begin}\n{new}\n{end}{after}", encoding="utf-8")


def _row(outcome: Outcome) -> tuple[str, ...]:
    lost = f"{outcome.lost}" + (f" ({outcome.may_lose})" if outcome.may_lose else "")
    back = "never" if outcome.back_s is None else f"{outcome.back_s:.1f}"
    return outcome.what, str(outcome.accepted), str(outcome.answered), _counts(outcome.failed), lost, back


def _counts(by_type: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {name}" for name, count in sorted(by_type.items())) or "-"
