"""When a consumer looks at its queues next: at once, when it is woken, or after a while by itself."""

from __future__ import annotations

from random import uniform
from time import monotonic

from worker.transport.script import Fetch, Names

__all__ = ["Look"]

#: The second in line comes this long after a write that the first in line may have slept through.
_SECOND_S = 0.25


class Look:
    """The state between two fetches of one channel.

    Args:
        recheck_s: an idle consumer looks by itself after about this long.
        poll_min_s: first pause where nothing wakes it.
        poll_max_s: longest pause where nothing wakes it.
    """

    def __init__(self, names: Names, recheck_s: float, poll_min_s: float, poll_max_s: float) -> None:
        self._names = names
        self._recheck_s, self._poll_min_s, self._poll_max_s = recheck_s, poll_min_s, poll_max_s
        self._next_s = 0.0
        #: The fetch after which this consumer rests, registered among the idle ones.
        self.resting: Fetch | None = None
        self._place = -1
        self._departs = False
        #: Whether nobody woke it.
        self.is_recheck = False
        #: How long it rests, where a timer has to end it.
        self.pause_s = 0.0

    def is_due(self) -> bool:
        """Whether to look now."""
        if monotonic() < self._next_s:
            return False
        self.is_recheck = self.resting is not None and self._next_s > 0
        return True

    def left_s(self) -> float:
        """Until the next look."""
        return max(0.0, self._next_s - monotonic())

    def note(self, fetch: Fetch, place: int, found: int) -> None:
        """A fetch was answered."""
        self._place = place
        if place < 0:
            self.resting, self._next_s, self.pause_s = None, 0.0, 0.0
            return
        if fetch.wake == "no":
            self.pause_s = 0.0 if found else min(max(2 * self.pause_s, self._poll_min_s), self._poll_max_s)
            self._next_s = monotonic() + self.pause_s
            return
        self.resting = fetch
        self._next_s = monotonic() + self._recheck_s * uniform(0.8, 1.2)  # noqa: S311 - so that not all look together

    def note_push(self, keys: list[bytes] | None) -> float:
        """A key that was read has changed; returns after how many seconds to look, 0 for now or not because of this."""
        if self.resting is None:
            return 0.0
        if keys is None or self._is_meant(keys):
            self._next_s = 0.0
        elif self._place == 1 and self._are_lists(keys):
            self._next_s = min(self._next_s, monotonic() + _SECOND_S)
            return _SECOND_S
        return 0.0

    def _is_meant(self, keys: list[bytes]) -> bool:
        if self._place == 0:
            return self._are_lists(keys)
        return self.resting is not None and (self._names.bell + self.resting.consumer).encode() in keys

    def _are_lists(self, keys: list[bytes]) -> bool:
        return self.resting is not None and any(key.decode(errors="replace") in self.resting.lists for key in keys)

    def depart(self) -> None:
        """The queues change: look at once, and leave the idle ones of those so far."""
        self._next_s, self._departs = 0.0, self.resting is not None

    def take_departure(self) -> Fetch | None:
        """The fetch whose place is to be left, once."""
        if not self._departs:
            return None
        left, self.resting, self._departs = self.resting, None, False
        return left

    def reset(self) -> None:
        """The connection is gone, and with it what was arranged."""
        self.resting, self._place, self._next_s, self.pause_s, self._departs = None, -1, 0.0, 0.0, False
