"""No call outlives its deadline, whatever happens to the server, and the client works again afterwards."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest
import redis

from examples.local_stack import PATIENCE_S, LocalServer
from producer import (
    BrokerUnavailable,
    CeleriacError,
    Client,
    ResultBackendUnavailable,
    ServiceUnavailable,
    TextClassificationRequest,
    TextInput,
)

from .helpers import ends_within, has_looked, is_awaited, paused, store, wait_until

REQUEST = TextClassificationRequest(inputs=TextInput(text="a"))
DEADLINE_S = 0.1
#: For calls that must make some progress before their deadline.
LATER_S = 5.0
#: Longer than a slow machine takes to start the call and reach the deadline; the next test waits for it to end.
PAUSE_MS = 3000
QUEUE = "text-classification"

CALLS: list[tuple[Callable[[Client], object], type[CeleriacError]]] = [
    (lambda client: client.submit(REQUEST, timeout_s=DEADLINE_S), BrokerUnavailable),
    (lambda client: client.wait("id-1", timeout_s=DEADLINE_S), ResultBackendUnavailable),
    (lambda client: client.classify("a", timeout_s=DEADLINE_S), BrokerUnavailable),
]
calls = pytest.mark.parametrize(("call", "kind"), CALLS, ids=["submit", "wait", "classify"])


@pytest.fixture(params=["connected", "not yet connected"])
def client(request: pytest.FixtureRequest, own_client: Client, own_redis: redis.Redis) -> Client:
    """A client with idle connections, and one without."""
    if request.param == "connected":
        own_client.submit(REQUEST)
        store(own_redis, "warm-up", 1)
        own_client.wait("warm-up")
        own_redis.delete(QUEUE)
    return own_client


def works(client: Client, connection: redis.Redis) -> bool:
    before = connection.llen(QUEUE)
    client.submit(REQUEST)
    store(connection, "id-2", "answer")
    return client.wait("id-2").result == "answer" and connection.llen(QUEUE) == int(str(before)) + 1


@calls
def test_a_paused_redis_gives_a_typed_error_within_the_deadline(
    own_server: LocalServer, client: Client, call: Callable[[Client], object], kind: type[CeleriacError]
) -> None:
    with paused(own_server), ends_within(DEADLINE_S), pytest.raises(kind) as caught:
        call(client)
    assert isinstance(caught.value, ServiceUnavailable)


@calls
def test_a_stopped_redis_gives_a_typed_error_within_the_deadline(
    own_server: LocalServer, client: Client, call: Callable[[Client], object], kind: type[CeleriacError]
) -> None:
    own_server.stop()
    with ends_within(DEADLINE_S), pytest.raises(kind):
        call(client)


@calls
def test_a_redis_that_holds_back_its_replies_gives_a_typed_error_within_the_deadline(
    own_redis: redis.Redis, own_client: Client, call: Callable[[Client], object], kind: type[CeleriacError]
) -> None:
    own_redis.execute_command("CLIENT", "PAUSE", PAUSE_MS, "ALL")
    with ends_within(DEADLINE_S), pytest.raises(kind):
        call(own_client)


@pytest.mark.parametrize("what", ["pause", "stop"])
def test_a_redis_that_goes_away_during_a_wait_gives_a_typed_error_within_the_deadline(
    own_server: LocalServer, own_client: Client, own_redis: redis.Redis, what: str
) -> None:
    errors: list[CeleriacError] = []

    def wait() -> None:
        try:
            own_client.wait("id-1", timeout_s=LATER_S)
        except CeleriacError as error:
            errors.append(error)

    waiter = threading.Thread(target=wait)
    with ends_within(LATER_S), ExitStack() as stack:
        waiter.start()
        wait_until(lambda: has_looked(own_redis))
        if what == "pause":
            stack.enter_context(paused(own_server))
        else:
            own_server.stop()
        waiter.join(timeout=PATIENCE_S)
    assert [type(error) for error in errors] == [ResultBackendUnavailable]


def test_the_client_works_again_when_the_server_goes_on(
    own_server: LocalServer, client: Client, own_redis: redis.Redis
) -> None:
    with paused(own_server):
        for call, kind in CALLS:
            with pytest.raises(kind):
                call(client)
    assert works(client, own_redis)


def test_the_client_works_again_when_the_server_is_back_on_its_port(own_server: LocalServer, client: Client) -> None:
    own_server.stop()
    for call, kind in CALLS:
        with pytest.raises(kind):
            call(client)
    own_server.start()
    with redis.Redis.from_url(own_server.url) as connection:
        assert works(client, connection)


def test_a_restart_between_two_calls_is_not_noticed(own_server: LocalServer, client: Client) -> None:
    own_server.stop()
    own_server.start()
    with redis.Redis.from_url(own_server.url) as connection:
        assert works(client, connection)


def test_a_wait_goes_on_through_a_restart(own_server: LocalServer, own_client: Client, own_redis: redis.Redis) -> None:
    answers: list[object] = []
    waiter = threading.Thread(target=lambda: answers.append(own_client.wait("id-1").result))
    waiter.start()
    wait_until(lambda: has_looked(own_redis))
    own_server.stop()
    own_server.start()
    with redis.Redis.from_url(own_server.url) as connection:
        wait_until(lambda: is_awaited(connection, "id-1"))
        store(connection, "id-1", "answer")
    waiter.join(timeout=PATIENCE_S)
    assert answers == ["answer"]


@pytest.fixture
def elsewhere() -> Iterator[LocalServer]:
    """A result backend on another server than the broker."""
    with LocalServer() as started:
        yield started


def test_results_are_read_from_a_backend_of_their_own(own_server: LocalServer, elsewhere: LocalServer) -> None:
    with Client(own_server.url, elsewhere.url) as client, redis.Redis.from_url(elsewhere.url) as connection:
        store(connection, "id-1", "answer")
        assert client.wait("id-1").result == "answer"
        own_server.stop()
        assert client.wait("id-1").result == "answer"
        with pytest.raises(BrokerUnavailable):
            client.submit(REQUEST, timeout_s=DEADLINE_S)


def test_a_request_that_was_taken_before_the_backend_went_away_fails_as_the_backends_error(
    own_server: LocalServer, elsewhere: LocalServer, own_redis: redis.Redis
) -> None:
    elsewhere.stop()
    with Client(own_server.url, elsewhere.url) as client, pytest.raises(ResultBackendUnavailable):
        client.classify("a", timeout_s=LATER_S)
    assert own_redis.llen(QUEUE) == 1
