"""What becomes of a message that this worker does not run: its error is stored, or it goes to another queue."""

from __future__ import annotations

import logging
from typing import Any

from celery.app.task import Context
from redis.exceptions import DataError, ResponseError

from producer.contract import RequestError
from worker.inference.hidden_result import HIDDEN
from worker.intake.message_checks import find_links, find_task_id, find_task_name, is_text, shorten
from worker.runtime import runtime_of

__all__ = ["UNUSABLE", "Disposal", "is_fault_of_server"]

logger = logging.getLogger(__name__)

_KEPT_PROPERTIES = frozenset({"correlation_id", "reply_to", "priority"})
#: What Celery raises over a message that it cannot use. Uncaught, these end the worker, or (KeyError and the errors of
#: Redis) are taken for a lost connection, and the message is fetched again without end.
UNUSABLE = (TypeError, ValueError, AttributeError, LookupError, ArithmeticError, DataError, ResponseError)


class Disposal:
    """Refuses and moves messages of one consumer.

    Args:
        consumer: Celery's.
    """

    def __init__(self, consumer: Any) -> None:
        self._consumer = consumer
        self._app = consumer.app
        self._meter = runtime_of(consumer.app).meter

    def move(self, message: Any, queue: str) -> None:
        """Move a message to another queue.

        It is published first and acknowledged afterwards: a crash in between repeats the message and loses nothing.
        """
        properties = {k: v for k, v in message.properties.items() if k in _KEPT_PROPERTIES and v is not None}
        # kombu has decompressed the body already.
        headers = {k: v for k, v in message.headers.items() if k != "compression"}
        with self._app.producer_pool.acquire(block=True) as producer:
            producer.publish(
                message.body,
                content_type=message.content_type,
                content_encoding=message.content_encoding,
                headers=headers,
                exchange="",
                routing_key=queue,
                retry=True,
                **properties,
            )
        message.ack_log_error(logger, self._consumer.connection_errors)
        self._meter.moved[message.headers["task"]] += 1
        logger.info("moved %s[%s] to the queue %s", message.headers["task"], message.headers["id"], queue)

    def refuse(self, message: Any, error: RequestError) -> None:
        """Store an error as the message's result, then drop the message."""
        task_id, name = find_task_id(message), find_task_name(message)
        self._meter.refused(name, error.details["code"])
        logger.warning("refused %s[%s]: %s", shorten(name), shorten(task_id), error)
        if task_id is not None:
            self._store_failure(task_id, message, error)
            if self._consumer.event_dispatcher:
                # Nothing has announced this task before: Flower takes its name from here.
                about = {"name": name and shorten(name), "args": HIDDEN, "kwargs": HIDDEN}
                self._consumer.event_dispatcher.send("task-failed", uuid=task_id, exception=repr(error), **about)
        message.ack_log_error(logger, self._consumer.connection_errors)

    def _store_failure(self, task_id: str, message: Any, error: RequestError) -> None:
        """Store it, and tell the chord, the errbacks and the rest of the chain that wait for the request."""
        backend, links = self._app.backend, find_links(message)
        try:
            backend.mark_as_failure(task_id, error, request=_context(task_id, message, links))
        except UNUSABLE as problem:
            if not links or is_fault_of_server(problem):
                raise
            logger.warning("could not notify what waits for [%s]", shorten(task_id), exc_info=True)
            backend.mark_as_failure(task_id, error, request=_context(task_id, message, {}))


def is_fault_of_server(error: Exception) -> bool:
    """Whether Redis is at fault, being full or read-only, and not the message.

    A key of the wrong type is the fault of the message that names it.
    """
    return isinstance(error, ResponseError) and not str(error).startswith("WRONGTYPE")


def _context(task_id: str, message: Any, links: dict[str, Any]) -> Context:
    """As much of a request as the result backend needs to store its failure."""
    headers = message.headers if isinstance(message.headers, dict) else {}
    properties = message.properties or {}
    found = {name: headers.get(name) for name in ("root_id", "parent_id")}
    found |= {name: properties.get(name) for name in ("correlation_id", "reply_to")}
    known = {name: value for name, value in found.items() if is_text(value)}
    return Context(known, **links, id=task_id, task=find_task_name(message), children=[], delivery_info={})
