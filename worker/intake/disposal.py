"""Disposes of messages that this worker does not run: refuses them with an error, or moves them to another queue."""

from __future__ import annotations

import logging
from typing import Any

from celery.app.task import Context
from celery.worker.consumer import Consumer
from kombu.message import Message
from redis.exceptions import DataError, ResponseError

from producer.contract import RequestError
from worker.inference.hidden_result import HIDDEN
from worker.intake.burial import bury, reason_to_keep
from worker.intake.message_checks import find_links, find_task_id, find_task_name, is_text, shorten
from worker.runtime import runtime_of

__all__ = ["UNUSABLE", "Disposal", "is_fault_of_server"]

logger = logging.getLogger(__name__)

_KEPT_PROPERTIES = frozenset({"correlation_id", "reply_to", "priority"})
#: What Celery raises when it cannot use a message. Uncaught, these errors end the worker, or (KeyError and errors of
#: Redis) are taken for a lost connection, and the message is fetched again forever.
UNUSABLE = (TypeError, ValueError, AttributeError, LookupError, ArithmeticError, DataError, ResponseError)


class Disposal:
    """Refuses and moves messages of one consumer.

    Args:
        consumer: Celery's consumer.
    """

    def __init__(self, consumer: Consumer) -> None:
        self._consumer = consumer
        self._app = consumer.app
        self._meter = runtime_of(consumer.app).meter

    def move(self, message: Message, queue: str) -> None:
        """Move a message to another queue.

        It is published before it is acknowledged: a crash in between duplicates the message instead of losing it.
        """
        properties = {k: v for k, v in message.properties.items() if k in _KEPT_PROPERTIES and v is not None}
        # Kombu has decompressed the body.
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

    def refuse(self, message: Message, error: RequestError) -> None:
        """Store an error as the result of a message, then keep the message as a dead letter, or acknowledge it.

        A crash in between refuses the message again.
        """
        task_id, name = find_task_id(message), find_task_name(message)
        self._meter.on_refused(name, error.details["code"])
        logger.warning("refused %s[%s]: %s", shorten(name), shorten(task_id), error)
        if task_id is not None:
            self._store_failure(task_id, message, error)
            if self._consumer.event_dispatcher:
                # No earlier event has announced this task: Flower takes the name from this one.
                shown = {"name": name and shorten(name), "args": HIDDEN, "kwargs": HIDDEN}
                self._consumer.event_dispatcher.send("task-failed", uuid=task_id, exception=repr(error), **shown)
        reason = reason_to_keep(message, error)
        if reason is None:
            message.ack_log_error(logger, self._consumer.connection_errors)
        else:
            bury(message, reason, error)

    def _store_failure(self, task_id: str, message: Message, error: RequestError) -> None:
        """Store a failure, and notify the chord, the errbacks and the rest of the chain."""
        backend, links = self._app.backend, find_links(message)
        try:
            backend.mark_as_failure(task_id, error, request=_context(task_id, message, links))
        except UNUSABLE as link_error:
            if not links or is_fault_of_server(link_error):
                raise
            logger.warning("could not notify the tasks linked to [%s]", shorten(task_id), exc_info=True)
            backend.mark_as_failure(task_id, error, request=_context(task_id, message, {}))


def is_fault_of_server(error: Exception) -> bool:
    """Whether the server is at fault, because it is full or read-only, rather than the message.

    A key of the wrong type is the fault of the message that names it.
    """
    return isinstance(error, ResponseError) and not str(error).startswith("WRONGTYPE")


def _context(task_id: str, message: Message, links: dict[str, Any]) -> Context:
    """The fields of a request that the result backend needs to store its failure."""
    headers = message.headers if isinstance(message.headers, dict) else {}
    properties = message.properties or {}
    fields = {name: headers.get(name) for name in ("root_id", "parent_id")}
    fields |= {name: properties.get(name) for name in ("correlation_id", "reply_to")}
    valid = {name: value for name, value in fields.items() if is_text(value)}
    return Context(valid, **links, id=task_id, task=find_task_name(message), children=[], delivery_info={})
