"""The measurement proper: warm up, then rounds in which the contestants take turns, then what the rounds say."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.contestants.base import Contestant, Round, UnavailableError
from benchmarks.processes import cpu_seconds
from benchmarks.stack import Stack
from benchmarks.workloads import Workload
from producer.contract import MAX_INPUTS

__all__ = ["LEAST_EQUAL_SHARE", "RoundOptions", "equal_share", "measure", "summarize", "turns"]

#: Contestants with the bound's arithmetic whose answers differ more often than this do not answer what they were asked:
#: batches of other shapes round differently, which turns an answer that hangs in the balance now and then.
LEAST_EQUAL_SHARE = 0.95
_FIRST_ITEMS = 64
#: The arithmetic of a contestant that does not compute the workload's model.
_OTHER_WEIGHTS = "fp32 weights"


@dataclass(frozen=True)
class RoundOptions:
    """How long and how often.

    Attributes:
        rounds: how many times each contestant has its turn.
        seconds: what a turn should take; how many items that is, the warm-up says.
        warm_up_s: least seconds of load before the first turn.
    """

    rounds: int
    seconds: float
    warm_up_s: float


def measure(
    workload: Workload, stack: Stack, options: RoundOptions, step: Iterator[object]
) -> dict[str, dict[str, Any]]:
    """Warm up and measure all contestants of a stack.

    Returns:
        What :func:`summarize` makes of each, by name; ``{"unavailable": …}`` for those that cannot answer.
    """
    counts: dict[str, int] = {}
    for name, contestant in list(stack.contestants.items()):
        try:
            with contestant.turn():
                counts[name] = _warm_up(contestant, options)
        except UnavailableError as error:
            stack.drop(name, str(error))
        next(step, None)
    seen: dict[str, list[Round]] = {name: [] for name in stack.contestants}
    others: dict[str, list[float]] = {name: [] for name in stack.contestants}
    for number in range(options.rounds):
        for name in turns(list(stack.contestants), number):
            stack.forget_results()
            bystanders = _bystanders(stack, name)
            before = cpu_seconds(bystanders)
            contestant = stack.contestants[name]
            try:
                with contestant.turn():
                    seen[name].append(contestant.run(workload.items[: counts[name]]))
            except UnavailableError as error:
                stack.drop(name, str(error))
                continue
            finally:
                next(step, None)
            others[name].append(cpu_seconds(bystanders) - before)
    right = seen["bound"][0].answers if seen.get("bound") else None
    figures: dict[str, dict[str, Any]] = {name: {"unavailable": why} for name, why in stack.unavailable.items()}
    for name, contestant in stack.contestants.items():
        figures[name] = summarize(contestant, seen[name], right, stack.cold_start_s[name])
        figures[name]["cpu_seconds"]["other contestants, idle"] = round(statistics.median(others[name]), 2)
    return figures


def _warm_up(contestant: Contestant, options: RoundOptions) -> int:
    """Load until it has had enough, and say how many items take as long as a turn should."""
    items = contestant.workload.items
    # So that no core is left with one bulk message less than another.
    multiple = MAX_INPUTS * len(contestant.situation.cores)
    count, spent_s = min(_FIRST_ITEMS, len(items)), 0.0
    while True:
        run = contestant.run(items[:count])
        spent_s += run.seconds
        wanted = int(run.texts_per_second * options.seconds) // multiple * multiple
        if spent_s >= options.warm_up_s and (run.seconds >= options.seconds / 4 or count == len(items)):
            return min(max(contestant.least_items, wanted), len(items))
        # No more than fits a turn: a slow contestant is not warmed up for minutes.
        count = min(max(contestant.least_items, min(2 * count, wanted)), len(items))


def turns(names: list[str], number: int) -> list[str]:
    """Another one begins each round."""
    first = number % len(names) if names else 0
    return names[first:] + names[:first]


def _bystanders(stack: Stack, running: str) -> list[int]:
    """Processes of all contestants whose turn it is not."""
    members = (other.parties() for name, other in stack.contestants.items() if name != running)
    return [pid for parties in members for role in ("parent", "processes") for pid in parties[role]]


def summarize(
    contestant: Contestant, rounds: Sequence[Round], right: Sequence[str | None] | None, cold_start_s: float
) -> dict[str, Any]:
    """Median and spread of the rounds, and whether the answers are right.

    Args:
        contestant: who it was.
        rounds: at least one.
        right: the bound's answers, if it ran; a contestant that was asked less is held against the first of them.
        cold_start_s: from start to first answer.
    """
    speeds = [one.texts_per_second for one in rounds]
    texts = len(rounds[0].answers)
    answered = sum(answer is not None for one in rounds for answer in one.answers) / (texts * len(rounds))
    comparable = contestant.arithmetic is not None or contestant.workload.same_weights
    must_agree = contestant.arithmetic is contestant.workload.arithmetic
    equal = equal_share(rounds, right) if right is not None and comparable else None
    roles = rounds[0].cpu_seconds
    cpu = {role: statistics.median(one.cpu_seconds[role] for one in rounds) for role in roles}
    return {
        "summary": contestant.summary,
        "arithmetic": contestant.arithmetic or _OTHER_WEIGHTS,
        "texts_per_second": round(statistics.median(speeds), 1),
        "rounds": [round(speed, 1) for speed in speeds],
        "spread": round((max(speeds) - min(speeds)) / statistics.median(speeds), 3),
        "texts_a_round": texts,
        "seconds_a_round": round(statistics.median(one.seconds for one in rounds), 2),
        "answered": answered,
        "equal_answers": equal,
        "answers_right": answered == 1 and (not must_agree or equal is None or equal >= LEAST_EQUAL_SHARE),
        "cpu_seconds": {role: round(value, 2) for role, value in cpu.items()},
        "cpu_ms_a_text": {role: round(value / texts * 1000, 3) for role, value in cpu.items()},
        "cold_start_s": round(cold_start_s, 2),
        "layout": contestant.layout(),
        "details": dict(contestant.details()),
    }


def equal_share(rounds: Sequence[Round], right: Sequence[str | None]) -> float | None:
    """The share of answers that are the bound's, of those that both gave."""
    pairs = [pair for one in rounds for pair in zip(one.answers, right, strict=False)]
    return round(sum(ours == theirs for ours, theirs in pairs) / len(pairs), 4) if pairs else None
