"""Builds the message of a request: the bytes that a Celery worker reads from its Redis list.

Celery builds the task message (protocol 2). Its serialization and kombu's wrapper around it are made here, so that
publishing is a single LPUSH on which the client can set a deadline. ``tests/producer/test_message.py`` compares
the result with what ``send_task`` writes.
"""

from __future__ import annotations

import base64
import json
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from types import MappingProxyType

from celery import Celery

from producer.contract import (
    CONTRACT_VERSION,
    MAX_REQUEST_BYTES,
    ONCE_HEADER,
    SENT_AT_HEADER,
    VERSION_HEADER,
    QueueClass,
    Request,
    queue_name,
    too_large,
)
from producer.once import Publication, publication_of
from producer.trace_headers import TraceHeaderSource, collect_trace_headers

__all__ = ["MessageBuilder", "Submission", "build_message"]

_PERSISTENT_DELIVERY_MODE = 2
_NO_HEADERS: Mapping[str, str | float] = MappingProxyType({})


@dataclass(frozen=True)
class Submission:
    """What a caller wants enqueued, and how.

    Attributes:
        request: a validated request.
        queue_class: interactive requests are served before bulk requests.
        expires_s: seconds from now after which no worker may start the request; None for no limit.
        request_id: the caller's own id; None for one of ours.
        durable: whether the broker must confirm that it has the request on its disk.
    """

    request: Request
    queue_class: QueueClass = QueueClass.INTERACTIVE
    expires_s: float | None = None
    request_id: str | None = None
    durable: bool = False


class MessageBuilder:
    """Makes the commands that enqueue a client's requests.

    Args:
        trace_headers: see :class:`producer.sender.Sender`.
        has_one_server: whether the broker is the result backend too.
    """

    def __init__(self, trace_headers: TraceHeaderSource, *, has_one_server: bool) -> None:
        self._trace_headers = trace_headers
        self._has_one_server = has_one_server

    def publication(self, submission: Submission, request_id: str) -> Publication:
        """The commands that enqueue a request under an id; once, if the id is the caller's own.

        Raises:
            InvalidRequest: the body is larger than ``MAX_REQUEST_BYTES``.
        """
        request = submission.request
        queue = queue_name(request.task, submission.queue_class)
        tag, is_once = str(uuid.uuid4()), submission.request_id is not None
        message = build_message(
            request,
            request_id=request_id,
            queue=queue,
            expires_s=submission.expires_s,
            more_headers=collect_trace_headers(self._trace_headers) | ({ONCE_HEADER: tag} if is_once else {}),
            delivery_tag=tag,
        )
        if not is_once:
            return Publication(("LPUSH", queue, message))
        return publication_of(
            request_id,
            queue,
            message,
            sending=tag,
            expires_s=submission.expires_s,
            durable=submission.durable,
            has_one_server=self._has_one_server,
        )


@cache
def _message_app() -> Celery:
    """An app that only builds messages: it has no broker and is nobody's current app."""
    return Celery("celeriac-producer", set_as_current=False, broker="memory://", backend="disabled://")


def build_message(
    request: Request,
    *,
    request_id: str,
    queue: str,
    expires_s: float | None,
    more_headers: Mapping[str, str | float] = _NO_HEADERS,
    delivery_tag: str | None = None,
) -> bytes:
    """Build the list element for ``request``.

    Args:
        request: a validated request.
        request_id: becomes Celery's task id.
        queue: name of the Redis list that the message is pushed to.
        expires_s: seconds from now after which no worker may start the request; None for no limit.
        more_headers: such as those that continue the caller's trace; they must not use the names of Celery's headers.
        delivery_tag: names this message; None for a new one.

    Raises:
        InvalidRequest: the body is larger than ``MAX_REQUEST_BYTES``.
    """
    message = _message_app().amqp.as_task_v2(
        request_id,
        request.task.value,
        kwargs=request.to_arguments(),
        expires=None if expires_s is None else datetime.now(UTC) + timedelta(seconds=expires_s),
        argsrepr="()",
        kwargsrepr=_describe_parameters(request),
    )
    # Only types that JSON has: kombu's serializer would write the same, at twice the cost.
    payload = json.dumps(message.body).encode()
    if len(payload) > MAX_REQUEST_BYTES:
        raise too_large(len(payload))
    element = json.dumps(
        {
            "body": base64.b64encode(payload).decode("ascii"),
            "content-encoding": "utf-8",
            "content-type": "application/json",
            "headers": {
                **message.headers,
                VERSION_HEADER: CONTRACT_VERSION,
                SENT_AT_HEADER: round(time.time(), 3),
                **more_headers,
            },
            "properties": {
                **message.properties,
                "delivery_mode": _PERSISTENT_DELIVERY_MODE,
                "delivery_info": {"exchange": "", "routing_key": queue},
                "priority": 0,
                "body_encoding": "base64",
                "delivery_tag": delivery_tag or str(uuid.uuid4()),
            },
        }
    )
    return element.encode()


def _describe_parameters(request: Request) -> str:
    """What events and Flower show instead of the arguments: the parameters' names, never their values."""
    return f"<{', '.join(sorted(request.model_fields_set))}>"
