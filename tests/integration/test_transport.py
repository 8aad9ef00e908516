"""Real workers of a plain app on the transport: killed connections, restarts, stock neighbours, remote control."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
from celery import Celery

from examples.local_stack import PATIENCE_S, LocalServer
from tests.worker.transport.helpers import PlainWorker, done, send

#: A test that needs the sweep would not end within it.
PATIENT = {"transport": {"visibility_timeout": 3600}}
QUICK = {"transport": {"visibility_timeout": 3, "unacked_restore_interval": 1, "unacked_mutex_expire": 2}}


@pytest.fixture
def control(own_server: LocalServer) -> Iterator[Celery]:
    """Stock Celery beside the workers."""
    app = Celery("control", broker=own_server.url, set_as_current=False)
    yield app
    app.close()


@pytest.fixture
def keys(own_server: LocalServer) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(own_server.url) as connected:
        yield connected


def everything_is_settled(keys: redis.Redis) -> bool:
    return not keys.exists("celery", "unacked", "unacked_index")


def test_requests_flow_on_through_killed_connections_and_scripts_that_are_gone(
    own_server: LocalServer, keys: redis.Redis
) -> None:
    with PlainWorker(own_server.url, options=PATIENT) as worker:
        worker.wait_until_ready()
        for n in range(5):
            send(own_server.url, range(n * 50, n * 50 + 50))
            worker.wait_for(lambda: len(done(own_server.url)) > n * 50)  # noqa: B023
            keys.script_flush()
            keys.client_kill_filter(_type="normal", skipme=True)
            keys.client_kill_filter(_type="pubsub", skipme=True)
        worker.wait_for(lambda: set(done(own_server.url)) == set(range(250)))
        worker.wait_for(lambda: everything_is_settled(keys))
        assert worker.log.count("Connection to broker lost") >= 1
        assert worker.stop() == 0


def test_a_restart_of_the_server_loses_nothing_and_leaves_nobody_deaf(own_server: LocalServer) -> None:
    with PlainWorker(own_server.url, options=PATIENT) as worker:
        worker.wait_until_ready()
        send(own_server.url, range(100))
        worker.wait_for(lambda: len(done(own_server.url)) > 10)
        own_server.stop()
        worker.wait_for(lambda: "Connection to broker lost" in worker.log)
        own_server.start()
        send(own_server.url, range(100, 120))
        worker.wait_for(lambda: set(done(own_server.url)) == set(range(120)))
        with redis.Redis.from_url(own_server.url) as keys:
            worker.wait_for(lambda: everything_is_settled(keys))


@pytest.mark.parametrize("heir_is_stock", [True, False])
def test_a_worker_of_the_other_kind_takes_over_from_one_that_was_killed(
    own_server: LocalServer, keys: redis.Redis, heir_is_stock: bool
) -> None:
    with PlainWorker(own_server.url, stock=not heir_is_stock, options=QUICK) as victim:
        victim.wait_until_ready()
        send(own_server.url, range(8), task="wait")
        victim.wait_for(lambda: keys.hlen("unacked") == 8)
        victim.signal(signal.SIGKILL)
        victim.wait_for_exit()
    with redis.Redis.from_url(own_server.url.replace("/0", "/5")) as notes:
        notes.rpush("go", 1)
    with PlainWorker(own_server.url, stock=heir_is_stock, options=QUICK) as heir:
        heir.wait_for(lambda: set(done(own_server.url)) == set(range(8)))
        heir.wait_for(lambda: everything_is_settled(keys))


def test_a_malformed_message_does_not_end_a_worker(own_server: LocalServer, keys: redis.Redis) -> None:
    with PlainWorker(own_server.url) as worker:
        worker.wait_until_ready()
        pid = worker.pid
        for raw in (b"\x80secret", b"{}", b"[" * 100_000, b'{"properties": {"delivery_tag": "secret"}}'):
            keys.lpush("celery", raw)
        send(own_server.url, range(3))
        worker.wait_for(lambda: done(own_server.url) == [0, 1, 2])
        assert worker.pid == pid
        assert keys.xlen("unacked.dead.letters") == 4
        assert worker.log.count("from celery to the dead letters") == 4
        assert "secret" not in worker.log


def test_queues_are_cancelled_and_added_by_remote_control(
    own_server: LocalServer, keys: redis.Redis, control: Celery
) -> None:
    with PlainWorker(own_server.url) as worker:
        worker.wait_until_ready()
        control.control.cancel_consumer("celery", reply=True, timeout=PATIENCE_S, limit=1)
        send(own_server.url, range(3))
        assert [*control.control.ping(timeout=PATIENCE_S, limit=1)[0].values()] == [{"ok": "pong"}]
        assert done(own_server.url) == []
        assert keys.llen("celery") == 3
        control.control.add_consumer("celery", reply=True, timeout=PATIENCE_S, limit=1)
        worker.wait_for(lambda: done(own_server.url) == [0, 1, 2])
        assert (
            next(iter(control.control.inspect(timeout=PATIENCE_S, limit=1).active_queues().values()))[0]["name"]
            == "celery"
        )


# Celery's own pool may not hear of a process's last result (billiard 4.3, with kombu's own transport as well): it puts
# that message back although it is done.
@pytest.mark.parametrize(
    ("arguments", "unheard"), [(("--pool=prefork",), 1), (("--pool=solo",), 0), (("--pool=threads",), 0)]
)
def test_a_warm_shutdown_settles_what_is_done_and_puts_back_the_rest(
    own_server: LocalServer, keys: redis.Redis, arguments: tuple[str, ...], unheard: int
) -> None:
    with PlainWorker(own_server.url, *arguments, options=PATIENT) as worker:
        worker.wait_until_ready()
        send(own_server.url, range(200))
        worker.wait_for(lambda: len(done(own_server.url)) > 5)
        assert worker.stop() == 0
        finished = done(own_server.url)
    assert not keys.exists("unacked", "unacked_index")
    repeated = len(finished) + int(keys.llen("celery")) - 200
    assert 0 <= repeated <= unheard
    with PlainWorker(own_server.url, *arguments, options=PATIENT) as worker:
        worker.wait_for(lambda: len(done(own_server.url)) == 200 + repeated)
        assert set(done(own_server.url)) == set(range(200))


def test_a_server_without_tracking_is_polled_by_a_worker(own_server: LocalServer, keys: redis.Redis) -> None:
    keys.acl_setuser("poller", enabled=True, passwords=["+pw"], keys="*", channels="*", categories=["+@all"])
    keys.execute_command("ACL", "SETUSER", "poller", "-client|tracking")
    with PlainWorker(own_server.url.replace("redis://", "redis://poller:pw@"), notes=own_server.url) as worker:
        worker.wait_until_ready()
        worker.wait_for(lambda: "queues are polled" in worker.log)
        send(own_server.url, range(20))
        worker.wait_for(lambda: done(own_server.url) == list(range(20)))


def test_redis_7_serves_as_well(tmp_path: Path) -> None:
    binary = Path("/usr/bin/redis-server")
    if not binary.exists():
        pytest.skip("no redis-server on this machine")
    import socket
    import subprocess

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    url = f"redis://127.0.0.1:{port}/0"
    server = subprocess.Popen(
        [binary, "--port", str(port), "--save", "", "--dir", tmp_path], stdout=subprocess.DEVNULL, env=os.environ
    )
    try:
        with PlainWorker(url) as worker:
            worker.wait_until_ready()
            send(url, range(50))
            worker.wait_for(lambda: done(url) == list(range(50)))
            with redis.Redis.from_url(url) as keys:
                worker.wait_for(lambda: everything_is_settled(keys))
                names = " ".join(client["cmd"] for client in keys.client_list())
                assert "evalsha" in names
    finally:
        server.terminate()
        server.wait(PATIENCE_S)
