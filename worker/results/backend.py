"""Celery's Redis result backend, which adds the model to a result and stores the results of a batch together."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any
from uuid import uuid4

from celery.backends.redis import RedisBackend as CeleryRedisBackend
from celery.backends.redis import SentinelBackend as CelerySentinelBackend
from celery.exceptions import BackendStoreError
from celery.states import FAILURE, STARTED, SUCCESS
from kombu.utils.encoding import bytes_to_str
from redis.commands.core import Script

from worker.results.answer_facts import facts_of
from worker.results.attempts import MIN_KEPT_S, Attempts, RecordedClaim
from worker.results.marks import Marks, Taken

__all__ = ["RESULT_BACKENDS", "RedisBackend", "SentinelBackend"]


_STORE = Path(__file__).with_name("store_results.lua").read_text(encoding="utf-8")
#: How often a repeated member of a chord looks whether the body is started, in seconds.
_CHORD_POLL_S = 0.2
_GATHERED_STATES = frozenset({STARTED, SUCCESS, FAILURE})
#: How long a server that is gone is tried for, in seconds. Then the requests go back, long before a time limit.
_STORING_S = 15.0
_PROBE_LASTS_S = 10
#: How long a mark is kept after its message was taken, in seconds, unless results expire earlier.
_MARK_KEPT_S = 3600


@dataclass
class _Gathered:
    """The results of a batch that are stored at its end.

    Attributes:
        tasks: the task ids, by the keys whose values are held back until then.
        attempts: by task id, the delivery tag of a request and the number of the attempt that computes it.
        writes: the last value of each key, with its time to live in seconds.
        superseded: ids of the requests that another worker has claimed since: their results are not stored.
    """

    tasks: dict[Any, str]
    attempts: Mapping[str, tuple[str, int]]
    writes: dict[Any, tuple[Any, int | None]] = field(default_factory=dict)
    superseded: set[str] = field(default_factory=set)


class RedisBackend(CeleryRedisBackend):
    """Adds ``{"model": {"name", "revision", "arithmetic"}, "compute_s": …}`` to what is stored.

    ``compute_s`` is the request's share of the time that its batch took. Stock clients ignore both.
    """

    _gathered: _Gathered | None = None

    @contextlib.contextmanager
    def gather(self, attempts: Mapping[str, tuple[str, int]]) -> Iterator[Set[str]]:
        """Hold back the results that are stored inside, and store them together at the end, atomically.

        A result that is already a success is not overwritten, and one that another worker has claimed is not stored.

        Args:
            attempts: the requests whose results are held back, by task id: the delivery tag, and the number of the
                attempt.

        Yields:
            The ids of the requests that another worker has claimed, once the results are stored.

        Raises:
            redis.exceptions.RedisError: nothing could be stored, after the backend's retries, which end after 15 s.
        """
        self._gathered = _Gathered({self.get_key_for_task(task_id): task_id for task_id in attempts}, attempts)
        superseded = self._gathered.superseded
        try:
            yield superseded
        finally:
            # Stored even if the process is about to exit: linked tasks have already been sent.
            gathered, self._gathered = self._gathered, None
            if gathered.writes:
                self.ensure(self._write, (gathered,), timeout=_STORING_S)

    def get(self, key: Any) -> Any:
        """The value of a key, including one that is held back."""
        gathered = self._gathered
        if gathered is not None and key in gathered.tasks:
            return gathered.writes.get(key, (None,))[0]
        return super().get(key)

    def set(self, key: Any, value: Any, expires: int | None = None, **retry_policy: Any) -> Any:
        """Store a value and publish it, or hold it back inside :meth:`gather`.

        Raises:
            BackendStoreError: the value is larger than Redis allows.
        """
        gathered = self._gathered
        if gathered is None or key not in gathered.tasks:
            return super().set(key, value, expires=expires, **retry_policy)
        if len(value) > self._MAX_STR_VALUE_SIZE:
            raise BackendStoreError("value too large for Redis backend")
        gathered.writes[key] = value, expires
        return None

    def store_result(
        self, task_id: str, result: Any, state: str, traceback: Any = None, request: Any = None, **options: Any
    ) -> Any:
        """Store a result, immediately if another process may read or replace it before the batch ends.

        This applies to members of a chord, failures with errbacks, and requests that are retried.
        """
        gathered = self._gathered
        is_awaited = request is not None and bool(request.chord or request.errbacks)
        if gathered is not None and (is_awaited or state not in _GATHERED_STATES):
            key = self.get_key_for_task(task_id)
            gathered.tasks.pop(key, None)
            gathered.writes.pop(key, None)
        return super().store_result(task_id, result, state, traceback=traceback, request=request, **options)

    def check_storing(self) -> None:
        """Store a value that soon expires, in the way in which results are stored.

        Raises:
            redis.exceptions.RedisError: results cannot be stored.
        """
        probe = f"probe-{uuid4()}"
        key = self.get_key_for_task(probe)
        self._write(_Gathered({key: probe}, {probe: (probe, 1)}, {key: ("{}", _PROBE_LASTS_S)}))

    def _write(self, gathered: _Gathered) -> None:
        arguments: list[Any] = []
        records: list[Any] = []
        for key, (value, expires) in gathered.writes.items():
            tag, attempt = gathered.attempts[gathered.tasks[key]]
            records.append(self.attempts.key_of(tag))
            arguments += value, (self.expires if expires is None else expires) or 0, attempt
        keys = list(gathered.writes)
        found: Any = self._store(keys=[*keys, *records], args=arguments)
        gathered.superseded.update(gathered.tasks[keys[position - 1]] for position in found)

    def claim(
        self, requests: Sequence[tuple[str, str]], worker: str, at_most: int, gives_up_at: int
    ) -> Sequence[RecordedClaim]:
        """Claim requests that were delivered or begun before, each given as its task id and its delivery tag.

        Args:
            requests: the requests.
            worker: who claims them.
            at_most: how many attempts may be on record for another to begin.
            gives_up_at: with how many a request has its end; the last of them can then store nothing.

        Raises:
            redis.exceptions.RedisError: the server does not answer; nothing or a part is claimed.
        """
        keyed = [(self.get_key_for_task(task_id), tag) for task_id, tag in requests]
        return self.attempts.claim(keyed, worker, at_most, gives_up_at)

    def take(self, messages: Sequence[tuple[str, str]]) -> Sequence[str | None]:
        """Take messages whose ids may name several, each given as its task id and the name of its sending.

        Returns:
            For each None if it is to be computed; ``SUCCESS`` if that is stored, and ``STARTED`` if another message
            with its id is computed.

        Raises:
            redis.exceptions.RedisError: the server does not answer; none or a part is taken.
        """
        keyed = [(self.get_key_for_task(task_id), task_id, sending) for task_id, sending in messages]
        states = {Taken.TAKEN: None, Taken.STORED: SUCCESS, Taken.DUPLICATE: STARTED}
        return [states[taken] for taken in self.marks.take(keyed)]

    def on_chord_part_return(self, request: Any, state: str, result: Any, **options: Any) -> Any:
        """Count a member of a chord, and start the body with the last one.

        Whoever counts the last member takes the right to start the body, for a few seconds. If its process dies then,
        the member comes again, too early to take that right. So a member that comes again waits until the body is
        started or the right has ended, and tries once more.
        """
        returned = super().on_chord_part_return(request, state, result, **options)
        if self._is_repeated(request) and self._is_body_overdue(self.get_key_for_group(request.group, ".c")):
            returned = super().on_chord_part_return(request, state, result, **options)
        return returned

    def _is_repeated(self, request: Any) -> bool:
        attempts = self._gathered.attempts if self._gathered is not None else {}
        return bool(request.group) and attempts.get(request.id, ("", 1))[1] > 1

    def _is_body_overdue(self, right: Any) -> bool:
        """Wait while another process has the right to start a chord's body. Returns whether it has let it end."""
        waited = False
        while self.client.get(right) not in (None, b"done"):
            waited = True
            time.sleep(_CHORD_POLL_S)
        return waited and self.client.get(right) is None

    def count_attempts(self, tags: Sequence[str]) -> Sequence[int]:
        """How many attempts at each of these messages are known: 1 at one that was never claimed.

        Raises:
            redis.exceptions.RedisError: the server does not answer.
        """
        return self.attempts.count(tags)

    @cached_property
    def attempts(self) -> Attempts:
        """The records of attempts."""
        return Attempts(self.client, self.key_prefix, max(self.expires or 0, MIN_KEPT_S))

    @cached_property
    def marks(self) -> Marks:
        """The marks of requests whose ids their senders chose."""
        return Marks(self.client, self.key_prefix, min(self.expires or _MARK_KEPT_S, _MARK_KEPT_S))

    @property
    def key_prefix(self) -> str:
        """The global prefix of the backend's keys."""
        prefix: str = bytes_to_str(self.task_keyprefix)
        return prefix.removesuffix(bytes_to_str(CeleryRedisBackend.task_keyprefix))

    @cached_property
    def _store(self) -> Script:
        script: Script = self.client.register_script(_STORE)
        return script

    def _get_result_meta(self, result: Any, state: str, traceback: Any, request: Any, **options: Any) -> dict[str, Any]:
        meta: dict[str, Any] = super()._get_result_meta(result, state, traceback, request, **options)
        facts = facts_of(request)
        if facts is not None:
            meta["model"] = {"name": facts.model, "revision": facts.revision, "arithmetic": facts.arithmetic}
            # A producer that sends many requests learns from it how many to put into a message.
            meta["compute_s"] = round(request.compute_s, 6)
        return meta


class SentinelBackend(RedisBackend, CelerySentinelBackend):
    """The same where Sentinels know which server is the master."""


#: For the loader's ``override_backends``, by URL scheme.
RESULT_BACKENDS = {
    **dict.fromkeys(("redis", "rediss"), f"{__name__}:{RedisBackend.__name__}"),
    "sentinel": f"{__name__}:{SentinelBackend.__name__}",
}
