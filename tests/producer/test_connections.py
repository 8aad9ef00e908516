"""Connections on which every exchange ends by its deadline."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import pytest
import redis
from redis.exceptions import AuthenticationError, AuthorizationError, ReadOnlyError, RedisError, ResponseError
from redis.exceptions import ConnectionError as RedisConnectionError

from examples.local_stack import PATIENCE_S, LocalServer
from producer.connections import Deadline, RedisConnections, retry_until

from .helpers import ends_within, paused

DEADLINE_S = 0.15
#: So many that a retry delay for each would exceed every deadline here.
STALE = 32


@pytest.fixture
def connections(own_server: LocalServer) -> Iterator[RedisConnections]:
    """Connections to the test's own server."""
    connections = RedisConnections(own_server.url)
    yield connections
    connections.close()


def connection_id(connections: RedisConnections) -> int:
    (number,) = connections.execute([("CLIENT", "ID")], Deadline.after(5))
    return int(number)


def test_what_is_left_of_a_deadline_ends_at_zero() -> None:
    assert Deadline.after(-5).remaining_s == 0
    assert 0 < Deadline.after(60).remaining_s <= 60


def test_the_earlier_of_two_deadlines_counts() -> None:
    deadline = Deadline.after(60)
    assert deadline.capped(1000) == deadline
    assert deadline.capped(1).remaining_s <= 1


def test_replies_come_in_the_order_of_their_commands(connections: RedisConnections) -> None:
    commands = [("SET", "a", "1"), ("INCR", "a"), ("GET", "a"), ("DEL", "a")]
    assert connections.execute(commands, Deadline.after(5)) == [b"OK", 2, b"2", 1]


def test_a_connection_is_used_again(connections: RedisConnections) -> None:
    assert connection_id(connections) == connection_id(connections)


def test_an_error_reply_is_raised_after_all_replies_are_read_and_the_connection_goes_on(
    connections: RedisConnections,
) -> None:
    before = connection_id(connections)
    with pytest.raises(ResponseError, match="unknown command"):
        connections.execute([("ECHO", "1"), ("NO-SUCH-COMMAND",), ("ECHO", "2")], Deadline.after(5))
    assert connections.execute([("ECHO", "3")], Deadline.after(5)) == [b"3"]
    assert connection_id(connections) == before


def test_a_reply_that_came_too_late_is_never_taken_for_another_commands(
    own_server: LocalServer, connections: RedisConnections
) -> None:
    connection_id(connections)
    with paused(own_server), pytest.raises(RedisError):
        connections.execute([("ECHO", "late")], Deadline.after(DEADLINE_S))
    assert connections.execute([("ECHO", "asked")], Deadline.after(5)) == [b"asked"]


def test_close_gives_back_every_connection_and_new_ones_are_made(
    connections: RedisConnections, own_redis: redis.Redis
) -> None:
    used = connection_id(connections)
    connections.close()
    assert used not in {int(client["id"]) for client in own_redis.client_list()}
    assert connection_id(connections) != used


def test_a_connection_that_the_server_closed_while_idle_is_replaced(
    connections: RedisConnections, own_redis: redis.Redis
) -> None:
    used = connection_id(connections)
    own_redis.client_kill_filter(_id=str(used))
    assert connection_id(connections) != used


def test_connections_that_all_went_stale_while_idle_cost_one_more_try_and_not_one_each(
    connections: RedisConnections, own_redis: redis.Redis
) -> None:
    with ExitStack() as stack:
        for _ in range(STALE):
            stack.enter_context(connections.acquire(Deadline.after(5)))
    assert own_redis.client_kill_filter(_type="normal", skipme=True) >= STALE
    # One attempt per stale connection, with the delays between them, would take 15 s.
    assert connections.execute([("PING",)], Deadline.after(5)) == [b"PONG"]


def test_connections_that_several_threads_close_are_closed_once(connections: RedisConnections) -> None:
    with ExitStack() as stack:
        for _ in range(STALE):
            stack.enter_context(connections.acquire(Deadline.after(5)))
    with ThreadPoolExecutor(8) as threads:
        for closing in [threads.submit(connections.close) for _ in range(8)]:
            closing.result(timeout=PATIENCE_S)
    assert connections.execute([("PING",)], Deadline.after(5)) == [b"PONG"]


def test_a_server_that_accepts_and_never_answers_costs_the_deadline() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent, ends_within(DEADLINE_S):
        connections = RedisConnections(f"redis://127.0.0.1:{silent.getsockname()[1]}/0")
        with pytest.raises(RedisError):
            connections.execute([("PING",)], Deadline.after(DEADLINE_S))


def test_a_port_where_nobody_listens_costs_the_deadline() -> None:
    with socket.create_server(("127.0.0.1", 0)) as reserved:
        port = reserved.getsockname()[1]
    with ends_within(DEADLINE_S), pytest.raises(RedisConnectionError):
        RedisConnections(f"redis://127.0.0.1:{port}/0").execute([("PING",)], Deadline.after(DEADLINE_S))


def test_a_server_that_starts_before_the_deadline_is_still_used(
    own_server: LocalServer, connections: RedisConnections
) -> None:
    connection_id(connections)
    own_server.stop()
    starter = threading.Thread(target=own_server.start)
    starter.start()
    assert connections.execute([("PING",)], Deadline.after(10)) == [b"PONG"]
    starter.join()


def test_an_attempt_is_repeated_while_the_server_cannot_be_reached() -> None:
    attempts = iter([RedisConnectionError("1"), RedisConnectionError("2"), None])

    def attempt() -> str:
        if error := next(attempts):
            raise error
        return "done"

    assert retry_until(Deadline.after(5), attempt) == "done"


def test_the_second_attempt_comes_at_once_and_the_third_after_a_pause() -> None:
    class AlmostPassed(Deadline):
        @property
        def remaining_s(self) -> float:
            return 0.001

    attempts: list[int] = []

    def attempt() -> None:
        attempts.append(1)
        raise RedisConnectionError

    with pytest.raises(RedisConnectionError):
        retry_until(AlmostPassed.after(0), attempt)
    assert len(attempts) == 2


@pytest.mark.parametrize("error", [AuthenticationError("WRONGPASS"), AuthorizationError("no")])
def test_refused_credentials_are_not_tried_again(error: RedisError) -> None:
    attempts = iter([error])

    def attempt() -> None:
        raise next(attempts)

    with pytest.raises(type(error)):
        retry_until(Deadline.after(5), attempt)


def test_an_error_that_another_try_would_not_mend_is_raised_at_once() -> None:
    attempts = iter([ResponseError("WRONGTYPE")])

    def attempt() -> None:
        raise next(attempts)

    with pytest.raises(ResponseError, match="WRONGTYPE"):
        retry_until(Deadline.after(5), attempt)


def test_an_attempt_is_made_even_when_the_deadline_has_passed() -> None:
    assert retry_until(Deadline.after(-1), lambda: "done") == "done"


def test_a_server_that_is_no_master_is_asked_again_on_a_new_connection_until_it_is_one(
    own_server: LocalServer, own_redis: redis.Redis, connections: RedisConnections
) -> None:
    before = connection_id(connections)
    own_redis.replicaof("127.0.0.1", "1")
    with pytest.raises(ReadOnlyError):
        connections.execute([("SET", "a", "1")], Deadline.after(DEADLINE_S))

    def promote() -> None:
        with redis.Redis.from_url(own_server.url) as connected:
            connected.replicaof("NO", "ONE")

    timer = threading.Timer(DEADLINE_S, promote)
    timer.start()
    assert connections.execute([("SET", "a", "1")], Deadline.after(PATIENCE_S)) == [b"OK"]
    timer.join()
    assert connection_id(connections) != before
