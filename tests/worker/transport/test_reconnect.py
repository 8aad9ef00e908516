"""A server that is back is used soon, however long it was away."""

from __future__ import annotations

import pytest
from kombu.exceptions import OperationalError

from examples.local_stack import free_port
from worker.transport import Connection


def test_the_intervals_between_attempts_do_not_grow_to_kombus_half_a_minute() -> None:
    intervals_s: list[float] = []
    with (
        Connection(f"redis://127.0.0.1:{free_port()}/0") as connection,
        pytest.raises(OperationalError),
    ):
        connection.ensure_connection(lambda _, interval_s: intervals_s.append(interval_s), max_retries=3)
    assert intervals_s == [0.5, 1.0, 1.5]


def test_whoever_asks_for_intervals_gets_them() -> None:
    intervals_s: list[float] = []
    with Connection(f"redis://127.0.0.1:{free_port()}/0") as connection, pytest.raises(OperationalError):
        connection.ensure_connection(
            lambda _, interval_s: intervals_s.append(interval_s), max_retries=2, interval_start=0.01, interval_step=0.01
        )
    assert intervals_s == [0.01, 0.02]
