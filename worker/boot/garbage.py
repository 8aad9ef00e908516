"""Python looks for garbage less often: requests die by their reference counts, and what was loaded stays."""

from __future__ import annotations

import gc

__all__ = ["collect_seldom"]

#: New containers before the youngest are searched, and how many such searches before the next generation's.
_THRESHOLDS = (20_000, 20, 50)


def collect_seldom() -> None:
    """Leave out of every search what is there by now; before a fork this also keeps its pages shared."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_THRESHOLDS)
