"""A request as the bytes that a Celery worker reads from its Redis list.

Celery builds the task message (protocol 2) and kombu serializes it; only kombu's envelope around the two is put
together here, so that publishing is one LPUSH that the client can bound in time. ``tests/producer/test_message.py``
holds this envelope against the one that ``send_task`` writes.
"""

from __future__ import annotations

import base64
import time
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from functools import cache
from types import MappingProxyType
from typing import Any

from celery import Celery
from kombu.serialization import dumps
from kombu.utils.json import dumps as dumps_json

from producer.contract import CONTRACT_VERSION, MAX_REQUEST_BYTES, SENT_AT_HEADER, VERSION_HEADER, Request
from producer.errors import ErrorCode, InvalidRequest

__all__ = ["envelope"]

_PERSISTENT = 2


@cache
def _message_factory() -> Celery:
    """An app that only builds messages: it has no broker and is nobody's current app."""
    return Celery("celeriac-producer", set_as_current=False, broker="memory://", backend="disabled://")


def envelope(
    request: Request,
    *,
    request_id: str,
    queue: str,
    expires_s: float | None,
    trace_headers: Mapping[str, Any] = MappingProxyType({}),
) -> bytes:
    """The list element for ``request``.

    Args:
        request: a validated request.
        request_id: becomes Celery's task id.
        queue: name of the list that it will be pushed to.
        expires_s: seconds from now after which no worker shall begin it; None for never.
        trace_headers: those that continue the caller's trace; none has a name of Celery's.

    Raises:
        InvalidRequest: the body is larger than ``MAX_REQUEST_BYTES``.
    """
    message = _message_factory().amqp.as_task_v2(
        request_id,
        request.task.value,
        kwargs=request.to_arguments(),
        expires=None if expires_s is None else datetime.now(UTC) + timedelta(seconds=expires_s),
        argsrepr="()",
        kwargsrepr=_describe(request),
    )
    content_type, content_encoding, body = dumps(message.body, serializer="json")
    payload = body.encode() if isinstance(body, str) else body
    if len(payload) > MAX_REQUEST_BYTES:
        raise InvalidRequest.of(
            ErrorCode.TOO_LARGE,
            f"the request has {len(payload)} bytes as JSON, the limit is {MAX_REQUEST_BYTES}",
            limit=MAX_REQUEST_BYTES,
        )
    element: str = dumps_json(
        {
            "body": base64.b64encode(payload).decode("ascii"),
            "content-encoding": content_encoding,
            "content-type": content_type,
            "headers": {
                **message.headers,
                VERSION_HEADER: CONTRACT_VERSION,
                SENT_AT_HEADER: round(time.time(), 3),
                **trace_headers,
            },
            "properties": {
                **message.properties,
                "delivery_mode": _PERSISTENT,
                "delivery_info": {"exchange": "", "routing_key": queue},
                "priority": 0,
                "body_encoding": "base64",
                "delivery_tag": str(uuid.uuid4()),
            },
        }
    )
    return element.encode()


def _describe(request: Request) -> str:
    """What events and Flower show in place of the arguments: their names, never their values."""
    return f"<{', '.join(sorted(request.model_fields_set))}>"
