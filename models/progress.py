"""Progress on standard error: bars on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
from typing import Any

from tqdm import tqdm

__all__ = ["is_shown", "progress_bar", "report"]


def is_shown() -> bool:
    """Whether progress bars are shown: standard error is a terminal."""
    return sys.stderr.isatty()


def progress_bar(total: int, description: str, unit: str) -> tqdm[Any]:
    """A progress bar, silent if standard error is not a terminal."""
    return tqdm(total=total, desc=description, unit=unit, disable=not is_shown())


def report(text: str) -> None:
    """Print one line without breaking a progress bar."""
    tqdm.write(text, file=sys.stderr)
