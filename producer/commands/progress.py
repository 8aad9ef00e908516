"""How far ``map`` is: a bar with rate and remaining time, for a person at a terminal."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from typing import TypeVar

from tqdm import tqdm

__all__ = ["is_watched", "with_progress"]

T = TypeVar("T")
#: What takes less time shows no bar.
_DELAY_S = 2.0


def is_watched(*, prints: bool) -> bool:
    """Whether somebody sees a bar, and it does not stand between answers.

    Args:
        prints: whether the answers go to standard output.
    """
    return sys.stderr.isatty() and not (prints and sys.stdout.isatty())


def with_progress(
    outcomes: Iterator[T], count: Callable[[], int | None], done: int, *, delay_s: float = _DELAY_S
) -> Iterator[T]:
    """The same outcomes, with a bar on standard error.

    Args:
        outcomes: one for each record.
        count: counts the records; None if that is not possible.
        done: how many of them were done before.
        delay_s: what takes less shows no bar, in seconds.
    """
    with tqdm(total=count(), initial=done, unit=" lines", delay=delay_s, dynamic_ncols=True, file=sys.stderr) as bar:
        for outcome in outcomes:
            yield outcome
            bar.update()
