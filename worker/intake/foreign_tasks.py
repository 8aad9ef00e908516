"""Returns tasks that are not in the contract to their queue if another worker runs them, and refuses them if none does.

A signature without a queue goes to Celery's default queue, which our workers consume too. So one of our workers may
fetch a step of another app's chain. Remote control asks all workers which tasks they run and which queues they consume.
A worker that does not reply (its remote control is off, or it is not written in Python) is not found.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Collection, Mapping
from enum import Enum, auto
from typing import Any, NamedTuple

from celery import Celery
from celery.worker.consumer import Consumer
from kombu import Connection
from kombu.message import Message

from producer.contract import is_contract_queue

__all__ = ["ForeignTasks", "TaskInQueue", "find_owned"]

logger = logging.getLogger(__name__)

#: How long workers may take to reply.
_REPLY_TIMEOUT_S = 1.0
#: How many times workers are asked before a task counts as unowned: a solo pool does not reply while it runs a task.
_ATTEMPTS = 3
#: How long a known owner is trusted before it is asked again.
_REFRESH_S = 30.0
#: How long an owner is remembered: as long as it may take to replace it.
_OWNED_S = 600.0
#: How long a task is known to have no owner before workers are asked again.
_UNOWNED_S = 10.0
#: How long the worker leaves a queue to other workers after it has returned a message to it.
_PAUSE_S = 0.5
#: While this many messages wait for a reply, no more are fetched from their queue.
_MAX_HELD = 64
#: Limits memory: senders can invent any number of names.
_MAX_REMEMBERED = 1000


class TaskInQueue(NamedTuple):
    """A task, and the queue that its message came from."""

    name: str
    queue: str


class _Ownership(Enum):
    OWNED = auto()
    UNOWNED = auto()
    UNKNOWN = auto()


class ForeignTasks:
    """Settles the foreign tasks that one consumer receives; used on its event loop.

    Args:
        consumer: Celery's consumer.
        refuse: refuses a message whose task no worker runs.
    """

    def __init__(self, consumer: Consumer, refuse: Callable[[Message], None]) -> None:
        self._consumer = consumer
        self._hub = consumer.hub
        self._refuse = refuse
        self._held: list[tuple[TaskInQueue, Message]] = []
        self._owned_at_s: dict[TaskInQueue, float] = {}
        self._unowned_at_s: dict[TaskInQueue, float] = {}
        self._is_asking = False

    def settle(self, message: Message) -> None:
        """Return a message to its queue, or refuse it; hold it while that is unknown."""
        task = TaskInQueue(message.headers["task"], message.delivery_info.get("routing_key") or "")
        match self._ownership(task):
            case _Ownership.OWNED:
                self._return(task, message)
                if time.monotonic() - self._owned_at_s[task] > _REFRESH_S:
                    self._ask({task})
            case _Ownership.UNOWNED:
                self._refuse(message)
            case _Ownership.UNKNOWN:
                self._held.append((task, message))
                if len(self._held) >= _MAX_HELD:
                    message.channel.pause(task.queue, _PAUSE_S)
                self._ask({task})

    def _ownership(self, task: TaskInQueue) -> _Ownership:
        now_s = time.monotonic()
        if now_s - self._owned_at_s.get(task, float("-inf")) < _OWNED_S:
            return _Ownership.OWNED
        if now_s - self._unowned_at_s.get(task, float("-inf")) < _UNOWNED_S:
            return _Ownership.UNOWNED
        return _Ownership.UNKNOWN

    def _return(self, task: TaskInQueue, message: Message) -> None:
        message.channel.pause(task.queue, _PAUSE_S)
        message.requeue()
        logger.info(
            "gave %s[%s] back to the queue %s for its own workers", task.name, message.headers["id"], task.queue
        )

    def _ask(self, tasks: Collection[TaskInQueue]) -> None:
        if not self._is_asking:
            self._is_asking = True
            threading.Thread(
                target=self._find_owned, args=(frozenset(tasks),), name="celeriac-owners", daemon=True
            ).start()

    def _find_owned(self, tasks: frozenset[TaskInQueue]) -> None:
        owned: frozenset[TaskInQueue] | None = None
        try:
            for _ in range(_ATTEMPTS):
                owned = find_owned(self._consumer.app, tasks)
                if owned == tasks:
                    break
        except Exception:
            logger.warning("could not ask the workers which tasks they run", exc_info=True)
        self._hub.call_soon(self._settle_held, tasks, owned)

    def _settle_held(self, tasks: frozenset[TaskInQueue], owned: frozenset[TaskInQueue] | None) -> None:
        self._is_asking = False
        if owned is not None:
            self._remember(tasks, owned)
        # The messages of a lost connection are delivered again, here or elsewhere.
        channel = self._consumer.task_consumer.channel
        held = [(task, message) for task, message in self._held if message.channel is channel]
        self._held = []
        for task, message in held:
            if owned is None and task in tasks:
                # The workers could not be asked. The next worker to fetch the message tries again.
                self._return(task, message)
            else:
                self.settle(message)

    def _remember(self, tasks: frozenset[TaskInQueue], owned: frozenset[TaskInQueue]) -> None:
        now_s = time.monotonic()
        for remembered, new in ((self._owned_at_s, owned), (self._unowned_at_s, tasks - owned)):
            if len(remembered) > _MAX_REMEMBERED:
                remembered.clear()
            remembered.update(dict.fromkeys(new, now_s))


def find_owned(app: Celery, tasks: Collection[TaskInQueue]) -> frozenset[TaskInQueue]:
    """Find the tasks that a worker of another app runs and fetches from the same queue.

    Blocks for a second or two until all workers have replied.

    Raises:
        kombu.exceptions.OperationalError, redis.exceptions.RedisError: the broker cannot be reached.
    """
    with app.connection_for_write() as connection:
        # Lists, since two workers may share a node name, such as ours and a stock worker on the same host.
        queue_replies, task_replies = (
            [reply for replies in _broadcast(app, connection, command) for reply in replies.values()]
            for command in ("active_queues", "registered")
        )
    queues = {name for reply in queue_replies for name in _foreign_queues(reply)}
    names = {str(entry).partition(" [")[0] for reply in task_replies if isinstance(reply, list) for entry in reply}
    return frozenset(task for task in tasks if task.queue in queues and task.name in names)


def _broadcast(app: Celery, connection: Connection, command: str) -> list[Mapping[str, Any]]:
    replies = app.control.broadcast(command, reply=True, timeout=_REPLY_TIMEOUT_S, connection=connection)
    return list(replies or ())


def _foreign_queues(reply: object) -> set[str]:
    """The queues of another app's worker; empty for one of our workers."""
    if not isinstance(reply, list):
        return set()
    names = {str(queue.get("name")) for queue in reply if isinstance(queue, dict)}
    return set() if any(map(is_contract_queue, names)) else names
