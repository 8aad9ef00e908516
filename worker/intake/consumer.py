"""What becomes of a message that no task should see: a typed error for its sender, or the queue where it belongs.

Celery logs such messages, body and all, and drops them; their senders wait until they time out.
"""

from __future__ import annotations

import logging
from functools import partial
from typing import Any

from celery.app.task import Context
from celery.worker import state
from celery.worker.consumer import Consumer as CeleryConsumer
from celery.worker.consumer.mingle import Mingle
from redis.exceptions import DataError, ResponseError
from vine import promise

from producer.contract import ErrorCode, RequestError, TaskName, UnknownTask, queue_name
from worker.intake.foreign_tasks import ForeignTasks
from worker.intake.message_checks import (
    find_fault,
    find_links,
    find_task_id,
    find_task_name,
    is_text,
    shorten,
    unreadable,
)
from worker.intake.protocol1 import convert_to_protocol_2
from worker.intake.request import HIDDEN
from worker.intake.routing import is_announced, queue_elsewhere
from worker.observability.events import FLUSH_S
from worker.observability.metrics.meter import meter

__all__ = ["Consumer"]

logger = logging.getLogger(__name__)

_KEPT_PROPERTIES = frozenset({"correlation_id", "reply_to", "priority"})
#: What Celery raises over a message that it cannot use. Uncaught, these end the worker, or (KeyError and the errors of
#: Redis) pass for a lost connection, and the message is fetched again for ever.
_UNUSABLE = (TypeError, ValueError, AttributeError, LookupError, ArithmeticError, DataError, ResponseError)


class Consumer(CeleryConsumer):
    """Celery's consumer with a guard before it, and patience with events."""

    class Blueprint(CeleryConsumer.Blueprint):
        """The steps of a start; after a lost connection without the second in which a worker listens to others."""

        def start(self, parent: Any) -> None:
            """Begin to consume, for the first time or again."""
            if parent.restart_count > 0:
                # It waits for replies as long, deaf; what it asks for, all that is revoked, it has heard before.
                parent.steps = [step for step in parent.steps if not isinstance(step, Mingle)]
            super().start(parent)

    #: Of whose events a flush is due.
    _flushes_soon: Any = None
    _foreign_tasks: ForeignTasks

    def create_task_handler(self, promise: Any = promise) -> Any:
        """The callback that Celery calls with every message."""
        handle = super().create_task_handler(promise)
        show_text = self.app.celeriac_settings.show_request_text
        served = self.app.celeriac_served
        is_known = partial(is_announced, self.app)
        self._foreign_tasks = ForeignTasks(self, self._refuse_unknown_task)

        def on_message(message: Any) -> None:
            convert_to_protocol_2(message)
            fault = find_fault(message)
            if fault is not None:
                self._refuse(message, fault)
                return
            if _waits_here(message):
                return
            elsewhere = queue_elsewhere(message, served, is_known)
            if elsewhere is not None:
                self._move(message, elsewhere)
                return
            if not show_text:
                # Written by the sender, in clear by a stock one; events, logs and Flower would show them.
                message.headers["argsrepr"] = message.headers["kwargsrepr"] = HIDDEN
            try:
                handle(message)
            except _UNUSABLE as error:
                if _is_fault_of_server(error):
                    raise
                logger.warning("Celery failed over a message", exc_info=True)
                problem = f"Celery cannot use this message ({type(error).__name__})"
                self._refuse(message, unreadable(problem, "headers"))

        return on_message

    def on_decode_error(self, message: Any, exc: Exception) -> None:
        """The body is not the JSON that it says."""
        self._refuse(message, unreadable(f"the body cannot be decoded ({type(exc).__name__})", "body"))

    def on_invalid_task(self, body: Any, message: Any, exc: Exception) -> None:  # noqa: ARG002 - Celery's signature
        """A header has a value that Celery cannot use, such as a deadline that is no date."""
        self._refuse(message, unreadable(f"Celery cannot use this message: {shorten(exc)}", "headers"))

    def on_unknown_task(self, body: Any, message: Any, exc: Exception) -> None:  # noqa: ARG002 - Celery's signature
        """A task of the contract that other workers serve goes to its queue, a foreign one back to its own workers."""
        try:
            task = TaskName(message.headers["task"])
        except ValueError:
            self._foreign_tasks.settle(message)
        else:
            self._move(message, queue_name(task))

    def _refuse_unknown_task(self, message: Any) -> None:
        known = ", ".join(sorted(task.value for task in TaskName))
        problem = f"there is no task {shorten(message.headers['task'])!r}; there are {known}"
        self._refuse(message, UnknownTask.of(ErrorCode.UNKNOWN_TASK, problem, field="task"))

    def on_send_event_buffered(self) -> None:
        """Send the events that wait in a moment, and others with them."""
        # After a loss of the connection there is another dispatcher, and the timers are gone.
        if self.hub and self._flushes_soon is not self.event_dispatcher:
            self._flushes_soon = self.event_dispatcher
            self.hub.call_later(FLUSH_S, self._flush_events)

    def shutdown(self) -> None:
        """Send what is left before the connection goes."""
        self._flush_events()
        super().shutdown()

    def _flush_events(self) -> None:
        self._flushes_soon = None
        super()._flush_events()

    def _move(self, message: Any, queue: str) -> None:
        """Publish first and acknowledge afterwards: a crash in between repeats the message and loses nothing."""
        properties = {k: v for k, v in message.properties.items() if k in _KEPT_PROPERTIES and v is not None}
        # kombu has decompressed the body already.
        headers = {k: v for k, v in message.headers.items() if k != "compression"}
        with self.app.producer_pool.acquire(block=True) as producer:
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
        message.ack_log_error(logger, self.connection_errors)
        meter.moved[message.headers["task"]] += 1
        logger.info("moved %s[%s] to the queue %s", message.headers["task"], message.headers["id"], queue)

    def _refuse(self, message: Any, error: RequestError) -> None:
        """Store the error as the message's result, then drop the message."""
        task_id, name = find_task_id(message), find_task_name(message)
        meter.refused(name, error.details["code"])
        logger.warning("refused %s[%s]: %s", shorten(name), shorten(task_id), error)
        if task_id is not None:
            self._store_failure(task_id, message, error)
            if self.event_dispatcher:
                # Nothing has announced this task before: Flower takes its name from here.
                about = {"name": name and shorten(name), "args": HIDDEN, "kwargs": HIDDEN}
                self.event_dispatcher.send("task-failed", uuid=task_id, exception=repr(error), **about)
        message.ack_log_error(logger, self.connection_errors)

    def _store_failure(self, task_id: str, message: Any, error: RequestError) -> None:
        """Store it, and tell the chord, the errbacks and the rest of the chain that wait for the request."""
        backend, links = self.app.backend, find_links(message)
        try:
            backend.mark_as_failure(task_id, error, request=_context(task_id, message, links))
        except _UNUSABLE as problem:
            if not links or _is_fault_of_server(problem):
                raise
            logger.warning("could not tell who waits for [%s]", shorten(task_id), exc_info=True)
            backend.mark_as_failure(task_id, error, request=_context(task_id, message, {}))


def _is_fault_of_server(error: Exception) -> bool:
    """Whether Redis is full or read-only, say; the wrong type of a key that a message names is the message's."""
    return isinstance(error, ResponseError) and not str(error).startswith("WRONGTYPE")


def _waits_here(message: Any) -> bool:
    """Whether this worker holds the message already, for a later ``eta``.

    The broker delivers it again after each visibility timeout; every copy would take memory, and be computed.
    """
    return bool(message.delivery_info.get("redelivered")) and any(
        request.message.delivery_tag == message.delivery_tag for request in tuple(state.scheduled_requests)
    )


def _context(task_id: str, message: Any, links: dict[str, Any]) -> Context:
    """As much of a request as the result backend needs to store its failure."""
    headers = message.headers if isinstance(message.headers, dict) else {}
    properties = message.properties or {}
    found = {name: headers.get(name) for name in ("root_id", "parent_id")}
    found |= {name: properties.get(name) for name in ("correlation_id", "reply_to")}
    known = {name: value for name, value in found.items() if is_text(value)}
    return Context(known, **links, id=task_id, task=find_task_name(message), children=[], delivery_info={})
