"""How much waits in the queues, and how many workers share it: asked of Redis off the event loop, once a second."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

__all__ = ["DepthSample", "DepthSampler"]

logger = logging.getLogger(__name__)

#: Between two samples.
_SAMPLE_S = 1.0
#: A worker that has not been heard of for so long has ended.
_GONE_S = 5.0
_KEY_LASTS_S = 60


@dataclass(frozen=True)
class DepthSample:
    """What was seen at one moment.

    Attributes:
        at_s: the moment, of the monotonic clock.
        waiting: requests in all lists of each queue.
        workers: how many workers consume each queue, at least 1.
        mark: what the worker had fetched at that moment, in a unit of its own.
    """

    at_s: float
    waiting: Mapping[str, int]
    workers: Mapping[str, int]
    mark: float


class DepthSampler:
    """A thread with a connection of its own.

    Args:
        app: the Celery app.
        worker: this worker's node name.
        queues: what it consumes.
        mark: read at the moment of each sample; must not wait.
    """

    def __init__(self, app: Any, worker: str, queues: Callable[[], Sequence[str]], mark: Callable[[], float]) -> None:
        self._app = app
        self._worker = worker
        self._queues = queues
        self._mark = mark
        #: The latest; None before the first, and while Redis does not answer.
        self.latest: DepthSample | None = None

    def start(self) -> None:
        """Sample from now on, for as long as this process lives."""
        threading.Thread(target=self._run, name="celeriac-queue-depth", daemon=True).start()

    def sample(self, channel: Any) -> DepthSample:
        """Ask once.

        Raises:
            redis.exceptions.RedisError: Redis does not answer.
        """
        queues = list(self._queues())
        lists = [_list_of(channel, queue, priority) for queue in queues for priority in channel.priority_steps]
        now_s = time.time()
        with channel.client.pipeline(transaction=False) as pipe:
            for queue in queues:
                key = f"celeriac.workers.{queue}"
                pipe.zadd(key, {self._worker: now_s})
                pipe.zremrangebyscore(key, "-inf", now_s - _GONE_S)
                pipe.zcard(key)
                pipe.expire(key, _KEY_LASTS_S)
            for name in lists:
                pipe.llen(name)
            replies = pipe.execute()
        per_queue = 4
        workers = {queue: max(1, replies[index * per_queue + 2]) for index, queue in enumerate(queues)}
        lengths = replies[len(queues) * per_queue :]
        steps = len(channel.priority_steps)
        waiting = {queue: sum(lengths[index * steps : (index + 1) * steps]) for index, queue in enumerate(queues)}
        return DepthSample(time.monotonic(), waiting, workers, self._mark())

    def _run(self) -> None:
        while True:
            try:
                with self._app.connection_for_read() as connection:
                    channel = connection.default_channel
                    while True:
                        self.latest = self.sample(channel)
                        time.sleep(_SAMPLE_S)
            except Exception:
                # Whatever it is, the next try may go better; until then nothing is decided.
                logger.debug("could not look at the queues", exc_info=True)
                self.latest = None
                time.sleep(_SAMPLE_S)


def _list_of(channel: Any, queue: str, priority: int) -> str:
    """The list of a queue's requests of one priority."""
    name: str = channel._q_for_pri(queue, priority)  # noqa: SLF001 - kombu's naming
    return name
