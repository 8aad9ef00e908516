"""How deep lists and objects are in one another; what is too deep breaks JSON, pickle or ``repr`` later."""

from __future__ import annotations

from typing import Any

__all__ = ["is_deeper_than"]


def is_deeper_than(levels: int, value: Any) -> bool:
    """Whether more lists and objects than ``levels`` are in one another; without recursion."""
    level = [value]
    for _ in range(levels):
        level = [
            inner
            for outer in level
            for inner in (outer.values() if isinstance(outer, dict) else outer)
            if isinstance(inner, (dict, list))
        ]
        if not level:
            return False
    return True
