"""How an app gets the transport, and which internals of kombu, redis-py and Celery it depends on."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import kombu
import pytest
import redis
from celery import Celery
from celery.worker import loops
from kombu.asynchronous import Hub
from kombu.transport import redis as stock
from kombu.transport import virtual
from redis import connection as redis_connection

from tests.worker.transport.helpers import Looped, output_of, publish
from worker.celery_options import TRANSPORT
from worker.intake.queue_order import InteractiveFirst
from worker.pool.throughput import ByteThroughput
from worker.transport import AMQP, Connection, Transport
from worker.transport.channel import Channel
from worker.transport.script import SOURCE


def app_on(url: str | list[str]) -> Celery:
    return Celery("some", broker=url, amqp=TRANSPORT, set_as_current=False)


def transport_of(connection: Any) -> Any:
    return connection.get_transport_cls()


@pytest.mark.parametrize("url", ["redis://localhost:1/0", "rediss://localhost:1/0?ssl_cert_reqs=required"])
def test_an_app_keeps_its_broker_url_and_uses_this_transport(url: str) -> None:
    app = app_on(url)
    assert app.amqp_cls == TRANSPORT
    connection = app.connection_for_read()
    assert isinstance(app.amqp, AMQP)
    assert isinstance(connection, Connection)
    assert transport_of(connection) is transport_of(connection.clone()) is Transport
    assert connection.as_uri().startswith(url.split("//", maxsplit=1)[0])
    assert bool(connection.ssl) is url.startswith("rediss")


def test_a_failover_stays_on_this_transport() -> None:
    connection = app_on(["redis://localhost:1/0", "redis://localhost:2/0"]).connection_for_read()
    connection.maybe_switch_next()
    assert connection.port == 2
    assert transport_of(connection) is Transport


def test_other_brokers_and_other_apps_are_left_alone() -> None:
    assert transport_of(app_on("memory://").connection_for_read()).__module__ == "kombu.transport.memory"
    stock_app = Celery("stock", broker="redis://localhost:1/0", set_as_current=False)
    assert transport_of(stock_app.connection_for_read()) is stock.Transport


def test_the_transport_is_imported_without_our_app(tmp_path: Path) -> None:
    code = (
        "import sys, celery, worker.transport\n"
        "print('worker.celery_app' in sys.modules, celery.current_app.main)\n"
        "import worker; print(isinstance(worker.app, celery.Celery), worker.app is worker.app)"
    )
    assert output_of(code, tmp_path) == "False default\nTrue True\n"


def test_our_app_uses_it(tmp_path: Path) -> None:
    code = "from worker import app; print(app.connection_for_read().get_transport_cls().__module__)"
    assert output_of(code, tmp_path) == "worker.transport.transport\n"


def test_acknowledgements_cannot_be_turned_off(url: str) -> None:
    with pytest.raises(ValueError, match="ack_emulation"):
        Connection(url, transport_options={"ack_emulation": False}).default_channel  # noqa: B018 - makes the channel


def test_an_acknowledgement_is_sent_at_once_where_the_loop_has_stopped_turning(url: str, keys: redis.Redis) -> None:
    publish(url, "q", "a")
    with Looped(url, "q") as looped:
        looped.until_received(1)
        looped.channel.fetcher._turned_at_s = float("-inf")
        looped.ack_all()
        assert not keys.exists("unacked", "unacked_index")


def test_a_gate_of_time_is_a_number_of_bytes() -> None:
    estimator = ByteThroughput()
    estimator.observe(1000, 2.0)
    assert estimator.bytes_in(4.0) == 2000
    assert estimator.bytes_in(-1.0) == 0
    assert ByteThroughput().bytes_in(2.0) == pytest.approx(100_000, abs=1)


def test_the_queue_order_names_its_classes() -> None:
    assert InteractiveFirst(["a", "text-classification.bulk"]).classes() == [["a"], ["text-classification.bulk"]]


INTERNALS = {
    stock.Channel: "_q_for_pri _queue_cycle _basic_cancel _get_pool _disconnect_pools _on_connection_disconnect "
    "_do_restore_message _poll_error _flush_brpop_reauth _connparams active_queues conn_or_acquire _in_listen",
    stock.QoS: "append ack reject restore_by_tag restore_unacked restore_visible",
    stock.MultiChannelPoller: "on_poll_start on_readable get fds _register _register_LISTEN _client_registered "
    "maybe_restore_messages maybe_check_brpop_health",
    stock.Transport: "register_with_event_loop",
    virtual.QoS: "can_consume can_consume_max_estimate append ack restore_unacked_once",
    virtual.Transport: "_deliver",
    Hub: "call_later call_soon",
    redis_connection.Connection: "register_connect_callback can_read send_command disconnect _get_parser",
    kombu.Connection: "get_transport_cls",
}


@pytest.mark.parametrize("owner", INTERNALS, ids=lambda owner: f"{owner.__module__}.{owner.__name__}")
def test_what_we_override_and_call_is_there(owner: type) -> None:
    instances = {"_queue_cycle"}
    missing = [name for name in INTERNALS[owner].split() if not hasattr(owner, name) and name not in instances]
    assert missing == []


def test_kombu_calls_what_we_override_where_we_rely_on_it() -> None:
    assert "self._queue_cycle = cycle_by_name" in inspect.getsource(stock.Channel.__init__)
    register = inspect.getsource(stock.Transport.register_with_event_loop)
    assert "cycle_poll_start = cycle.on_poll_start" in register
    assert "for fd in cycle.fds" in register
    assert "channel._on_connection_disconnect(self)" in inspect.getsource(stock.Channel._connparams)
    assert "self.qos.append(message, message.delivery_tag)" in inspect.getsource(virtual.Channel.basic_consume)
    assert "restore_unacked_once" in inspect.getsource(virtual.Channel.close)
    assert "_loop_thread" in inspect.getsource(Hub.call_soon)
    assert "_timer_entries(hub.timer)" in inspect.getsource(loops.asynloop), "Celery cancels our health timer"


def test_redis_py_hands_pushes_to_the_handler_of_a_connection(url: str) -> None:
    read = inspect.signature(redis_connection.Connection.read_response).parameters
    assert {"push_request", "disconnect_on_error"} <= set(read)
    with Looped(url, "q") as looped:
        looped.until_idle()
        connection = looped.channel.client.connection
        assert connection.protocol == 3
        assert (
            connection._get_parser().invalidation_push_handler_func
            == looped.channel.fetcher.fetch_connection._take_push
        )


def test_the_options_are_kombus_and_ours() -> None:
    ours = set(Channel.from_transport_options) - set(stock.Channel.from_transport_options)
    assert ours == {name for name in vars(Channel) if name.startswith(("fetch_", "dead_letter_", "lease_"))}
    assert "redis.call" in SOURCE
