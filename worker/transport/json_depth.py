"""How deep a JSON value is nested. Too deep, it breaks ``json``, ``pickle`` or ``repr`` later on."""

from __future__ import annotations

__all__ = ["is_deeper_than"]


def is_deeper_than(levels: int, value: object) -> bool:
    """Whether lists and objects are nested more than ``levels`` deep; counted without recursion."""
    level = [value]
    for _ in range(levels):
        level = [
            inner
            for outer in level
            if isinstance(outer, (dict, list))
            for inner in (outer.values() if isinstance(outer, dict) else outer)
            if isinstance(inner, (dict, list))
        ]
        if not level:
            return False
    return True
