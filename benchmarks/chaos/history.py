"""What the journals of all processes say together."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterator, Sequence
from enum import Enum
from pathlib import Path
from typing import NamedTuple

from benchmarks.chaos.injector import Kill
from benchmarks.chaos.journal import JournalFile, Note, What
from benchmarks.chaos.ledger import Ledger
from benchmarks.chaos.messages import MessageKind

__all__ = ["History", "Reason", "Recovery", "Trace"]

#: A countdown is kept in whole milliseconds on another clock.
_EARLY_S = 0.05
#: For how long a stop or a lost connection may show.
_LONG_S = 60.0


class Reason(Enum):
    """Why something was computed once more."""

    PROCESS_KILLED = "its process was killed"
    WORKER_KILLED = "its worker was killed"
    WORKER_STOPPED = "its worker was stopped"
    PROCESS_DIED = "poison ended its process"
    SPLIT = "its batch was split in the same process"
    DISTURBED = "connections were lost"
    SENT_AGAIN = "the try before was computed again, and sent this one again"
    UNEXPLAINED = "unexplained"

    @property
    def is_again(self) -> bool:
        """Whether another process did the same work: a batch that is split is not that."""
        return self is not Reason.SPLIT


class Trace(NamedTuple):
    """A note, and whose it is."""

    at_s: float
    note: Note
    pid: int
    parent_pid: int


class Recovery(NamedTuple):
    """How long it took until all that a killed worker held was answered.

    Attributes:
        seconds: from the kill.
        number: the message that took longest.
        kill: the kill.
    """

    seconds: float
    number: int
    kill: Kill


class History:
    """Reads the journals once for what is counted, and once more for what was not as usual.

    Args:
        directory: of the journals.
        ledger: what was sent and when it ended.
        kills: the SIGKILLs that hit.
        hits: when whole workers were killed or stopped, with the pid of the parent.
        disturbances: when Redis was restarted or paused or connections were cut.

    Attributes:
        computed_again: numbers for each computation that began after the final result was stored, and why.
        early: numbers that were computed before their countdown was over.
        unexplained: numbers that were computed more than once for no known reason.
        recomputed: computations of the same try of a message beyond the first, by reason.
    """

    def __init__(
        self,
        directory: Path,
        ledger: Ledger,
        kills: Sequence[Kill],
        hits: Sequence[tuple[float, int]] = (),
        disturbances: Sequence[float] = (),
    ) -> None:
        self._ledger = ledger
        self._files = JournalFile.all_in(directory)
        self._hits = hits
        self._disturbances = disturbances
        self._killed_at_s = {pid: kill.at_s for kill in kills for pid in kill.pids}
        self._workers_killed = {kill.worker_pid for kill in kills if kill.kind.is_of_worker}
        self.early: set[int] = set()
        self.unexplained: set[int] = set()
        self.computed_again: list[tuple[int, Reason]] = []
        self.recomputed: Counter[Reason] = Counter()
        self._begins = bytearray(ledger.size)
        self._after_end: set[int] = set()
        self._read_once()
        unusual = {number for number, count in enumerate(self._begins) if count > 1} | self._after_end
        for number, traces in self.traces(unusual).items():
            self._compare(number, traces)

    def attempts(self, number: int) -> int:
        """How often a message was computed."""
        return self._begins[number]

    def traces(self, numbers: Collection[int]) -> dict[int, list[Trace]]:
        """All notes about some messages, in the order of time."""
        found: dict[int, list[Trace]] = defaultdict(list)
        if not numbers:
            return found
        for file in self._files:
            for note in file.notes():
                if note.number in numbers and note.what in {What.RECEIVED, What.BEGAN, What.ENDED}:
                    found[note.number].append(Trace(note.at_s, note, file.pid, file.parent_pid))
        for traces in found.values():
            traces.sort(key=lambda trace: trace.at_s)
        return found

    def _read_once(self) -> None:
        ledger = self._ledger
        for file in self._files:
            for note in file.notes():
                if note.what is What.KILLED:
                    self._killed_at_s[file.pid] = note.at_s
                if note.what is not What.BEGAN or note.number >= ledger.size:
                    continue
                self._begins[note.number] = min(255, self._begins[note.number] + 1)
                is_eta = ledger.kind_of(note.number) is MessageKind.ETA
                if is_eta and note.at_s < ledger.due_s[note.number] - _EARLY_S:
                    self.early.add(note.number)
                if 0 < ledger.ended_s[note.number] < note.at_s:
                    self._after_end.add(note.number)

    def _compare(self, number: int, traces: Sequence[Trace]) -> None:
        ended_s = self._ledger.ended_s[number]
        last: dict[int, Trace] = {}
        begins: Counter[int] = Counter()
        for trace in traces:
            before = last.get(trace.note.retries)
            if trace.note.what is not What.RECEIVED:
                last[trace.note.retries] = trace
            if trace.note.what is not What.BEGAN:
                continue
            begins[trace.note.retries] += 1
            is_after_end = 0 < ended_s < trace.at_s
            if before is None and not is_after_end:
                continue
            reason = self._reason(before, trace) if before else Reason.UNEXPLAINED
            if reason is Reason.UNEXPLAINED and begins[trace.note.retries - 1] > 1:
                reason = Reason.SENT_AGAIN
            if reason is Reason.UNEXPLAINED:
                self.unexplained.add(number)
            if is_after_end:
                self.computed_again.append((number, reason))
            else:
                self.recomputed[reason] += 1

    def _reason(self, before: Trace, after: Trace) -> Reason:
        """Why a message was computed after it had been computed before: the nearest cause that there is."""
        from_s, to_s, worker_pid = before.at_s, after.at_s, before.parent_pid
        causes: dict[Reason, Callable[[], bool]] = {
            # It did not come to an end the first time.
            Reason.SPLIT: lambda: before.pid == after.pid and before.note.what is What.BEGAN,
            Reason.WORKER_KILLED: lambda: (
                worker_pid in self._workers_killed and self._was_hit(worker_pid, from_s, to_s)
            ),
            Reason.PROCESS_KILLED: lambda: from_s <= self._killed_at_s.get(before.pid, -1.0) <= to_s,
            Reason.WORKER_STOPPED: lambda: self._was_hit(worker_pid, from_s - _LONG_S, to_s),
            Reason.PROCESS_DIED: lambda: self._died_of_poison(before),
            Reason.DISTURBED: lambda: any(from_s - _LONG_S <= at_s <= to_s for at_s in self._disturbances),
        }
        return next((reason for reason, is_cause in causes.items() if is_cause()), Reason.UNEXPLAINED)

    def _was_hit(self, worker_pid: int, from_s: float, to_s: float) -> bool:
        return any(pid == worker_pid and from_s <= at_s <= to_s for at_s, pid in self._hits)

    def _died_of_poison(self, trace: Trace) -> bool:
        """Whether the last thing that a process began was poison that kills it."""
        (file,) = (file for file in self._files if (file.parent_pid, file.pid) == (trace.parent_pid, trace.pid))
        last: set[int] = set()
        for note in file.notes():
            if note.what is What.BEGAN:
                last.add(note.number)
            elif note.what is What.ENDED:
                last.discard(note.number)
        poison = self._ledger.poison
        return any(number in poison and poison[number].kills for number in last)

    # -- recovery

    def recoveries(self, kills: Sequence[Kill]) -> Iterator[Recovery]:
        """For each kill of a whole worker, the last message that it held and that was answered.

        Work that has to be repeated and a countdown that is not over are not counted. A message that another worker
        received, and that this worker did not answer because it was killed or stopped in turn, counts until then.
        """
        held = [(kill, self._held(kill)) for kill in kills if kill.kind.is_of_worker]
        traces = self.traces({number for _, numbers in held for number in numbers})
        for kill, numbers in held:
            delays = [(self._delay_s(kill, number, traces[number]), number) for number in numbers]
            if delays:
                yield Recovery(*max(delays), kill)

    def _held(self, kill: Kill) -> set[int]:
        """What a worker had received and not answered when it was killed; no poison."""
        ledger = self._ledger
        return {
            note.number
            for file in self._files
            if file.pid == kill.worker_pid
            for note in file.notes()
            if note.what is What.RECEIVED
            and note.number < ledger.size
            and note.number not in ledger.poison
            and not 0 < ledger.ended_s[note.number] <= kill.at_s
            and ledger.ended_s[note.number] > 0
        }

    def _delay_s(self, kill: Kill, number: int, traces: Sequence[Trace]) -> float:
        ledger = self._ledger
        until_s = ledger.ended_s[number]
        for trace in traces:
            is_taken_over = trace.note.what is What.RECEIVED and kill.at_s < trace.at_s < until_s
            if is_taken_over and self._was_hit(trace.pid, trace.at_s, until_s):
                until_s = trace.at_s
        extra_s = ledger.due_s[number] - ledger.sent_s[number]
        is_countdown = ledger.kind_of(number) is MessageKind.ETA
        from_s = max(kill.at_s, ledger.due_s[number]) if is_countdown else kill.at_s + extra_s
        return max(0.0, until_s - from_s)
