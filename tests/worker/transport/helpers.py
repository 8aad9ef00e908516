"""A consumer in this process that takes turns with kombu's event loop, and plain workers as child processes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import kombu
import redis
from kombu.asynchronous import Hub
from kombu.asynchronous.hub import set_event_loop

from examples.local_stack import PATIENCE_S, LocalWorker
from worker.transport import Connection
from worker.transport.channel import Channel
from worker.transport.dead_letters import DeadLetterBounds, DeadLetters
from worker.transport.keys import Keys

ROOT = Path(__file__).resolve().parents[3]
DEAD_LETTER_BOUNDS = DeadLetterBounds(
    Channel.dead_letter_length, Channel.dead_letter_bytes, Channel.dead_letter_ttl, Channel.dead_letter_content
)


class Looped:
    """A consumer with a connection and an event loop of its own, and what it has received.

    Args:
        url: the broker.
        queues: the queues to consume.
        prefetch: how many messages it holds at most; 0 for any number.
        no_ack: whether messages need no acknowledgement.
        connection: its class, ours by default.
        options: transport options.
    """

    def __init__(
        self,
        url: str,
        *queues: str,
        prefetch: int = 0,
        no_ack: bool = False,
        connection: type[kombu.Connection] = Connection,
        **options: Any,
    ) -> None:
        self.hub = Hub()
        set_event_loop(self.hub)
        self.connection = connection(url, transport_options=options)
        self.received: list[Any] = []
        self.messages: list[Any] = []
        self.connection.register_with_event_loop(self.hub)
        self.hub.propagate_errors = self.connection.connection_errors
        self.channel = self.connection.default_channel
        self.channel.basic_qos(0, prefetch, True)
        self.consumer = kombu.Consumer(
            self.channel, [direct(name) for name in queues], on_message=self._take, accept=["json"], no_ack=no_ack
        )
        self.consumer.consume()

    def _take(self, message: Any) -> None:
        self.received.append(message.decode())
        self.messages.append(message)

    def turn(self) -> None:
        """Run the loop for one turn, which takes a moment at most."""
        self.hub.call_later(0.02, int)
        self.hub.run_once()

    def until(self, condition: Callable[[], Any], timeout_s: float = PATIENCE_S) -> None:
        """Turn until the condition holds."""
        deadline_s = time.monotonic() + timeout_s
        while not condition():
            assert time.monotonic() < deadline_s, f"not in time; received {self.received}"
            self.turn()

    def until_received(self, count: int) -> None:
        self.until(lambda: len(self.received) >= count)

    def until_idle(self) -> None:
        """Turn until it is idle and waits for a push."""
        self.until(
            lambda: (
                self.channel.fetcher._wake_up.idle_registration is not None
                and not self.channel.fetcher.fetch_connection.in_flight
            )
        )

    def until_settled(self) -> None:
        """Turn until the server has all acknowledgements."""
        fetcher = self.channel.fetcher
        self.until(lambda: not fetcher._acks and fetcher.fetch_connection.in_flight is None)

    def ack_all(self) -> None:
        while self.messages:
            self.messages.pop(0).ack()

    def close(self) -> None:
        self.connection.close()
        self.hub.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def dead_letters(client: redis.Redis, prefix: str = "") -> DeadLetters:
    """The dead letters of a server, within the transport's own bounds."""
    return DeadLetters(client, Keys.of_prefix(prefix), DEAD_LETTER_BOUNDS)


def dead_letter_fields(client: redis.Redis) -> list[dict[bytes, bytes]]:
    """All fields of each dead letter, the oldest first."""
    entries: Any = client.xrange("unacked.dead.letters")
    return [fields for _, fields in entries]


def direct(name: str) -> kombu.Queue:
    return kombu.Queue(name, kombu.Exchange(name, type="direct"), routing_key=name)


def publish(url: str, queue: str, *bodies: Any, **properties: Any) -> None:
    """Send with stock kombu."""
    with kombu.Connection(url) as connection, connection.Producer() as producer:
        for body in bodies:
            producer.publish(
                body, exchange=queue, routing_key=queue, declare=[direct(queue)], serializer="json", **properties
            )


def output_of(code: str, directory: Path, *arguments: str) -> str:
    """What a new process prints, run where there are no settings of this project."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", code, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=directory, env=environment)
    assert done.returncode == 0, done.stderr
    return done.stdout


class PlainWorker(LocalWorker):
    """A worker of :mod:`tests.worker.transport.plain_app`, with our transport or with stock kombu's."""

    def __init__(
        self,
        url: str,
        *arguments: str,
        stock: bool = False,
        options: Mapping[str, Any] | None = None,
        notes: str | None = None,
    ) -> None:
        environment = {
            "PLAIN_BROKER": url,
            "PLAIN_NOTES": (notes or url).rsplit("/", 1)[0] + "/5",
            "PLAIN_OPTIONS": json.dumps(options or {}),
            "PLAIN_STOCK": str(int(stock)),
        }
        super().__init__((), environment)
        module = "tests.worker.transport.plain_app"
        self._command = [sys.executable, "-W", "ignore", "-m", "celery", "-A", module, "worker", "--loglevel=INFO"]
        self._command += ["--concurrency=1", "--without-gossip", "--without-mingle", *arguments]

    def stop(self, timeout_s: float = PATIENCE_S) -> int:
        """Stop it. A process of Celery's own pool whose last result was not heard waits 30 s for that."""
        return super().stop(timeout_s)

    def wait_until_ready(self, timeout_s: float = PATIENCE_S) -> float:
        started_s = time.monotonic()
        self.wait_for(lambda: " ready." in self.log, timeout_s)
        return time.monotonic() - started_s


def done(url: str) -> list[int]:
    """The numbers that the task ``mark`` has noted."""
    with redis.Redis.from_url(url.rsplit("/", 1)[0] + "/5") as notes:
        return sorted(int(number) for number in notes.lrange("done", 0, -1))


def send(url: str, numbers: range, task: str = "mark", **options: Any) -> None:
    """Send tasks with a stock app."""
    from celery import Celery

    app = Celery("sender", broker=url, set_as_current=False)
    app.conf.task_ignore_result = True
    try:
        for number in numbers:
            app.send_task(task, (number,), **options)
    finally:
        app.close()
