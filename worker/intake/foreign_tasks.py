"""Tasks that are not in the contract go back to their queue if another worker runs them, and fail if none does.

A signature without a queue goes to Celery's default queue, which our workers consume too, so that a worker of ours may
fetch a step of somebody else's chain. All workers are asked by remote control which tasks they run, from which queues.
A worker that does not answer (remote control is off, or it is not written in Python) is not found.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Collection, Mapping
from enum import Enum, auto
from typing import Any, NamedTuple

from producer.contract import is_contract_queue

__all__ = ["ForeignTasks", "TaskInQueue", "find_owned"]

logger = logging.getLogger(__name__)

#: How long workers have to answer, in seconds, and how often they are asked before a task counts as unowned: a solo
#: pool does not answer while it runs a task.
_REPLY_TIMEOUT_S = 1.0
_ASKS = 3
#: A known owner is asked again after a while, and remembered for as long as it may take to replace it.
_ASK_AGAIN_S = 30.0
_OWNED_S = 600.0
#: How long nobody is asked again about a task that no worker runs.
_UNOWNED_S = 10.0
#: How long a queue is left to other workers after a message was given back to it, in seconds.
_PAUSE_S = 0.5
#: While this many messages wait for an answer, no more are fetched from their queue.
_MAX_HELD = 64
#: Bounds the memory: senders can invent any number of names.
_MAX_REMEMBERED = 1000


class TaskInQueue(NamedTuple):
    """A task's name, and the queue that its message came from."""

    task: str
    queue: str


class _Ownership(Enum):
    OWNED = auto()
    UNOWNED = auto()
    NOT_KNOWN = auto()


class ForeignTasks:
    """Decides for one consumer what becomes of foreign tasks; used on its event loop.

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
        """Give a message back, or refuse it; hold it until it is known which."""
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
        # The messages of a lost connection are delivered again, here or elsewhere.
        channel = self._consumer.task_consumer.channel
        held = [(key, message) for key, message in self._held if message.channel is channel]
        self._held = []
        for key, message in held:
            if owned is None and key in about:
                # Nobody could be asked: whoever gets it next tries again.
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
    """Find those tasks that a worker of another app runs, and fetches from that queue.

    Blocks for a second or two, for the replies of all workers.

    Raises:
        kombu.exceptions.OperationalError, redis.exceptions.RedisError: the broker cannot be reached.
    """
    with app.connection_for_write() as connection:
        # Lists, since two workers may share a node name, such as ours and a stock one on the same host.
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
    """The queues of a foreign worker; empty for a worker of ours."""
    if not isinstance(reply, list):
        return set()
    names = {str(queue.get("name")) for queue in reply if isinstance(queue, dict)}
    return set() if any(map(is_contract_queue, names)) else names
