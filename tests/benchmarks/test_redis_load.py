"""What a server did between two moments is told from its counters, against a real one."""

from __future__ import annotations

import redis

from benchmarks.redis_load import between, until_now
from examples.local_stack import LocalServer


def test_commands_between_two_moments_are_counted_without_those_of_the_measurement(server: LocalServer) -> None:
    with redis.Redis.from_url(server.url) as client:
        before = until_now(client)
        client.client_list()
        client.set("measured", "x" * 1000, ex=10)
        for _ in range(3):
            client.get("measured")
        found = between(before, until_now(client))

    # Workers of other tests may be on the same server.
    assert found.commands["set"] >= 1
    assert found.commands["get"] >= 3
    assert not found.commands.keys() & {"info", "client|list"}
    assert found.calls == sum(found.commands.values())
    assert found.length_s > 0
    assert found.received_bytes >= 1000
    assert found.sent_bytes >= 3000
