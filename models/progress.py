"""Progress on standard error: bars on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
from typing import Any

from tqdm import tqdm

__all__ = ["is_shown", "progress_bar", "report"]


def is_shown() -> bool:
    """Whether progress bars are shown: standard error is a terminal."""
    return sys.stderr.isatty()


def progress_bar(total: int, description: str, unit: str, *, stays: bool = True) -> tqdm[Any]:
    """A progress bar, silent if standard error is not a terminal.

    Args:
        total: the number of units.
        description: what goes on.
        unit: what is counted.
        stays: whether the bar is still shown when it is complete.
    """
    return tqdm(total=total, desc=description, unit=unit, leave=stays, disable=not is_shown())


def report(text: str) -> None:
    """Print one line without breaking a progress bar."""
    tqdm.write(text, file=sys.stderr)
