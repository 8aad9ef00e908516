"""Progress on standard error: bars on a terminal, plain lines everywhere."""

from __future__ import annotations

import sys
from typing import Any

from tqdm import tqdm

__all__ = ["bar", "is_shown", "say"]


def is_shown() -> bool:
    """Whether anybody can see a bar move."""
    return sys.stderr.isatty()


def bar(total: int, what: str, unit: str) -> tqdm[Any]:
    """A bar, which is silent where nobody sees it move."""
    return tqdm(total=total, desc=what, unit=unit, disable=not is_shown())


def say(text: str) -> None:
    """One line."""
    tqdm.write(text, file=sys.stderr)
