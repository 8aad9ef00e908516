"""A Celery app that knows nothing of Celeriac but its transport; its settings come from the environment, as JSON."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import redis
from celery import Celery
from redis.exceptions import RedisError

BROKER = os.environ.get("PLAIN_BROKER", "redis://")
OPTIONS: dict[str, Any] = json.loads(os.environ.get("PLAIN_OPTIONS", "{}"))
STOCK = os.environ.get("PLAIN_STOCK") == "1"

app = Celery("plain", broker=BROKER, amqp=None if STOCK else "worker.transport:AMQP", set_as_current=False)
app.conf.update(
    task_acks_late=True,
    task_ignore_result=True,
    broker_connection_retry_on_startup=True,
    broker_connection_max_retries=None,
    worker_cancel_long_running_tasks_on_connection_loss=True,
    worker_prefetch_multiplier=16,
    broker_transport_options={"visibility_timeout": 60, "unacked_restore_throttle": 1, **OPTIONS.pop("transport", {})},
    **OPTIONS,
)


@app.task(name="mark")
def mark(number: int) -> None:
    """Note on the server that this message ran."""
    _note(lambda notes: notes.rpush("done", number))


@app.task(name="wait")
def wait(number: int) -> None:
    """As ``mark``, once the server has the key ``go``."""
    _note(_until_go)
    mark(number)


def _note(command: Callable[[redis.Redis], object]) -> None:
    """Tests cut connections; a task that fails over its own would say nothing about the worker's."""
    while True:
        with suppress(RedisError), redis.Redis.from_url(os.environ["PLAIN_NOTES"]) as notes:
            command(notes)
            return


def _until_go(notes: redis.Redis) -> None:
    if not notes.blmove("go", "go", timeout=1):
        raise RedisError("not yet")
