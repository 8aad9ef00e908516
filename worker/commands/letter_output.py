"""How dead letters are printed. Nothing of a message is shown unless its envelope is asked for."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

from worker.transport.dead_letters import DeadLetterTotals, DropReason, Letter

__all__ = ["as_json", "detail_lines", "table_lines", "totals_line"]

_COLUMNS = ("letter", "buried (UTC)", "reason", "queue", "task", "task id", "tries", "bytes")


def as_json(letter: Letter) -> dict[str, Any]:
    """A letter as a JSON object; what is not known is null."""
    return {
        "letter": letter.letter_id,
        "buried_at": _time(letter.at_s),
        "reason": letter.reason,
        "problem": letter.problem,
        "error": letter.error or None,
        "queue": letter.queue or None,
        "task": letter.task or None,
        "task_id": letter.task_id or None,
        "attempts": [{"at": _time(attempt.at_s), "worker": attempt.worker} for attempt in letter.attempts],
        "size_bytes": letter.size_bytes,
        "can_be_replayed": letter.can_be_replayed,
    }


def table_lines(letters: Sequence[Letter]) -> Iterator[str]:
    """A table of letters, with a line of headings."""
    rows = [_COLUMNS, *map(_row, letters)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_COLUMNS))]
    for row in rows:
        yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()


def detail_lines(letter: Letter) -> Iterator[str]:
    """All that is known about a letter."""
    for name, value in as_json(letter).items():
        if name != "attempts" and value is not None:
            yield f"{name + ':':<17}{_printable(str(value))}"
    for number, attempt in enumerate(letter.attempts, start=1):
        yield f"{f'attempt {number}:':<17}{_time(attempt.at_s)}  {_printable(attempt.worker)}"


def totals_line(totals: DeadLetterTotals) -> str:
    """How many letters there are, and how many had to make room."""
    line = f"{sum(totals.kept.values())} dead letters, {totals.bytes} bytes"
    lost = sum(number for bound, number in totals.dropped.items() if bound in {DropReason.NUMBER, DropReason.BYTES})
    return (
        f"{line}; {lost} were deleted to make room (CELERIAC_DEAD_MAX_LETTERS, CELERIAC_DEAD_MAX_BYTES)"
        if lost
        else line
    )


def _row(letter: Letter) -> tuple[str, ...]:
    return (
        letter.letter_id,
        _time(letter.at_s)[:19].replace("T", " "),
        letter.reason,
        _printable(letter.queue),
        _printable(letter.task),
        _printable(letter.task_id),
        str(len(letter.attempts) or ""),
        str(letter.size_bytes),
    )


def _time(at_s: float) -> str:
    return datetime.fromtimestamp(at_s, UTC).isoformat(timespec="milliseconds")


def _printable(text: str) -> str:
    """The text, which a sender may have written, without what a terminal would obey."""
    return text if text.isprintable() else ascii(text)
