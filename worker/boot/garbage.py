"""Tunes Python's garbage collector for a worker.

Requests are freed by their reference counts, and what was loaded at the start stays for good. Searching either for
cycles is wasted time.
"""

from __future__ import annotations

import gc

__all__ = ["tune_garbage_collector"]

#: Allocations before the youngest generation is collected, and collections of one generation before the next older one.
_THRESHOLDS = (20_000, 20, 50)


def tune_garbage_collector() -> None:
    """Exclude all present objects from collection, and collect less often.

    Before a fork, this also keeps the pages of these objects shared.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_THRESHOLDS)
