"""Tasks that are not in the contract go back to their queue if another worker runs them, and fail if none does.

A signature without a queue goes to Celery's default queue, which our workers consume as well. So a worker of ours may
fetch a step of somebody else's chain. Which workers run a task, and from which queues, is asked of all workers by
remote control; a worker that does not answer (remote control turned off, not written in Python) is not seen.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Collection, Mapping
from enum import Enum, auto
from typing import Any, NamedTuple

from producer.contract import QueueClass, TaskName, queue_name

__all__ = ["ForeignTasks", "TaskInQueue", "find_owned"]

logger = logging.getLogger(__name__)

#: How long all workers have to answer, in seconds, and how often they are asked before a task is nobody's: a solo pool
#: does not answer while it runs a task.
_REPLY_TIMEOUT_S = 1.0
_ASKS = 3
#: An owner that was seen is asked for again after a while, and remembered while it is being replaced.
_ASK_AGAIN_S = 30.0
_OWNED_S = 600.0
#: For how long nobody is asked again about a task that no worker runs.
_UNOWNED_S = 10.0
#: After a message was given back its queue is left to the others for this long, in seconds.
_PAUSE_S = 0.5
#: While so many messages wait for an answer, no more are fetched from their queue.
_MAX_HELD = 64
#: Senders may make up names without end.
_MAX_REMEMBERED = 1000
_OUR_QUEUES = frozenset(queue_name(task, queue_class) for task in TaskName for queue_class in QueueClass)
_OUR_PREFIXES = ("model:", "model.bulk:")


class TaskInQueue(NamedTuple):
    """A task's name, and the queue that its message came from."""

    task: str
    queue: str


class _Ownership(Enum):
    OWNED = auto()
    UNOWNED = auto()
    NOT_KNOWN = auto()


class ForeignTasks:
    """Decides for one consumer; used on its event loop.

    Args:
        consumer: Celery's.
        refuse: ends a message whose task no worker runs.
    """

    def __init__(self, consumer: Any, refuse: Callable[[Any], None]) -> None:
        self._consumer = consumer
        self._hub = consumer.hub
        self._refuse = refuse
        self._held: list[tuple[TaskInQueue, Any]] = []
        self._owned_at_s: dict[TaskInQueue, float] = {}
        self._unowned_at_s: dict[TaskInQueue, float] = {}
        self._is_asking = False

    def settle(self, message: Any) -> None:
        """Give a message back or refuse it; hold it until it is known which."""
        about = TaskInQueue(message.headers["task"], message.delivery_info.get("routing_key") or "")
        match self._ownership(about):
            case _Ownership.OWNED:
                self._give_back(about, message)
                if time.monotonic() - self._owned_at_s[about] > _ASK_AGAIN_S:
                    self._ask({about})
            case _Ownership.UNOWNED:
                self._refuse(message)
            case _Ownership.NOT_KNOWN:
                self._held.append((about, message))
                if len(self._held) >= _MAX_HELD:
                    message.channel.pause(about.queue, _PAUSE_S)
                self._ask({about})

    def _ownership(self, about: TaskInQueue) -> _Ownership:
        now_s = time.monotonic()
        if now_s - self._owned_at_s.get(about, float("-inf")) < _OWNED_S:
            return _Ownership.OWNED
        if now_s - self._unowned_at_s.get(about, float("-inf")) < _UNOWNED_S:
            return _Ownership.UNOWNED
        return _Ownership.NOT_KNOWN

    def _give_back(self, about: TaskInQueue, message: Any) -> None:
        message.channel.pause(about.queue, _PAUSE_S)
        message.requeue()
        logger.info(
            "gave %s[%s] back to the queue %s for its own workers", about.task, message.headers["id"], about.queue
        )

    def _ask(self, about: Collection[TaskInQueue]) -> None:
        if not self._is_asking:
            self._is_asking = True
            asking = threading.Thread(target=self._run, args=(frozenset(about),), name="celeriac-owners", daemon=True)
            asking.start()

    def _run(self, about: frozenset[TaskInQueue]) -> None:
        owned: frozenset[TaskInQueue] | None = None
        try:
            for _ in range(_ASKS):
                owned = find_owned(self._consumer.app, about)
                if owned == about:
                    break
        except Exception:
            logger.warning("could not ask the workers which tasks they run", exc_info=True)
        self._hub.call_soon(self._take_answer, about, owned)

    def _take_answer(self, about: frozenset[TaskInQueue], owned: frozenset[TaskInQueue] | None) -> None:
        self._is_asking = False
        if owned is not None:
            self._remember(about, owned)
        # A lost connection gives its messages to another worker, or to this one once more.
        channel = self._consumer.task_consumer.channel
        held = [(key, message) for key, message in self._held if message.channel is channel]
        self._held = []
        for key, message in held:
            if owned is None and key in about:
                # Nothing is known, so nothing is lost by another try.
                self._give_back(key, message)
            else:
                self.settle(message)

    def _remember(self, about: frozenset[TaskInQueue], owned: frozenset[TaskInQueue]) -> None:
        now_s = time.monotonic()
        for remembered, found in ((self._owned_at_s, owned), (self._unowned_at_s, about - owned)):
            if len(remembered) > _MAX_REMEMBERED:
                remembered.clear()
            remembered.update(dict.fromkeys(found, now_s))


def find_owned(app: Any, about: Collection[TaskInQueue]) -> frozenset[TaskInQueue]:
    """Those tasks that a worker of another app runs, and fetches from that queue.

    It waits for a second or two for the replies of all workers.

    Raises:
        kombu.exceptions.OperationalError, redis.exceptions.RedisError: the broker cannot be reached.
    """
    with app.connection_for_write() as connection:
        # As lists: two workers may have one node name, such as ours and a stock one on the same host.
        queues, tasks = (
            [reply for replies in _broadcast(app, connection, command) for reply in replies.values()]
            for command in ("active_queues", "registered")
        )
    fetched = {name for reply in queues for name in _others_queues(reply)}
    run = {str(entry).partition(" [")[0] for reply in tasks if isinstance(reply, list) for entry in reply}
    return frozenset(one for one in about if one.queue in fetched and one.task in run)


def _broadcast(app: Any, connection: Any, command: str) -> list[Mapping[str, Any]]:
    replies = app.control.broadcast(command, reply=True, timeout=_REPLY_TIMEOUT_S, connection=connection)
    return list(replies or ())


def _others_queues(reply: Any) -> set[str]:
    """The queues of a worker that is none of ours."""
    if not isinstance(reply, list):
        return set()
    names = {str(queue.get("name")) for queue in reply if isinstance(queue, dict)}
    is_ours = any(name in _OUR_QUEUES or name.startswith(_OUR_PREFIXES) for name in names)
    return set() if is_ours else names
