"""Which results a client waits for, and what its one subscription must cover. No I/O; both clients use it.

The ids that a client makes begin alike, so one pattern covers them all: a request costs no SUBSCRIBE and no
UNSUBSCRIBE. Ids from elsewhere get a channel each on the same connection, for as long as somebody waits for them.
"""

from __future__ import annotations

import itertools
import secrets
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import Any
from weakref import WeakValueDictionary, finalize

from redis.exceptions import NoPermissionError, RedisError

from producer.outcomes import KEY_PREFIX, ResultRecord, finished_record

__all__ = ["Expectation", "Expectations"]

#: How many results are read in one MGET.
_READ_AT_ONCE = 1000
_TAIL_BITS = 60


class Expectation:
    """A result that somebody wants. It is waited for as long as it is referred to.

    Attributes:
        request_id: of the request.
        record: the result, once it is known.
        listeners: called with this object when the result becomes known.
    """

    __slots__ = ("__weakref__", "holders", "listeners", "record", "request_id")

    def __init__(self, request_id: str) -> None:
        self.request_id = request_id
        self.record: ResultRecord | None = None
        self.listeners: list[Callable[[Expectation], None]] = []
        self.holders = 0


class Expectations:
    """The results that one client, in one process and one event loop, waits for."""

    def __init__(self) -> None:
        # A UUID's first 18 characters: eight and two groups of four, the last of which states version 4.
        digits = secrets.token_hex(8)
        self._prefix = f"{digits[:8]}-{digits[8:12]}-4{digits[12:15]}-"
        self._wanted: WeakValueDictionary[str, Expectation] = WeakValueDictionary()
        self._has_pattern = True
        #: Ids whose channels are subscribed to, ids whose channels are to be, and ids that nobody wants any more.
        self._channels: set[str] = set()
        self._to_subscribe: dict[str, None] = {}
        self._dropped: deque[str] = deque()
        #: Ids whose stored results are to be read: a push may have come before the subscription covered them.
        self._unread: dict[str, None] = {}
        self._is_covering = False
        self._cursor = 0

    def new_id(self) -> str:
        """An id that the pattern covers; a UUID."""
        tail = f"{secrets.randbits(_TAIL_BITS):015x}"
        return f"{self._prefix}8{tail[:3]}-{tail[3:]}"

    def expect(self, request_id: str, *, is_sent: bool) -> Expectation:
        """Begin to wait for a result.

        Args:
            request_id: of the request.
            is_sent: whether the request may have been answered already, so that its stored result must be read.
        """
        known = self._wanted.get(request_id)
        if known is None or _may_be_sent_again(known.record):
            known = self._wanted[request_id] = Expectation(request_id)
            if not self._is_own(request_id):
                finalize(known, self._dropped.append, request_id).atexit = False
        known.holders += 1
        if known.record is None:
            if not self._is_own(request_id):
                if request_id not in self._channels:
                    self._to_subscribe[request_id] = None
                elif is_sent:
                    self._unread[request_id] = None
            elif is_sent and self._is_covering:
                self._unread[request_id] = None
        return known

    def release(self, expectation: Expectation) -> None:
        """End one holder's wait."""
        expectation.holders -= 1
        if not expectation.holders and self._wanted.get(expectation.request_id) is expectation:
            del self._wanted[expectation.request_id]
            if not self._is_own(expectation.request_id):
                self._dropped.append(expectation.request_id)

    @property
    def wake_channel(self) -> str:
        """A channel that the subscription covers and that carries no result."""
        return f"{KEY_PREFIX}{self._prefix}wake"

    @property
    def has_changes(self) -> bool:
        """Whether channels are to be subscribed to or left, or stored results to be read."""
        return bool(self._to_subscribe or self._dropped or self._unread)

    def opening(self) -> list[tuple[str, ...]]:
        """The commands that a new connection begins with. Everything wanted is read once they are confirmed."""
        self._is_covering = False
        self._channels.clear()
        self._dropped.clear()
        foreign = [i for i in list(self._wanted) if not self._is_own(i)]
        self._to_subscribe = dict.fromkeys(foreign)
        first = (
            ("PSUBSCRIBE", f"{KEY_PREFIX}{self._prefix}*") if self._has_pattern else ("SUBSCRIBE", self.wake_channel)
        )
        return [first, *self.changes()]

    def changes(self) -> list[tuple[str, ...]]:
        """The commands that bring the subscription up to date."""
        commands = []
        if self._to_subscribe:
            self._channels.update(self._to_subscribe)
            commands.append(("SUBSCRIBE", *(KEY_PREFIX + i for i in self._to_subscribe)))
            self._to_subscribe = {}
        left = []
        while self._dropped:
            request_id = self._dropped.popleft()
            if request_id in self._channels and request_id not in self._wanted:
                self._channels.discard(request_id)
                left.append(request_id)
        if left:
            commands.append(("UNSUBSCRIBE", *(KEY_PREFIX + i for i in left)))
        return commands

    def take_push(self, push: Any) -> None:
        """Take in what the server pushed.

        Raises:
            RedisError: it is an error. After a refused pattern, a new connection does without one.
        """
        if isinstance(push, RedisError):
            if isinstance(push, NoPermissionError) and self._has_pattern and not self._is_covering:
                self._has_pattern = False
            raise push
        kind = push[0]
        if kind in {b"pmessage", b"message"}:
            self._take_value(push[-2].decode().removeprefix(KEY_PREFIX), push[-1], is_pushed=True)
        elif kind == b"psubscribe" or (kind == b"subscribe" and push[1].decode() == self.wake_channel):
            self._is_covering = True
            self._unread.update(dict.fromkeys(i for i in list(self._wanted) if self._is_own(i)))
        elif kind == b"subscribe":
            self._unread[push[1].decode().removeprefix(KEY_PREFIX)] = None

    @property
    def refuses_pattern(self) -> bool:
        """Whether the server's permissions allow channels only by name."""
        return not self._has_pattern

    def to_read(self) -> list[str]:
        """The ids to read next, which :meth:`take_stored` takes in."""
        ids = list(itertools.islice(self._unread, _READ_AT_ONCE))
        for request_id in ids:
            del self._unread[request_id]
        return [i for i in ids if (e := self._wanted.get(i)) is not None and e.record is None]

    def to_read_again(self) -> list[str]:
        """The ids to read in case a push was lost: in turn, those for whose results somebody waits."""
        waited = [e.request_id for e in list(self._wanted.values()) if e.listeners and e.record is None]
        if self._cursor >= len(waited):
            self._cursor = 0
        chosen = waited[self._cursor : self._cursor + _READ_AT_ONCE]
        self._cursor += len(chosen)
        return chosen

    def read_later(self, request_ids: Iterable[str]) -> None:
        """Have ids read that could not be."""
        self._unread.update(dict.fromkeys(request_ids))

    def take_stored(self, request_ids: Sequence[str], values: Sequence[bytes | None]) -> int:
        """Take in stored results, and return how many of them are news."""
        return sum(self._take_value(i, value) for i, value in zip(request_ids, values, strict=True))

    def _is_own(self, request_id: str) -> bool:
        return self._has_pattern and request_id.startswith(self._prefix)

    def _take_value(self, request_id: str, value: bytes | None, *, is_pushed: bool = False) -> bool:
        expectation = self._wanted.get(request_id)
        if expectation is None or expectation.record is not None:
            return False
        record = finished_record(value)
        if record is None:
            return False
        if is_pushed and _may_be_sent_again(record):
            # Perhaps it has been sent again since: what is stored now counts.
            self._unread[request_id] = None
            return False
        expectation.record = record
        listeners, expectation.listeners = expectation.listeners, []
        for listener in listeners:
            listener(expectation)
        return True


def _may_be_sent_again(record: ResultRecord | None) -> bool:
    """Whether a request has ended without being computed: then its id may be sent again, and has another end."""
    return record is not None and record["status"] == "REVOKED"
