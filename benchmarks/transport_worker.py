"""A plain Celery app with tasks that do next to nothing, and a worker of it with either transport."""

from __future__ import annotations

import base64
import json
import os
import sys
import time
import uuid
from collections.abc import Mapping
from typing import Any

import redis
from celery import Celery
from celery.signals import worker_ready

from examples.local_stack import LocalWorker

__all__ = ["KINDS", "NoopWorker", "app", "enqueue"]

KINDS = ("stock", "ours")
_OURS = {"ours": "worker.transport:AMQP"}

_options: dict[str, Any] = json.loads(os.environ.get("BENCHMARK_OPTIONS", "{}"))
_url = os.environ.get("BENCHMARK_BROKER", "redis://")

app = Celery("noop", broker=_url, amqp=_OURS.get(os.environ.get("BENCHMARK_KIND", "")), set_as_current=False)
app.conf.update(
    task_acks_late=True,
    task_ignore_result=True,
    broker_connection_retry_on_startup=True,
    worker_cancel_long_running_tasks_on_connection_loss=True,
    worker_prefetch_multiplier=int(os.environ.get("BENCHMARK_PREFETCH", "64")),
    broker_transport_options=_options,
)

_READY = "the noop worker is ready"


@worker_ready.connect(weak=False)
def _say_so(**_: Any) -> None:
    print(_READY, flush=True)


_pause_s = float(os.environ.get("BENCHMARK_PAUSE", "0"))
if _pause_s:
    from kombu.transport import redis as stock

    import worker.transport.qos as ours

    def _slow(kind: type) -> None:
        """Hold the gap open: kombu's fetch is done and its record is not; ours has done both."""
        append = kind.append  # type: ignore[attr-defined]

        def slow(self: Any, *arguments: Any) -> Any:
            time.sleep(_pause_s)
            return append(self, *arguments)

        kind.append = slow  # type: ignore[attr-defined]

    _slow(ours.QoS if os.environ.get("BENCHMARK_KIND") == "ours" else stock.QoS)


def _notes() -> redis.Redis:
    return redis.Redis.from_url(os.environ["BENCHMARK_BROKER"])


@app.task(name="noop")
def noop(value: float) -> float:
    """Nothing."""
    return value


@app.task(name="stamp")
def stamp(sent_at_s: float) -> None:
    """Note how long the message took."""
    took_s = time.time() - sent_at_s
    with _notes() as notes:
        notes.rpush("stamps", took_s)


@app.task(name="count")
def count(number: float) -> None:
    """Note that this message ran, and whether it did before."""
    with _notes() as notes:
        notes.hincrby("runs", str(int(number)), 1)


def enqueue(keys: redis.Redis, number: int, task: str = "noop", first: int | None = None) -> None:
    """Push messages as Celery writes them, many at once."""
    with keys.pipeline(transaction=False) as pipe:
        for n in range(number):
            argument = time.time() if first is None else first + n
            pipe.lpush("celery", _message(task, argument))
        pipe.execute()


def _message(task: str, argument: float) -> str:
    task_id = str(uuid.uuid4())
    body = json.dumps([[argument], {}, {"callbacks": None, "errbacks": None, "chain": None, "chord": None}])
    headers: dict[str, Any] = {"lang": "py", "task": task, "id": task_id, "root_id": task_id, "argsrepr": "(1,)"}
    headers |= dict.fromkeys(["shadow", "eta", "expires", "group", "group_index", "parent_id", "origin"])
    headers |= {
        "kwargsrepr": "{}",
        "retries": 0,
        "timelimit": [None, None],
        "ignore_result": True,
        "stamped_headers": None,
        "stamps": {},
    }
    properties = {
        "correlation_id": task_id,
        "reply_to": str(uuid.uuid4()),
        "delivery_mode": 2,
        "delivery_info": {"exchange": "", "routing_key": "celery"},
        "priority": 0,
        "body_encoding": "base64",
        "delivery_tag": str(uuid.uuid4()),
    }
    message = {"body": base64.b64encode(body.encode()).decode(), "content-encoding": "utf-8"}
    return json.dumps({**message, "content-type": "application/json", "headers": headers, "properties": properties})


class NoopWorker(LocalWorker):
    """A worker of :data:`app` with one process.

    Args:
        kind: which transport, one of :data:`KINDS`.
        url: the broker.
        prefetch: how many messages it holds.
        options: transport options.
        pause_s: how long to hold the gap between fetch and record open.
    """

    def __init__(
        self, kind: str, url: str, *, prefetch: int, options: Mapping[str, Any] | None = None, pause_s: float = 0.0
    ) -> None:
        environment = {
            "BENCHMARK_KIND": kind,
            "BENCHMARK_BROKER": url,
            "BENCHMARK_PREFETCH": str(prefetch),
            "BENCHMARK_OPTIONS": json.dumps(options or {}),
            "BENCHMARK_PAUSE": str(pause_s),
        }
        super().__init__((), environment)
        self._command = [sys.executable, "-W", "ignore", "-m", "celery", "-A", "benchmarks.transport_worker", "worker"]
        self._command += ["--concurrency=1", "--loglevel=WARNING", "--without-gossip", "--without-mingle"]
        # Each of many workers on this machine has to have a name of its own.
        self._command += [f"--hostname=noop{uuid.uuid4().hex[:8]}@localhost"]

    def wait_until_ready(self, timeout_s: float = 60.0) -> float:
        """Wait until it consumes."""
        started_s = time.monotonic()
        self.wait_for(lambda: _READY in self.log, timeout_s)
        return time.monotonic() - started_s

    def run_until_settled(self, keys: redis.Redis, number: int) -> None:
        """Warm up."""
        enqueue(keys, number)
        self.wait_for(lambda: not keys.exists("celery", "unacked_index"))
