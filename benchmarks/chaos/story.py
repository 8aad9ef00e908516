"""Why a verdict is bad: what is known of each message, and the ends of the workers' logs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from benchmarks.chaos.history import Trace
from benchmarks.chaos.journal import What, id_of
from benchmarks.chaos.verdict import Evidence, Verdict

__all__ = ["tell"]

_WORDS = {What.RECEIVED: "received by worker", What.BEGAN: "begun by process", What.ENDED: "computed by process"}
_LOG_LINES = 12
_SHOWN_EXITS = 6
_SHOWN_UNEXPLAINED = 10


def tell(verdict: Verdict, evidence: Evidence) -> list[str]:
    """Lines that say what happened to the messages and workers of a bad verdict."""
    if verdict.is_good:
        return []
    zero_s = min((at_s for at_s in evidence.ledger.sent_s if at_s), default=0.0)
    numbers = verdict.suspects | set(sorted(evidence.history.unexplained)[:_SHOWN_UNEXPLAINED])
    traces = evidence.history.traces(numbers)
    lines = [*verdict.problems, ""]
    for number in sorted(numbers):
        lines += _about_message(number, traces.get(number, ()), evidence, zero_s)
    faults = sorted([*evidence.others, *((kill.at_s, kill.describe()) for kill in evidence.kills)])
    lines += ["", "faults:", *(f"  {at_s - zero_s:8.3f} s  {what}" for at_s, what in faults)]
    for end in [end for end in evidence.exits if not end.was_ordered][:_SHOWN_EXITS]:
        at = f"{end.at_s - zero_s:.3f} s"
        lines += ["", f"worker {end.worker} (pid {end.pid}) ended at {at} with status {end.status}; its log ends:"]
        lines += [f"  {line}" for line in end.log.splitlines()[-_LOG_LINES:]]
    return lines


def _about_message(number: int, traces: Sequence[Trace], evidence: Evidence, zero_s: float) -> Iterator[str]:
    ledger = evidence.ledger
    poison = ledger.poison.get(number)
    yield f"{id_of(number)} ({poison.value if poison else ledger.kind_of(number).name.lower()}):"
    yield f"  {ledger.sent_s[number] - zero_s:8.3f} s  sent, due at {ledger.due_s[number] - zero_s:.3f} s"
    for trace in traces:
        retries = f", retry {trace.note.retries}" if trace.note.retries else ""
        whose = f"{trace.pid} of worker {trace.parent_pid}" if trace.note.what is not What.RECEIVED else f"{trace.pid}"
        yield f"  {trace.at_s - zero_s:8.3f} s  {_WORDS[trace.note.what]} {whose}{retries}"
    end = ledger.end_of(number)
    if end is not None:
        yield f"  {ledger.ended_s[number] - zero_s:8.3f} s  {end.value} {ledger.failure_of(number)}"
    for what in (ledger.ended_again.get(number), ledger.wrong.get(number)):
        if what:
            yield f"            then: {what}"
    where = evidence.leftovers.describe(number)
    if end is None or where:
        yield f"            now: {where or 'nowhere in Redis, and without a final result'}"
