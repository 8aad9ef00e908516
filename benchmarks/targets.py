"""What the figures should be, and whether they are: ratios between contestants of one run, never absolute speeds."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

__all__ = ["BASELINES", "TARGETS", "Target", "judge", "ratios"]

#: What the others are compared with.
BASELINES = ("bound", "celery_transformers", "celery_optimum", "http_peer")
_OURS = ("celeriac_single", "celeriac_bulk")
_WITH_TARGETS = ("short", "short_distilbert")


@dataclass(frozen=True)
class Target:
    """One ratio that a run should show.

    Attributes:
        workload: where.
        contestant: whose texts per second.
        baseline: divided by whose.
        at_least: the ratio that meets it, or None where anything above 1 does.
    """

    workload: str
    contestant: str
    baseline: str
    at_least: float | None

    @property
    def wanted(self) -> str:
        """The condition in words."""
        return "> 1" if self.at_least is None else f">= {self.at_least:g}"

    def is_met_by(self, ratio: float) -> bool:
        """Whether a ratio is enough."""
        return ratio > 1 if self.at_least is None else ratio >= self.at_least


def _targets() -> Iterator[Target]:
    for workload in _WITH_TARGETS:
        yield Target(workload, "celeriac_bulk", "bound", 0.95)
        yield Target(workload, "celeriac_single", "bound", 0.6 if workload == "short" else 0.75)
        yield Target(workload, "celeriac_single", "celery_transformers", 4.0)
        yield Target(workload, "celeriac_single", "celery_optimum", 2.0)
    # Ahead of the peers everywhere; where a factor is asked for above, that includes it.
    for workload in (*_WITH_TARGETS, "nli", "qa", "mix"):
        for contestant in _OURS:
            for baseline in BASELINES[1:]:
                if contestant == "celeriac_bulk" or workload not in _WITH_TARGETS or baseline == "http_peer":
                    yield Target(workload, contestant, baseline, None)


TARGETS = tuple(_targets())


def ratios(contestants: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, float]]:
    """Texts per second of each contestant that was measured, divided by each baseline's that was."""
    speeds = {name: seen["texts_per_second"] for name, seen in contestants.items() if seen.get("texts_per_second")}
    return {
        name: {other: speed / speeds[other] for other in BASELINES if other in speeds and other != name}
        for name, speed in speeds.items()
    }


def judge(workloads: Mapping[str, Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Every target with the ratio of the medians and those of the rounds, and whether it is met.

    ``met`` is True, False, or None where it was not measured.
    A contestant whose answers were wrong meets nothing.
    """
    verdicts: list[dict[str, Any]] = []
    for target in TARGETS:
        contestants = workloads.get(target.workload, {}).get("contestants", {})
        ratio = ratios(contestants).get(target.contestant, {}).get(target.baseline)
        answered = contestants.get(target.contestant, {}).get("answers_right", False)
        pair = [contestants.get(name, {}).get("rounds", ()) for name in (target.contestant, target.baseline)]
        by_round = [round(ours / theirs, 3) for ours, theirs in zip(*pair, strict=False)]
        met = None if ratio is None else bool(answered and target.is_met_by(ratio))
        verdicts.append({**asdict(target), "wanted": target.wanted, "ratio": ratio, "by_round": by_round, "met": met})
    return verdicts
