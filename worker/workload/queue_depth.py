"""Samples the queues once a second: waiting requests, the age of the oldest, and the workers that share them.

A thread takes the samples, off the event loop. It also announces to the other workers how much work this one has.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import redis
from celery import Celery

from producer.contract import SENT_AT_HEADER
from worker.transport.channel import Channel
from worker.transport.dead_letters import NO_DEAD_LETTERS, DeadLetterTotals
from worker.workload.identity import WorkerIdentity

__all__ = ["GONE_S", "DepthSample", "DepthSampler", "load_key", "workers_key"]

logger = logging.getLogger(__name__)

#: Interval between samples.
_SAMPLE_S = 1.0
#: Interval between counts of the dead letters: the server reads the oldest one, which may be large.
_DEAD_LETTERS_S = 5.0
#: A worker that has not announced itself for this long counts as gone.
GONE_S = 5.0
_KEY_LASTS_S = 60
#: When the oldest message of a list was sent, from its header. The server searches, since a message may be large. Only
#: a header can match: quotes inside a value are escaped, and a base64 body has none.
_SENT_AT = f"""
local message = redis.call('LINDEX', KEYS[1], -1)
return message and string.match(message, '"{SENT_AT_HEADER}": *(%d+%.?%d*)')
"""


@dataclass(frozen=True)
class DepthSample:
    """The queues at one moment.

    Attributes:
        at_s: when the sample was taken, on the monotonic clock.
        waiting: number of requests in each queue, over all its priorities.
        oldest_s: how long the oldest request of each queue has waited, if its message has a send time.
        unacknowledged: number of messages that all workers of this Redis database have fetched but not finished.
        workers: number of workers that consume each queue, at least 1.
        fetched_s: seconds of work that this worker had fetched when the sample was taken.
        dead: the dead letters of this Redis database, counted a few seconds earlier at most.
    """

    at_s: float
    waiting: Mapping[str, int]
    oldest_s: Mapping[str, float]
    unacknowledged: int
    workers: Mapping[str, int]
    fetched_s: float
    dead: DeadLetterTotals = NO_DEAD_LETTERS


class DepthSampler:
    """Samples the queues in a thread with its own connection.

    Args:
        app: the Celery app.
        identity: this worker's identity, by which other workers count it.
        queues: returns the names of the queues that the worker consumes.
        fetched_s: returns the seconds of work fetched so far; called for each sample, must not block.
    """

    def __init__(
        self, app: Celery, identity: WorkerIdentity, queues: Callable[[], Sequence[str]], fetched_s: Callable[[], float]
    ) -> None:
        self._app = app
        self._member = str(identity)
        self._queues = queues
        self._fetched_s = fetched_s
        self._dead, self._dead_at_s = NO_DEAD_LETTERS, float("-inf")
        #: The latest sample; None before the first one and while Redis does not answer.
        self.latest: DepthSample | None = None
        #: What is announced to the other workers; empty until the first observation.
        self.announcement = ""

    def start(self) -> None:
        """Start the thread, which runs until the process ends."""
        threading.Thread(target=self._run, name="celeriac-queue-depth", daemon=True).start()

    def sample(self, channel: Channel) -> DepthSample:
        """Take one sample.

        Raises:
            redis.exceptions.RedisError: Redis does not answer.
        """
        queues = list(self._queues())
        self._announce(channel.client, queues)
        lists = {queue: [_list_of(channel, queue, step) for step in channel.priority_steps] for queue in queues}
        with channel.client.pipeline(transaction=False) as pipe:
            for queue, names in lists.items():
                pipe.zcard(workers_key(queue))
                for name in names:
                    pipe.llen(name)
            pipe.hlen(channel.unacked_key)
            replies = iter(pipe.execute())
        workers, lengths = {}, {}
        for queue, names in lists.items():
            workers[queue] = max(1, next(replies))
            lengths[queue] = {name: next(replies) for name in names}
        waiting = {queue: sum(by_list.values()) for queue, by_list in lengths.items()}
        oldest_s = _oldest_s(channel.client, lengths)
        dead = self._count_dead_letters(channel)
        return DepthSample(time.monotonic(), waiting, oldest_s, next(replies), workers, self._fetched_s(), dead)

    def _count_dead_letters(self, channel: Channel) -> DeadLetterTotals:
        if time.monotonic() - self._dead_at_s >= _DEAD_LETTERS_S:
            self._dead, self._dead_at_s = channel.dead_letters.totals(), time.monotonic()
        return self._dead

    def _announce(self, client: redis.Redis, queues: Sequence[str]) -> None:
        now_s = time.time()
        with client.pipeline(transaction=False) as pipe:
            for queue in queues:
                key = workers_key(queue)
                pipe.zadd(key, {self._member: now_s})
                pipe.zremrangebyscore(key, "-inf", now_s - GONE_S)
                pipe.expire(key, _KEY_LASTS_S)
            if self.announcement:
                pipe.set(load_key(self._member), self.announcement, px=int(GONE_S * 1000))
            pipe.execute()

    def _run(self) -> None:
        while True:
            try:
                with self._app.connection_for_read() as connection:
                    channel = connection.default_channel
                    while True:
                        self.latest = self.sample(channel)
                        time.sleep(_SAMPLE_S)
            except Exception:
                # Retried in a second. Until then there is no sample, and nobody decides anything.
                logger.debug("could not read the queue depths", exc_info=True)
                self.latest = None
                time.sleep(_SAMPLE_S)


def workers_key(queue: str) -> str:
    """Key of the sorted set of the workers that consume a queue: identities, by the time of their last announcement."""
    return f"celeriac.workers.{queue}"


def load_key(member: str) -> str:
    """Key of the announcement of a member of :func:`workers_key`."""
    return f"celeriac.load.{member}"


def _oldest_s(client: redis.Redis, lengths: Mapping[str, Mapping[str, int]]) -> dict[str, float]:
    """How long the oldest message of each queue has waited; queues whose messages have no send time are left out."""
    filled = [(queue, name) for queue, by_list in lengths.items() for name, length in by_list.items() if length]
    if not filled:
        return {}
    sent_at = client.register_script(_SENT_AT)
    with client.pipeline(transaction=False) as pipe:
        for _, name in filled:
            sent_at(keys=[name], client=pipe)
        send_times = pipe.execute()
    now_s, oldest_s = time.time(), dict[str, float]()
    for (queue, _), sent_at_s in zip(filled, send_times, strict=True):
        if sent_at_s is not None:
            oldest_s[queue] = max(0.0, now_s - float(sent_at_s), oldest_s.get(queue, 0.0))
    return oldest_s


def _list_of(channel: Channel, queue: str, priority: int) -> str:
    """Key of the list that holds a queue's requests of one priority."""
    name: str = channel._q_for_pri(queue, priority)  # noqa: SLF001 - kombu has no public way
    return name
