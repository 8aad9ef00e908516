"""When an idle consumer fetches next: once it is woken, or after a while by itself."""

from __future__ import annotations

from random import uniform
from time import monotonic

from worker.transport.keys import Keys
from worker.transport.script import Fetch

__all__ = ["WakeUp"]

#: How long after a write the second in line fetches, in case the first one slept through it.
_SECOND_IN_LINE_S = 0.25


class WakeUp:
    """What a channel waits for between two fetches.

    Args:
        keys: the keys that the script uses.
        recheck_s: about how long an idle consumer waits before it fetches by itself.
        poll_min_s: the shortest delay between two fetches where nothing wakes it.
        poll_max_s: the longest delay.
    """

    def __init__(self, keys: Keys, recheck_s: float, poll_min_s: float, poll_max_s: float) -> None:
        self._keys = keys
        self._recheck_s, self._poll_min_s, self._poll_max_s = recheck_s, poll_min_s, poll_max_s
        self._next_s = 0.0
        #: The fetch that registered this consumer as idle; None while it is not registered.
        self.idle_registration: Fetch | None = None
        self._idle_position = -1
        self._is_leaving = False
        #: Delay until the next fetch where queues are polled. A timer has to end it.
        self.poll_delay_s = 0.0

    @property
    def is_due(self) -> bool:
        """Whether to fetch now."""
        return monotonic() >= self._next_s

    @property
    def due_in_s(self) -> float:
        """Time until the next fetch."""
        return max(0.0, self._next_s - monotonic())

    @property
    def is_recheck(self) -> bool:
        """Whether the next fetch comes from an idle consumer that nobody woke."""
        return self.idle_registration is not None and self._next_s > 0

    def record_reply(self, fetch: Fetch, idle_position: int, found: int) -> None:
        """Take in the reply to a fetch.

        Args:
            fetch: the call.
            idle_position: where the script put this consumer in the line of idle ones, -1 for nowhere.
            found: how many messages it took.
        """
        self._idle_position = idle_position
        if idle_position < 0:
            self.idle_registration, self._next_s, self.poll_delay_s = None, 0.0, 0.0
            return
        if fetch.wake == "no":
            self.poll_delay_s = 0.0 if found else min(max(2 * self.poll_delay_s, self._poll_min_s), self._poll_max_s)
            self._next_s = monotonic() + self.poll_delay_s
            return
        self.idle_registration = fetch
        # Random, so that consumers do not all fetch at the same time.
        self._next_s = monotonic() + self._recheck_s * uniform(0.8, 1.2)  # noqa: S311 - no secret

    def heed_push(self, keys: list[bytes] | None) -> float:
        """Take in that keys have changed, all keys if None.

        Returns:
            The delay in seconds after which a timer has to start a fetch; 0 if none is needed.
        """
        if self.idle_registration is None:
            return 0.0
        if keys is None or self._wakes_this_consumer(self.idle_registration, keys):
            self._next_s = 0.0
        elif self._idle_position == 1 and _has_list(self.idle_registration, keys):
            self._next_s = min(self._next_s, monotonic() + _SECOND_IN_LINE_S)
            return _SECOND_IN_LINE_S
        return 0.0

    def _wakes_this_consumer(self, registration: Fetch, keys: list[bytes]) -> bool:
        if self._idle_position == 0:
            return _has_list(registration, keys)
        return (self._keys.bell_prefix + registration.consumer_id).encode() in keys

    def leave_idle(self) -> None:
        """Fetch at once, and leave the idle consumers of the lists read so far."""
        self._next_s, self._is_leaving = 0.0, self.idle_registration is not None

    def pop_leaving(self) -> Fetch | None:
        """The registration that has to be removed from the server; None if there is none."""
        if not self._is_leaving:
            return None
        leaving, self.idle_registration, self._is_leaving = self.idle_registration, None, False
        return leaving

    def reset(self) -> None:
        """Forget everything, once the connection is gone."""
        self.idle_registration, self._idle_position, self._is_leaving = None, -1, False
        self._next_s, self.poll_delay_s = 0.0, 0.0


def _has_list(registration: Fetch, keys: list[bytes]) -> bool:
    return any(key.decode(errors="replace") in registration.reads.lists for key in keys)
