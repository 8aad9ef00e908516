"""Messages of Celery's protocol 1, which gocelery and older clients for PHP and Node send, become protocol 2.

In protocol 1 the body is one object, which holds the arguments and what protocol 2 has in the headers. Celery 5.7 reads
both, and a form in between: ``proto1_to_proto2`` and ``hybrid_to_proto2`` in ``celery.worker.strategy``. Here a message
is converted once, on arrival, so that everything behind it knows one form.
"""

from __future__ import annotations

import json
from typing import Any

from celery.utils.saferepr import saferepr

from worker.intake.message_checks import decoded_body

__all__ = ["convert_to_protocol_2"]

#: What protocol 2 has in the headers. Times stay as they are: without a zone they are UTC in both protocols.
_HEADERS = (
    "lang", "task", "id", "root_id", "parent_id", "group", "group_index", "meth", "shadow", "eta", "expires", "retries",
    "timelimit", "origin", "ignore_result",
)  # fmt: skip


def convert_to_protocol_2(message: Any) -> None:
    """Convert a message of protocol 1, in place; any other is left as it is.

    Args:
        message: kombu's, as it came; nothing of it is trusted.
    """
    body = decoded_body(message)
    if not isinstance(body, dict) or not ("task" in body or ("args" in body and "task" in message.headers)):
        return
    args, kwargs = body.get("args"), body.get("kwargs")
    payload = [[] if args is None else args, {} if kwargs is None else kwargs, _links(body)]
    fields = {name: body[name] for name in _HEADERS if name in body}
    fields |= {"argsrepr": saferepr(args), "kwargsrepr": saferepr(kwargs)}
    if body.get("taskset") is not None:
        fields["group"] = body["taskset"]
    # A sender that has moved half-way to protocol 2 means its headers.
    message.headers = {**fields, **message.headers}
    message.body = json.dumps(payload).encode()
    message._decoded_cache = payload  # noqa: SLF001 - what `message.payload` answers from


def _links(body: dict[str, Any]) -> dict[str, Any]:
    return {**{name: body.get(name) for name in ("callbacks", "errbacks", "chord")}, "chain": None}
