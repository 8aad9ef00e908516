"""Which dead letters a command is about."""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from worker.commands.errors import CommandError
from worker.transport.dead_letters import DeadReason, Letter

__all__ = ["Selection", "add_selection", "letter_id"]

_LETTER_ID = re.compile(r"\d{1,19}-\d{1,19}")
_DURATION = re.compile(r"(\d+(?:\.\d+)?)([smhd])")
_SECONDS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


@dataclass(frozen=True)
class Selection:
    """A letter is selected if it meets every condition that is set.

    Attributes:
        letter_ids: it is one of these.
        reasons: its reason is one of these.
        queue: it came from this queue.
        task: this is the name of its task.
        task_id: this is the id of its task.
        older_than_s: it was buried so long ago, or longer.
        newer_than_s: it was buried less long ago.
    """

    letter_ids: tuple[str, ...] = ()
    reasons: tuple[str, ...] = ()
    queue: str | None = None
    task: str | None = None
    task_id: str | None = None
    older_than_s: float | None = None
    newer_than_s: float | None = None

    @classmethod
    def of(cls, options: argparse.Namespace) -> Selection:
        """What the options of :func:`add_selection` select."""
        return cls(
            tuple(options.letters),
            tuple(options.reason),
            options.queue,
            options.task,
            options.task_id,
            options.older_than,
            options.newer_than,
        )

    @property
    def is_everything(self) -> bool:
        """Whether no condition is set."""
        return self == Selection()

    def pick(self, letters: Iterable[Letter], now_s: float) -> Iterator[Letter]:
        """The selected ones, in the order in which they come."""
        return (letter for letter in letters if self._selects(letter, now_s - letter.at_s))

    def check_found(self, found: Iterable[Letter]) -> None:
        """Check that each letter that was named is there.

        Raises:
            CommandError: one is not.
        """
        missing = set(self.letter_ids) - {letter.letter_id for letter in found}
        if missing:
            raise CommandError(
                f"no such dead letter, or the other conditions exclude it: {', '.join(sorted(missing))}. "
                "`python -m worker dead-letters list` lists those that are there"
            )

    def _selects(self, letter: Letter, age_s: float) -> bool:
        return (
            (not self.letter_ids or letter.letter_id in self.letter_ids)
            and (not self.reasons or letter.reason in self.reasons)
            and self.queue in {None, letter.queue}
            and self.task in {None, letter.task}
            and self.task_id in {None, letter.task_id}
            and (self.older_than_s is None or age_s >= self.older_than_s)
            and (self.newer_than_s is None or age_s < self.newer_than_s)
        )


def add_selection(parser: argparse.ArgumentParser) -> None:
    """Add the options that select letters."""
    parser.add_argument(
        "letters", nargs="*", type=letter_id, metavar="LETTER", help="a dead letter, by its id in `list`"
    )
    group = parser.add_argument_group("conditions; all of them must hold")
    group.add_argument(
        "--reason",
        action="append",
        default=[],
        choices=[reason.value for reason in DeadReason],
        help="why it is a dead letter; may be repeated for any of several",
    )
    group.add_argument("--queue", metavar="NAME", help="the queue that it came from")
    group.add_argument("--task", metavar="NAME", help="the name of its task")
    group.add_argument("--task-id", metavar="ID", help="the id of its task, for which its sender waits")
    group.add_argument("--older-than", type=_seconds, metavar="AGE", help="its least age: 90s, 15m, 2h or 7d")
    group.add_argument("--newer-than", type=_seconds, metavar="AGE", help="the age that it has not reached")


def letter_id(text: str) -> str:
    """The id of a letter, from the command line."""
    if not _LETTER_ID.fullmatch(text):
        raise argparse.ArgumentTypeError(f"{text!r} is not the id of a dead letter, such as 1767225600000-0")
    return text


def _seconds(text: str) -> float:
    found = _DURATION.fullmatch(text)
    if not found:
        raise argparse.ArgumentTypeError(f"{text!r} is not an age: write a number and s, m, h or d, such as 90s or 7d")
    return float(found[1]) * _SECONDS[found[2]]
