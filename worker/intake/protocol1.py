"""Converts messages of Celery's protocol 1, which gocelery and older PHP and Node clients send, to protocol 2.

In protocol 1 the body is one object. It contains the arguments and everything that protocol 2 puts into the headers.
Celery 5.7 reads both protocols and a hybrid: ``proto1_to_proto2`` and ``hybrid_to_proto2`` in
``celery.worker.strategy``. Here, a message is converted once, on arrival, so all later code handles one form.
"""

from __future__ import annotations

import json
from typing import Any

from celery.utils.saferepr import saferepr
from kombu.message import Message

from worker.intake.message_checks import decoded_body

__all__ = ["convert_to_protocol_2"]

#: The headers of protocol 2. Times are not converted: without a time zone they are UTC in both protocols.
_HEADERS = (
    "lang", "task", "id", "root_id", "parent_id", "group", "group_index", "meth", "shadow", "eta", "expires", "retries",
    "timelimit", "origin", "ignore_result",
)  # fmt: skip


def convert_to_protocol_2(message: Message) -> None:
    """Convert a message of protocol 1 in place; leave any other unchanged.

    Args:
        message: the message as it was received. None of its content is trusted.
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
    # Headers win: a sender that uses the hybrid form sets both.
    message.headers = {**fields, **message.headers}
    message.body = json.dumps(payload).encode()
    message._decoded_cache = payload  # noqa: SLF001 - the cache of `message.payload`


def _links(body: dict[str, Any]) -> dict[str, Any]:
    return {**{name: body.get(name) for name in ("callbacks", "errbacks", "chord")}, "chain": None}
