"""Celery's consumer, with checks before a message becomes a request.

Celery logs a message that it cannot use, including the body, and drops it; its sender waits until it times out. Here,
every message becomes a request, is refused with a typed error for its sender, or moves to the queue where it belongs.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial
from typing import Any

from celery.events.dispatcher import EventDispatcher
from celery.worker import state
from celery.worker.consumer import Consumer as CeleryConsumer
from celery.worker.consumer.mingle import Mingle
from kombu.message import Message
from vine import promise

from producer.contract import ErrorCode, TaskName, UnknownTask, queue_name
from worker.inference.hidden_result import HIDDEN
from worker.intake.disposal import UNUSABLE, Disposal, is_fault_of_server
from worker.intake.drain import give_back
from worker.intake.foreign_tasks import ForeignTasks
from worker.intake.message_checks import find_fault, shorten, unreadable_message
from worker.intake.model_registry import is_announced
from worker.intake.protocol1 import convert_to_protocol_2
from worker.intake.routing import queue_elsewhere
from worker.observability.events import FLUSH_S
from worker.runtime import runtime_of

__all__ = ["Consumer"]

logger = logging.getLogger(__name__)


class Consumer(CeleryConsumer):
    """Celery's consumer: it checks and routes messages, and sends events in groups."""

    class Blueprint(CeleryConsumer.Blueprint):
        """The consumer's steps; after a lost connection without mingle."""

        def start(self, parent: Any) -> None:
            """Start to consume, initially and after each lost connection."""
            if parent.restart_count > 0:
                # Mingle waits a second for replies before the worker consumes. It asks for revoked tasks, which this
                # worker knows already.
                parent.steps = [step for step in parent.steps if not isinstance(step, Mingle)]
            super().start(parent)

    #: The dispatcher whose events are about to be flushed.
    _flushing: EventDispatcher | None = None
    _disposal: Disposal
    _foreign_tasks: ForeignTasks

    def create_task_handler(self, promise: Any = promise) -> Callable[[Message], None]:
        """Make the callback that Celery calls with every message."""
        handle: Callable[[Message], None] = super().create_task_handler(promise)
        runtime = runtime_of(self.app)
        show_text, served = runtime.settings.show_request_text, runtime.served
        is_known = partial(is_announced, self.app)
        self._disposal = Disposal(self)
        self._foreign_tasks = ForeignTasks(self, self._refuse_unknown_task)

        def take(message: Message) -> None:
            convert_to_protocol_2(message)
            fault = find_fault(message)
            if fault is not None:
                self._disposal.refuse(message, fault)
                return
            if _is_scheduled_here(message):
                return
            elsewhere = queue_elsewhere(message, served, is_known)
            if elsewhere is not None:
                self._disposal.move(message, elsewhere)
                return
            if not show_text:
                # Written by the sender. Stock Celery includes the arguments, which events, logs and Flower would show.
                message.headers["argsrepr"] = message.headers["kwargsrepr"] = HIDDEN
            handle(message)

        return partial(self._take_or_refuse, take)

    def _take_or_refuse(self, take: Callable[[Message], None], message: Message) -> None:
        """Take a message, and refuse one that Celery cannot use or that the checks have missed."""
        try:
            take(message)
        except UNUSABLE as error:
            if is_fault_of_server(error):
                raise
            logger.warning("failed to process a message", exc_info=True)
            problem = f"this message cannot be processed ({type(error).__name__})"
            self._disposal.refuse(message, unreadable_message(problem, "headers"))

    def on_decode_error(self, message: Message, exc: Exception) -> None:
        """Refuse a message whose body cannot be decoded."""
        self._disposal.refuse(message, unreadable_message(f"the body cannot be decoded ({type(exc).__name__})", "body"))

    def on_invalid_task(self, _body: object, message: Message, exc: Exception) -> None:
        """Refuse a message with a header that Celery cannot use, such as an ``expires`` that is not a date."""
        self._disposal.refuse(message, unreadable_message(f"Celery cannot use this message: {shorten(exc)}", "headers"))

    def on_unknown_task(self, _body: object, message: Message, _exc: Exception) -> None:
        """Move a task of the contract to the queue of the workers that serve it, and hand over a foreign task."""
        try:
            task = TaskName(message.headers["task"])
        except ValueError:
            self._foreign_tasks.settle(message)
        else:
            self._disposal.move(message, queue_name(task))

    def _refuse_unknown_task(self, message: Message) -> None:
        known = ", ".join(sorted(task.value for task in TaskName))
        problem = f"there is no task {shorten(message.headers['task'])!r}; the tasks are {known}"
        self._disposal.refuse(message, UnknownTask.of(ErrorCode.UNKNOWN_TASK, problem, field="task"))

    def on_send_event_buffered(self) -> None:
        """Schedule a flush of the buffered events, so that later events join them."""
        # A lost connection replaces the dispatcher, and drops its timers.
        if self.hub and self._flushing is not self.event_dispatcher:
            self._flushing = self.event_dispatcher
            self.hub.call_later(FLUSH_S, self._flush_events)

    def stop(self) -> None:
        """Stop to consume, and give back what waits before the pool finishes what runs."""
        super().stop()
        give_back(self)

    def cancel_active_requests(self) -> None:
        """Leave what runs to the pool, which kills its processes next.

        Celery would announce each as cancelled, and then not acknowledge one whose result is stored already.
        """

    def shutdown(self) -> None:
        """Flush the buffered events before the connection is closed."""
        self._flush_events()
        super().shutdown()

    def _flush_events(self) -> None:
        self._flushing = None
        super()._flush_events()


def _is_scheduled_here(message: Message) -> bool:
    """Whether this worker already holds the message for a later ``eta``.

    The broker delivers it again after each visibility timeout. Every copy would use memory and be computed.
    """
    return bool(message.delivery_info.get("redelivered")) and any(
        request.message.delivery_tag == message.delivery_tag for request in tuple(state.scheduled_requests)
    )
