"""Messages of any kind, for tests that no message ends a worker: a good one of which anything may be changed.

The ordinary suite tries few. ``make envelopes`` tries :data:`IN_PROCESS` and :data:`THROUGH_A_WORKER` as it sets them.
"""

from __future__ import annotations

import base64
import bz2
import json
import os
import pickle
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

from hypothesis import strategies as st

__all__ = ["IN_PROCESS", "THROUGH_A_WORKER", "Envelope", "envelopes", "raw_elements"]

#: How many examples are tried on the parent's code in the test's own process, and through a real worker.
IN_PROCESS = int(os.environ.get("ENVELOPES_IN_PROCESS", "1000"))
THROUGH_A_WORKER = int(os.environ.get("ENVELOPES_THROUGH_A_WORKER", "150"))

TASK = "text-classification"
_TEXT = st.text(max_size=8)
_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | _TEXT | st.just("\ud800"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_TEXT, inner, max_size=3),
    max_leaves=5,
)
_TIMES = st.sampled_from(["2020-01-01T00:00:00+00:00", "2999-01-01T00:00:00", "9999-12-31T24:00:00", "", "soon", "0"])
_SIGNATURE = st.fixed_dictionaries(
    {},
    optional={"task": st.sampled_from([TASK, "x", ""]), "args": _JSON, "kwargs": _JSON, "options": _JSON, "x": _JSON},
)
#: What a header may hold besides anything.
_HEADERS: Mapping[str, st.SearchStrategy[Any]] = {
    "task": st.sampled_from(
        [
            TASK,
            "zero-shot-classification",
            "question-answering",
            "celery.chord",
            "celery.backend_cleanup",
            "no such task",
        ]
    ),
    "id": _TEXT,
    "root_id": _TEXT,
    "parent_id": _TEXT,
    "group": _TEXT,
    "group_index": st.integers(-1, 2**70),
    "eta": _TIMES,
    "expires": _TIMES,
    "shadow": _TEXT,
    "retries": st.integers(-1, 2**70),
    "timelimit": st.lists(st.none() | st.integers() | st.floats(), max_size=3),
    "ignore_result": st.booleans(),
    "replaced_task_nesting": _JSON,
    "stamped_headers": st.lists(_TEXT, max_size=2),
    "stamps": st.dictionaries(_TEXT, _TEXT, max_size=2),
    "compression": st.sampled_from(["application/x-gzip", "application/x-bz2", "zstd", "none"]),
    "celeriac_contract_version": st.integers(-1, 3),
    "sentry-trace": _TEXT,
    "baggage": _TEXT,
    "headers": _JSON,
    "_children": _JSON,
    "x": _JSON,
}
_LINKS: Mapping[str, st.SearchStrategy[Any]] = {
    "callbacks": st.none() | st.lists(_SIGNATURE, max_size=2),
    "errbacks": st.none() | st.lists(_SIGNATURE, max_size=2),
    "chain": st.none() | st.lists(_SIGNATURE, max_size=2),
    "chord": st.none() | _SIGNATURE,
    "x": _JSON,
}
_PROPERTIES: Mapping[str, st.SearchStrategy[Any]] = {
    "correlation_id": _TEXT,
    "reply_to": _TEXT,
    "priority": st.integers(-(2**40), 2**40) | st.floats(),
    "delivery_mode": _JSON,
    "body_encoding": st.sampled_from(["base64", "rot13", None, 5]),
    "delivery_tag": _JSON,
    "delivery_info": st.fixed_dictionaries({}, optional={"exchange": _JSON, "routing_key": _JSON, "x": _JSON}),
    "x": _JSON,
}
_KWARGS = st.fixed_dictionaries(
    {"inputs": st.just("good") | _JSON},
    optional={
        "model": st.sampled_from(["sentiment", "none", ""]) | _JSON,
        "top_k": _JSON,
        "truncation": _JSON,
        "x": _JSON,
    },
)
_ENCODERS: Mapping[str, Callable[[bytes], bytes]] = {
    "plain": bytes,
    "gzip": zlib.compress,
    "bz2": bz2.compress,
    "pickle": pickle.dumps,
    "cut": lambda body: body[:-3],
}
#: Most bodies stay readable: the others show nothing of what comes after the decoding.
_ENCODINGS = [*["plain"] * 8, *(name for name in _ENCODERS if name != "plain")]
_DROPPED = object()


@dataclass(frozen=True)
class Envelope:
    """One element of a queue's list.

    Attributes:
        raw: the element.
        task_id: the id that its header has if it was left as it is.
    """

    raw: bytes
    task_id: str


def _changes(fields: Mapping[str, st.SearchStrategy[Any]], at_most: int) -> st.SearchStrategy[dict[str, Any]]:
    """A few fields with other values: likely ones, any, or none at all."""
    one = st.sampled_from(sorted(fields)).flatmap(
        lambda name: st.tuples(st.just(name), fields[name] | _JSON | st.just(_DROPPED))
    )
    return st.lists(one, max_size=at_most).map(dict)


def _with(fields: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in {**fields, **changes}.items() if value is not _DROPPED}


@st.composite
def envelopes(draw: st.DrawFn, queue: str = TASK) -> Envelope:
    """A message to ``queue`` of which something may have been changed."""
    task_id = str(uuid4())
    headers = _with({"lang": "py", "task": TASK, "id": task_id}, draw(_changes(_HEADERS, 3)))
    options = _with(dict.fromkeys(("callbacks", "errbacks", "chain", "chord")), draw(_changes(_LINKS, 2)))
    content = draw(
        st.just([[], draw(_KWARGS), options]) | _JSON | st.builds(dict, args=_JSON, kwargs=_KWARGS, task=_TEXT)
    )
    body = _ENCODERS[draw(st.sampled_from(_ENCODINGS))](json.dumps(content).encode())
    properties = {
        "correlation_id": task_id,
        "delivery_mode": 2,
        "delivery_tag": str(uuid4()),
        "delivery_info": {"exchange": "", "routing_key": queue},
        "priority": 0,
        "body_encoding": "base64",
    }
    message = {
        "body": base64.b64encode(body).decode(),
        "content-encoding": "utf-8",
        "content-type": draw(
            st.sampled_from(["application/json", "text/plain", "application/x-python-serialize"]) | _TEXT
        )
        if draw(st.integers(0, 7)) == 0
        else "application/json",
        "headers": headers,
        "properties": _with(properties, draw(_changes(_PROPERTIES, 2))),
    }
    parts = dict.fromkeys(message, _JSON)
    return Envelope(json.dumps(_with(message, draw(_changes(parts, 1)))).encode(), task_id)


def raw_elements() -> st.SearchStrategy[Envelope]:
    """Whatever else may be in a list: bytes, and messages with bytes cut out, put in or changed."""

    def damaged(envelope: Envelope, position: int, length: int, put_in: bytes) -> Envelope:
        at = position % (len(envelope.raw) + 1)
        return Envelope(envelope.raw[:at] + put_in + envelope.raw[at + length :], envelope.task_id)

    broken = st.builds(damaged, envelopes(), st.integers(0, 2000), st.integers(0, 5), st.binary(max_size=5))
    return broken | st.builds(Envelope, st.binary(max_size=50), st.just(""))
