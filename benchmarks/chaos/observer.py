"""Sees final results as they are stored: those that are published, and in addition those that are found when looked up.

What is published while the connection is lost is missed, and found by the next look.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterable
from typing import Any

import redis
from celery.states import FAILURE, REVOKED, SUCCESS
from redis.exceptions import RedisError

from benchmarks.chaos.broker import read_dead_letters
from benchmarks.chaos.journal import id_of, number_of, numbers_in
from benchmarks.chaos.ledger import Ledger
from benchmarks.chaos.messages import End, MessageKind
from benchmarks.chaos.sender import CLIENT_NAME

__all__ = ["Observer"]

_PREFIX = "celery-task-meta-"
_LOOK_S = 0.5
_DEAD_LETTERS_S = 10.0
_WAIT_S = 0.1
_MOST_LOOKED_UP = 2000


class Observer(threading.Thread):
    """Notes in the ledger what ends.

    Args:
        url: the server.
        ledger: where it is noted.
    """

    def __init__(self, url: str, ledger: Ledger) -> None:
        super().__init__(name="chaos-observer", daemon=True)
        self._url = url
        self._ledger = ledger
        self._stops = threading.Event()
        #: Numbers that a look has found, and whose publication may still come.
        self._looked_up: set[int] = set()
        self.error: Exception | None = None

    def stop(self) -> None:
        """Observe no more."""
        self._stops.set()
        self.join()

    def run(self) -> None:
        """Observe until told to stop."""
        while not self._stops.is_set():
            try:
                with redis.Redis.from_url(self._url, client_name=CLIENT_NAME) as server:
                    self._observe(server)
            except RedisError:
                # It is restarted, or still loading.
                self._stops.wait(_WAIT_S)
            except Exception as error:  # noqa: BLE001 - reported by the run
                self.error = error
                return

    def _observe(self, server: redis.Redis) -> None:
        with server.pubsub(ignore_subscribe_messages=True) as pubsub:
            pubsub.psubscribe(_PREFIX + "*")
            look_s = dead_s = 0.0
            while not self._stops.is_set():
                message = pubsub.get_message(timeout=_WAIT_S)
                if message is not None:
                    self._take(number_of(message["channel"].decode().removeprefix(_PREFIX)), message["data"])
                now_s = time.monotonic()
                if now_s >= look_s:
                    self._look(server)
                    look_s = now_s + _LOOK_S
                if now_s >= dead_s:
                    self.look_at_dead_letters(server)
                    dead_s = now_s + _DEAD_LETTERS_S

    def _look(self, server: redis.Redis) -> None:
        old_s = time.monotonic() - _LOOK_S
        ledger = self._ledger
        numbers = [number for number in sorted(ledger.pending) if ledger.due_s[number] < old_s][:_MOST_LOOKED_UP]
        if numbers:
            found: Iterable[Any] = server.mget([_PREFIX + id_of(number) for number in numbers])
            for number, value in zip(numbers, found, strict=True):
                # Published meanwhile, it would count twice.
                if value is not None and ledger.end_of(number) is None:
                    self._take(number, value, is_published=False)

    def look_at_dead_letters(self, server: redis.Redis) -> None:
        """Note poison that is among the dead letters."""
        for raw in read_dead_letters(server):
            for number in numbers_in(raw) & self._ledger.pending:
                self._ledger.end(number, End.DEAD_LETTER)

    def _take(self, number: int | None, value: bytes, *, is_published: bool = True) -> None:
        if number is None or number >= self._ledger.size:
            return
        meta = json.loads(value)
        how = {SUCCESS: End.SUCCESS, FAILURE: End.FAILURE, REVOKED: End.FAILURE}.get(meta["status"])
        if how is None:
            return
        ended = self._ledger.end_of(number)
        if ended is how and is_published and number in self._looked_up:
            # The publication of what a look has already found.
            self._looked_up.discard(number)
            return
        if not is_published:
            self._looked_up.add(number)
        self._ledger.end(number, how, _error_in(meta) if how is End.FAILURE else "")
        self._check(number, how, meta["result"])

    def _check(self, number: int, how: End, result: Any) -> None:
        """Note an answer that is not the one that was asked for."""
        kind = self._ledger.kind_of(number)
        if how is not End.SUCCESS or kind is MessageKind.POISON:
            return
        if kind is MessageKind.TEXT:
            is_right = bool(result) and {"label", "score"} <= set(result[0])
        elif kind is MessageKind.CHORD_BODY:
            parts = result.get("parts", [])
            is_right = result["n"] == number and parts == list(range(number - len(parts), number)) and bool(parts)
        else:
            is_right = result.get("n") == number
        if not is_right:
            self._ledger.wrong[number] = f"answered {result!r}"


def _error_in(meta: dict[str, Any]) -> str:
    result = meta.get("result")
    if not isinstance(result, dict):
        return repr(result)
    return f"{result.get('exc_type')}: {result.get('exc_message')}"
