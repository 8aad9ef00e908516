"""Whatever is in a queue, the parent's own code ends it in one of the known ways, and raises nothing."""

from __future__ import annotations

import pickle
import time
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest
import redis
from celery.concurrency.base import BasePool
from celery.worker import state
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from kombu.asynchronous import Hub
from kombu.asynchronous.hub import set_event_loop
from kombu.common import QoS

from examples.local_stack import PATIENCE_S
from tests.envelopes import IN_PROCESS, TASK, Envelope, envelopes, raw_elements
from worker.intake.consumer import Consumer
from worker.pool import PoolHooks
from worker.pool.dispatcher import _dispatched
from worker.pool.pending_request import PendingRequest
from worker.pool.request_factory import RequestFactory
from worker.runtime import CeleriacApp
from worker.tasks import register_tasks
from worker.transport.keys import Keys

DEAD_LETTERS = Keys.of_prefix().dead_letters
QUEUES = ("celery", TASK, "question-answering", "zero-shot-classification", "model:none")
pytestmark = [
    pytest.mark.filterwarnings("ignore:Call to deprecated setex:DeprecationWarning"),
    # The thread that asks whose a foreign task is draws numbers, while Hypothesis watches for strategies that do.
    pytest.mark.filterwarnings("ignore:Do not use the `random` module:hypothesis.errors.HypothesisDeprecationWarning"),
]


class Pool(BasePool):
    """Takes requests as :class:`worker.pool.TaskPool` does, up to what is written to a process."""

    def __init__(self, app: CeleriacApp) -> None:
        super().__init__(1, app=app)
        self._factory = RequestFactory(app.tasks, PoolHooks())
        self.taken: list[PendingRequest] = []

    def on_apply(self, target: Any, args: Any, kwargs: Any, **options: Any) -> PendingRequest:
        assert not kwargs
        request = self._factory.make(target, args, options)  # type: ignore[arg-type]
        self.taken.append(request)
        return request

    def write_all(self) -> None:
        """Pickle what has come, as a process gets it, and acknowledge it."""
        for request in self.taken:
            if not request.drop_if_cancelled():
                pickle.dumps(_dispatched(request) if request.key is not None else request.args)
                request.celery_request.acknowledge()  # type: ignore[union-attr]
        self.taken.clear()


class Parent:
    """The part of a worker's parent that takes messages: transport, consumer, checks, routing, requests."""

    def __init__(self, app: CeleriacApp, connected: redis.Redis) -> None:
        self._redis = connected
        self.hub = Hub()
        set_event_loop(self.hub)
        self.connection = app.connection_for_read()
        self.connection.transport.register_with_event_loop(self.connection.connection, self.hub)
        self.hub.propagate_errors = self.connection.connection_errors
        self.pool = Pool(app)
        self.consumer = consumer = Consumer(
            lambda request: request.execute_using_pool(self.pool),
            hostname="celery@tested",
            pool=self.pool,
            app=app,
            timer=self.hub.timer,
            controller=SimpleNamespace(state=state, semaphore=None, use_eventloop=True),
            hub=self.hub,
            worker_options={"without_gossip": True, "without_mingle": True, "without_heartbeat": True},
        )
        consumer.connection, consumer.event_dispatcher = self.connection, None
        consumer.task_consumer = app.amqp.TaskConsumer(self.connection, on_decode_error=consumer.on_decode_error)
        consumer.qos = QoS(lambda **_: None, 0)
        consumer.update_strategies()
        consumer.task_consumer.on_message = consumer.create_task_handler()
        consumer.task_consumer.consume()

    def take(self, envelope: Envelope) -> None:
        """Let it take a message from its queue, and everything follow that does."""
        self._redis.lpush(TASK, envelope.raw)
        fetched = self._fetcher.fetched
        self._turn_until(lambda: self._fetcher.fetched > fetched and self._is_settled())

    @property
    def _fetcher(self) -> Any:
        return self.consumer.task_consumer.channel.fetcher

    def _is_settled(self) -> bool:
        """Whether the server has all acknowledgements."""
        return not (self.hub._ready or self._fetcher._acks or self._fetcher.fetch_connection.in_flight)

    def _turn_until(self, condition: Callable[[], bool]) -> None:
        give_up_s = time.monotonic() + PATIENCE_S
        while not condition():
            assert time.monotonic() < give_up_s
            self.hub.call_later(0.02, int)
            self.hub.run_once()
            self.pool.write_all()

    def release(self) -> None:
        """Acknowledge what is held for later, and what waits until other workers have said whose task it is."""
        for request in tuple(state.scheduled_requests):
            self.hub.timer.cancel(request._eta_timer_entry)
            request.acknowledge()
        state.scheduled_requests.clear()
        foreign = self.consumer._foreign_tasks
        for _, message in foreign._held:
            message.ack()
        foreign._held.clear()
        self._turn_until(self._is_settled)

    def close(self) -> None:
        self.connection.close()
        self.hub.close()


@pytest.fixture
def parent(app: CeleriacApp, own_redis: redis.Redis) -> Iterator[Parent]:
    register_tasks(app, app.runtime.served.tasks)
    app.finalize()
    made = Parent(app, own_redis)
    yield made
    made.close()


@settings(max_examples=IN_PROCESS, deadline=None, suppress_health_check=list(HealthCheck))
@given(envelope=st.one_of(envelopes(), envelopes(), raw_elements()))
def test_every_message_ends_in_a_known_way(parent: Parent, own_redis: redis.Redis, envelope: Envelope) -> None:
    before = own_redis.xlen(DEAD_LETTERS)

    parent.take(envelope)

    parent.release()
    assert own_redis.llen(TASK) == 0
    # It was refused, answered, moved, or taken; then its record is gone. A dead letter leaves none either.
    assert own_redis.hlen("unacked") == own_redis.zcard("unacked_index") == 0
    assert own_redis.xlen(DEAD_LETTERS) - before in (0, 1)
