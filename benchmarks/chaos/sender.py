"""Sends what is planned, at an even pace, with a bounded number in flight."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Iterator, Sequence
from functools import cached_property

import redis
from celery import Celery, chord
from celery.backends.redis import RedisBackend

from benchmarks.chaos.journal import id_of
from benchmarks.chaos.ledger import Ledger
from benchmarks.chaos.messages import TASK, Deed, MessageKind, Planned, plan_messages, raw_message, raw_poison
from benchmarks.chaos.options import Contestant, RunOptions
from examples.demo.texts import generate, read_examples
from producer.contract import QueueClass, TaskName, TextClassificationRequest, queue_name
from producer.message import build_message

__all__ = ["CLIENT_NAME", "Sender", "SilentBackend"]

#: The name of the connections of a run itself, which are never cut.
CLIENT_NAME = "chaos-run"
_QUEUE = "celery"
_PAUSE_S = 0.01
_MOST_AT_ONCE = 64
_TEXTS = 200


class SilentBackend(RedisBackend):
    """A backend that does not subscribe to each result: the observer reads them all."""

    def on_task_call(self, producer: object, task_id: str) -> None:
        """Do nothing."""

    def remove_pending_result(self, result: object) -> object:
        """Do nothing: there is no subscription to end."""
        return result


class Sender(threading.Thread):
    """Sends in a thread of its own.

    Args:
        url: the server.
        options: of the run.
        contestant: whose workers answer. Poison that would go round for ever with Celery's own is plain there.
        ledger: where it is noted.
    """

    def __init__(self, url: str, options: RunOptions, contestant: Contestant, ledger: Ledger) -> None:
        super().__init__(name="chaos-sender", daemon=True)
        self._url = url
        self._options = options
        self._contestant = contestant
        self._ledger = ledger
        self._stops = threading.Event()
        #: Held while something is sent. Who restarts the server holds it too, so that it is known what was sent.
        self.gate = threading.Lock()
        self.error: Exception | None = None
        self.is_done = False

    def stop(self) -> None:
        """Send nothing more."""
        self._stops.set()
        self.join()

    def run(self) -> None:
        """Send all."""
        try:
            with redis.Redis.from_url(self._url, client_name=CLIENT_NAME) as server:
                self._send_all(server)
        except Exception as error:  # noqa: BLE001 - reported by the run
            self.error = error
        self.is_done = True

    def _send_all(self, server: redis.Redis) -> None:
        started_s = time.monotonic()
        plan = plan_messages(self._options)
        while not self._stops.is_set():
            behind = int((time.monotonic() - started_s) * self._options.rate) + 1 - self._ledger.sent
            room = self._options.in_flight - len(self._ledger.pending)
            count = min(behind, room, _MOST_AT_ONCE)
            if count < 1:
                self._stops.wait(_PAUSE_S)
                continue
            some = list(itertools.islice(plan, count))
            if not some:
                return
            with self.gate:
                self._send(server, some)

    def _send(self, server: redis.Redis, some: Sequence[Planned]) -> None:
        with server.pipeline(transaction=False) as pipe:
            for planned in some:
                self._ledger.send(planned)
                if planned.kind is MessageKind.CHORD_BODY:
                    self._send_chord(planned)
                elif planned.kind is MessageKind.TEXT:
                    pipe.lpush(_TEXT_QUEUE, self._text(planned))
                elif planned.kind is MessageKind.POISON:
                    pipe.lpush(_QUEUE, self._poison(planned))
                else:
                    pipe.lpush(_QUEUE, raw_message(planned))
            pipe.execute()

    def _poison(self, planned: Planned) -> bytes:
        is_endless = planned.poison is not None and planned.poison.goes_round_in_stock
        if self._contestant is Contestant.STOCK and is_endless:
            del self._ledger.poison[planned.number]
            return raw_message(Planned(MessageKind.PLAIN, planned.numbers))
        return raw_poison(planned)

    def _send_chord(self, planned: Planned) -> None:
        *members, body = planned.numbers
        header = [self._signature(number, Deed.NOTHING) for number in members]
        chord(header, app=self._app)(self._signature(body, Deed.COLLECT))

    def _signature(self, number: int, deed: Deed) -> object:
        kwargs = {"n": number, "do": deed.value}
        return self._app.signature(TASK, kwargs=kwargs, app=self._app).set(task_id=id_of(number))

    def _text(self, planned: Planned) -> bytes:
        request = TextClassificationRequest.parse({"inputs": self._texts[planned.number % len(self._texts)]})
        return build_message(request, request_id=id_of(planned.number), queue=_TEXT_QUEUE, expires_s=None)

    @cached_property
    def _app(self) -> Celery:
        # Only to send canvas, which it does as any producer.
        app = Celery("chaos-sender", broker=self._url, backend=self._url, set_as_current=False)
        app.loader.override_backends = {"redis": f"{__name__}:SilentBackend"}
        app.conf.result_expires = self._options.result_expires_s
        return app

    @cached_property
    def _texts(self) -> Sequence[str]:
        texts: Iterator[str] = iter(generate(read_examples(), _TEXTS))
        return list(texts)


_TEXT_QUEUE = queue_name(TaskName.TEXT_CLASSIFICATION, QueueClass.INTERACTIVE)
