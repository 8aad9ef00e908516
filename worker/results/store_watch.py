"""Whether results can be stored. A worker that cannot store them fetches no more requests until it can."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

__all__ = ["StoreWatch"]

logger = logging.getLogger(__name__)

#: How long after a failure the server is asked for the first time, and the longest time between two questions.
_FIRST_DELAY_S, _MAX_DELAY_S = 0.25, 2.0
#: A failure so soon after the last one ended continues it: a full server takes a probe, and not the next batch.
_SAME_S = 10.0


class StoreWatch:
    """Remembers that results could not be stored, and asks from a thread whether they can be again.

    Args:
        probe: stores something in the way in which results are stored; raises if that fails.
    """

    def __init__(self, probe: Callable[[], object] = lambda: None) -> None:
        #: Replaced once there is a result backend.
        self.probe = probe
        self._problem: str | None = None
        self._delay_s = _FIRST_DELAY_S
        self._ended_s = float("-inf")
        self._lock = threading.Lock()

    @property
    def problem(self) -> str | None:
        """Why results cannot be stored; None if they can, as far as is known."""
        return self._problem

    def fail(self, problem: str) -> None:
        """Take in that results could not be stored; callable from any thread."""
        with self._lock:
            if self._problem is not None:
                return
            self._problem = problem
            is_new = time.monotonic() - self._ended_s > _SAME_S
            self._delay_s = _FIRST_DELAY_S if is_new else self._next_delay_s()
        logger.error("no request is fetched until results can be stored again: %s", problem)
        threading.Thread(target=self._run, name="celeriac-store-watch", daemon=True).start()

    def _run(self) -> None:
        while True:
            time.sleep(self._delay_s)
            try:
                self.probe()
            except Exception as error:  # noqa: BLE001 - whatever it is, nothing can be stored
                self._problem = f"{type(error).__name__}: {error}"
                self._delay_s = self._next_delay_s()
            else:
                with self._lock:
                    self._problem, self._ended_s = None, time.monotonic()
                logger.warning("results can be stored again, and requests are fetched")
                return

    def _next_delay_s(self) -> float:
        return min(2 * self._delay_s, _MAX_DELAY_S)
