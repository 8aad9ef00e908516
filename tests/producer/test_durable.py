"""A durable request is on the broker's disk when it counts as accepted, or there is a typed error."""

from __future__ import annotations

import pytest
import redis

from examples.local_stack import PATIENCE_S, LocalServer
from producer import BrokerUnavailable, Client, NotDurable, TextClassificationRequest

REQUEST = TextClassificationRequest.parse({"inputs": "A delight."})
QUEUE = "text-classification"


def client_of(server: LocalServer) -> Client:
    return Client(server.url, timeout_s=PATIENCE_S)


@pytest.mark.parametrize("policy", ["always", "everysec"])
def test_a_durable_request_survives_a_kill_of_its_broker(policy: str) -> None:
    with LocalServer({"appendfsync": policy}) as server, client_of(server) as client:
        client.submit(REQUEST, durable=True)
        with redis.Redis.from_url(server.url) as connected:
            # The server has synchronized its file up to here.
            assert connected.execute_command("WAITAOF", 1, 0, 1) == [1, 0]
        server.kill()
        server.start()
        with redis.Redis.from_url(server.url) as connected:
            assert connected.llen(QUEUE) == 1


def test_a_broker_without_a_file_is_told_before_anything_is_enqueued() -> None:
    with LocalServer({"appendonly": "no"}) as server, client_of(server) as client:
        with pytest.raises(NotDurable, match=r"appendonly yes.*not enqueued") as caught:
            client.submit(REQUEST, durable=True)
        assert isinstance(caught.value, BrokerUnavailable)
        with redis.Redis.from_url(server.url) as connected:
            assert connected.llen(QUEUE) == 0
            connected.config_set("appendonly", "yes")
        client.submit(REQUEST, durable=True)


def test_a_file_that_is_switched_off_later_is_told_with_the_request_enqueued() -> None:
    with LocalServer() as server, client_of(server) as client, redis.Redis.from_url(server.url) as connected:
        client.submit(REQUEST, durable=True)
        connected.config_set("appendonly", "no")
        with pytest.raises(NotDurable, match="the request was enqueued"):
            client.submit(REQUEST, durable=True)
        assert connected.llen(QUEUE) == 2


def test_a_broker_that_leaves_its_file_to_the_kernel_never_confirms() -> None:
    with (
        LocalServer({"appendfsync": "no"}) as server,
        client_of(server) as client,
        pytest.raises(NotDurable, match="did not write it to disk in time"),
    ):
        client.submit(REQUEST, durable=True, timeout_s=2)


def test_a_request_that_is_not_durable_asks_nothing(own_server: LocalServer, own_redis: redis.Redis) -> None:
    own_redis.config_set("appendonly", "no")
    with client_of(own_server) as client:
        client.submit(REQUEST)
    assert own_redis.llen(QUEUE) == 1
