"""What a run has shown, from the ledger, the journals and what is left in Redis."""

from __future__ import annotations

import statistics
from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from benchmarks.chaos.broker import Leftovers
from benchmarks.chaos.fleet import Exit
from benchmarks.chaos.history import History
from benchmarks.chaos.injector import Kill
from benchmarks.chaos.ledger import Ledger
from benchmarks.chaos.messages import End
from benchmarks.chaos.options import RunOptions

__all__ = ["MOST_COMPUTED_TWICE", "RECOVERY_LIMIT_S", "Evidence", "Verdict", "judge"]

#: Computations after a final result that are allowed for each kill.
MOST_COMPUTED_TWICE = 0.1
RECOVERY_LIMIT_S = 15.0
#: After so many processes or workers died with a request it may fail.
_MOST_ATTEMPTS = 3
_SHOWN, _SHOWN_SLOWEST = 20, 3


@dataclass(frozen=True)
class Evidence:
    """What a run has left behind.

    Attributes:
        options: of the run.
        ledger: what was sent and how it ended.
        history: what the workers wrote down.
        kills: the SIGKILLs that hit.
        others: the moments of all other faults, and their words.
        exits: the ends of workers.
        leftovers: messages that are left.
        leaked_keys: keys that never expire and are not documented.
        zombies: what is left of processes, in words.
    """

    options: RunOptions
    ledger: Ledger
    history: History
    kills: Sequence[Kill]
    others: Sequence[tuple[float, str]]
    exits: Sequence[Exit]
    leftovers: Leftovers
    leaked_keys: Sequence[str]
    zombies: Sequence[str]


@dataclass
class Verdict:
    """The figures, and what is wrong with them.

    Attributes:
        figures: as the results file has them.
        problems: each thing that makes the verdict bad, in words.
        suspects: numbers of the ledger that are part of a problem.
        story: lines that say why.
    """

    figures: dict[str, Any]
    problems: list[str] = field(default_factory=list)
    suspects: set[int] = field(default_factory=set)
    story: list[str] = field(default_factory=list)

    @property
    def is_good(self) -> bool:
        """Whether nothing is wrong."""
        return not self.problems

    def blame(self, what: str, numbers: Collection[int]) -> None:
        """Note a problem of some messages, if there are any."""
        if numbers:
            self.problems.append(f"{len(numbers)} {what}")
            self.suspects.update(sorted(numbers)[:_SHOWN])


def judge(evidence: Evidence) -> Verdict:
    """Say what a run has shown."""
    ledger, history, options = evidence.ledger, evidence.history, evidence.options
    pending = {number for number in ledger.pending if number not in ledger.poison}
    wedged = {number for number in pending if evidence.leftovers.describe(number)}
    failed = {number: ledger.failure_of(number) for number in ledger.failed}
    given_up = {number for number in failed if history.attempts(number) >= _MOST_ATTEMPTS}
    recoveries = sorted(history.recoveries(evidence.kills))
    recovery_s = [recovery.seconds for recovery in recoveries]
    verdict = Verdict(
        {
            "messages": ledger.sent,
            "kills": len(evidence.kills),
            "worker_kills": sum(kill.kind.is_of_worker for kill in evidence.kills),
            "lost": len(pending - wedged),
            "computed_twice": len(history.computed_again),
            "recomputed": sum(count for reason, count in history.recomputed.items() if reason.is_again),
            "wedged": len(wedged),
            "leaked_keys": len(evidence.leaked_keys),
            "recovery_p99_s": _quantile(recovery_s, 0.99),
            "recovery_p50_s": _quantile(recovery_s, 0.5),
            "recovery_max_s": round(recovery_s[-1], 2) if recovery_s else None,
            "seed": options.seed,
            "failed": len(failed),
            "given_up": len(given_up),
            "ended_again": len(ledger.ended_again),
            "computed_early": len(history.early),
            "wrong": len(ledger.wrong),
            "recomputed_why": {reason.value: count for reason, count in history.recomputed.most_common()},
            "computed_twice_why": dict(Counter(reason.value for _, reason in history.computed_again).most_common()),
            "worker_exits_unordered": sum(not end.was_ordered for end in evidence.exits),
            "zombies": len(evidence.zombies),
            "left_in_broker": _count(evidence.leftovers),
            "poison": _poison_table(ledger),
        }
    )
    verdict.blame("lost", pending - wedged)
    verdict.blame("wedged", wedged)
    verdict.blame("failed though nothing is wrong with them", failed.keys() - given_up)
    verdict.blame("answered wrongly", ledger.wrong)
    verdict.blame("with more than one final result", ledger.ended_again)
    verdict.blame("computed before their countdown was over", history.early)
    verdict.blame("of poison with no proper end", _bad_poison(evidence))
    if len(history.computed_again) > MOST_COMPUTED_TWICE * len(evidence.kills):
        verdict.blame(
            f"computed again after a final result was stored; at most {MOST_COMPUTED_TWICE} a kill are allowed",
            {number for number, _ in history.computed_again},
        )
    p99_s = verdict.figures["recovery_p99_s"]
    if evidence.options.is_timed and p99_s is not None and p99_s > RECOVERY_LIMIT_S:
        verdict.problems.append(f"p99 of recovery is {p99_s} s, above {RECOVERY_LIMIT_S:g} s")
        verdict.suspects.update(recovery.number for recovery in recoveries[-_SHOWN_SLOWEST:])
    verdict.problems += _problems_of_the_whole(evidence)
    return verdict


def _problems_of_the_whole(evidence: Evidence) -> list[str]:
    """What is wrong beside single messages."""
    found = [f"the key {key} never expires" for key in evidence.leaked_keys]
    if evidence.leftovers:
        found.append(f"{_count(evidence.leftovers)} messages are left in the broker")
    found += evidence.zombies
    found += [
        f"worker {end.worker} (pid {end.pid}) ended by itself with status {end.status}"
        for end in evidence.exits
        if not end.was_ordered
    ]
    missing = evidence.options.kills - len(evidence.kills)
    if missing > 0:
        found.append(f"{missing} kills did not hit")
    return found


def _bad_poison(evidence: Evidence) -> set[int]:
    ledger = evidence.ledger
    return {
        number
        for number, poison in ledger.poison.items()
        if evidence.leftovers.describe(number)
        or (ledger.end_of(number) or End.DROPPED) not in poison.ends(evidence.options.mode)
    }


def _poison_table(ledger: Ledger) -> Mapping[str, Mapping[str, int]]:
    """How often poison of each kind ended how."""
    table: dict[str, Counter[str]] = defaultdict(Counter)
    for number, poison in sorted(ledger.poison.items()):
        table[poison.name.lower()][(ledger.end_of(number) or End.DROPPED).value] += 1
    return {name: dict(counts) for name, counts in table.items()}


def _count(leftovers: Leftovers) -> int:
    return len(leftovers.queued.keys() | leftovers.unacked.keys()) + leftovers.other


def _quantile(sorted_values: Sequence[float], share: float) -> float | None:
    """A quantile, by linear interpolation; None without values."""
    if not sorted_values:
        return None
    if len(sorted_values) == 1:
        return round(sorted_values[0], 2)
    cuts = statistics.quantiles(sorted_values, n=100, method="inclusive")
    return round(cuts[round(share * 100) - 1], 2)
