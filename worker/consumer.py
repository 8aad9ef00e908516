"""What becomes of a message that no task should see: a typed error for its sender, or the queue where it belongs.

Celery logs such messages, body and all, and drops them; their senders wait until they time out.
"""

from __future__ import annotations

import logging
from typing import Any

from celery.app.task import Context
from celery.worker.consumer import Consumer as CeleryConsumer
from vine import promise

from producer.contract import ErrorCode, RequestError, TaskName, UnknownTask, queue_name
from worker.messages import find_fault, shorten, unreadable
from worker.request import HIDDEN

__all__ = ["Consumer"]

logger = logging.getLogger(__name__)

_KEPT_PROPERTIES = frozenset({"correlation_id", "reply_to", "priority", "delivery_mode"})


class Consumer(CeleryConsumer):
    """Celery's consumer with a guard before it."""

    def create_task_handler(self, promise: Any = promise) -> Any:
        """The callback that Celery calls with every message."""
        handle = super().create_task_handler(promise)
        show_text = self.app.celeriac_settings.show_request_text

        def on_message(message: Any) -> None:
            fault = find_fault(message)
            if fault is not None:
                self._refuse(message, fault)
                return
            if not show_text:
                # Written by the sender, in clear by a stock one; events, logs and Flower would show them.
                message.headers["argsrepr"] = message.headers["kwargsrepr"] = HIDDEN
            handle(message)

        return on_message

    def on_decode_error(self, message: Any, exc: Exception) -> None:
        """The body is not the JSON that it says."""
        self._refuse(message, unreadable(f"the body cannot be decoded ({type(exc).__name__})", "body"))

    def on_invalid_task(self, body: Any, message: Any, exc: Exception) -> None:  # noqa: ARG002 - Celery's signature
        """A header has a value that Celery cannot use, such as a deadline that is no date."""
        self._refuse(message, unreadable(f"Celery cannot use this message: {shorten(exc)}", "headers"))

    def on_unknown_task(self, body: Any, message: Any, exc: Exception) -> None:  # noqa: ARG002 - Celery's signature
        """A task of the contract that other workers serve goes to its queue; any other is refused."""
        name = message.headers["task"]
        try:
            task = TaskName(name)
        except ValueError:
            known = ", ".join(sorted(task.value for task in TaskName))
            problem = f"there is no task {shorten(name)!r}; there are {known}"
            self._refuse(message, UnknownTask.of(ErrorCode.UNKNOWN_TASK, problem, field="task"))
        else:
            self._move(message, queue_name(task))

    def _move(self, message: Any, queue: str) -> None:
        """Publish first and acknowledge afterwards: a crash in between repeats the message and loses nothing."""
        properties = {k: v for k, v in message.properties.items() if k in _KEPT_PROPERTIES and v is not None}
        with self.app.producer_pool.acquire(block=True) as producer:
            producer.publish(
                message.body,
                content_type=message.content_type,
                content_encoding=message.content_encoding,
                headers=message.headers,
                exchange="",
                routing_key=queue,
                retry=True,
                **properties,
            )
        message.ack_log_error(logger, self.connection_errors)
        logger.info("moved %s[%s] to the queue %s", message.headers["task"], message.headers["id"], queue)

    def _refuse(self, message: Any, error: RequestError) -> None:
        """Store the error as the message's result, then drop the message."""
        headers = message.headers if isinstance(message.headers, dict) else {}
        task_id = headers.get("id")
        logger.warning("refused %s[%s]: %s", shorten(headers.get("task")), shorten(task_id), error)
        if isinstance(task_id, str):
            self.app.backend.mark_as_failure(task_id, error, request=_context(message, headers))
            if self.event_dispatcher:
                self.event_dispatcher.send("task-failed", uuid=task_id, exception=repr(error))
        message.ack_log_error(logger, self.connection_errors)


def _context(message: Any, headers: dict[str, Any]) -> Context:
    """As much of a request as the result backend needs to store its failure."""
    properties = message.properties or {}
    return Context(
        id=headers.get("id"),
        task=headers.get("task"),
        root_id=headers.get("root_id"),
        parent_id=headers.get("parent_id"),
        correlation_id=properties.get("correlation_id"),
        reply_to=properties.get("reply_to"),
        children=[],
    )
