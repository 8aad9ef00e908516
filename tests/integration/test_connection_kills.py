"""Every connection of the server is cut again and again under load: nothing is lost, and nobody goes deaf."""

from __future__ import annotations

import functools
import json
import os
import random
import time
from contextlib import suppress

import redis

from examples.local_stack import PATIENCE_S, LocalServer, LocalWorker
from producer import CeleriacError, Client
from producer.contract import TextClassificationRequest

#: CI is content with fewer than ``CONNECTION_KILLS=50``, which takes a minute.
KILLS = int(os.environ.get("CONNECTION_KILLS", "12"))
SEED = 20261121
IN_FLIGHT = 64
#: A worker that goes deaf is so until the visibility timeout, 60 s, or for ever.
DEAF_S = 45.0
TEXTS = ("A fine day.", "It broke within a week, and nobody answered my letters about it.", "Good. " * 12)


class Load:
    """Keeps requests in flight, and knows when the last one was answered."""

    def __init__(self, url: str) -> None:
        self._client = Client(url, timeout_s=PATIENCE_S)
        self._server = redis.Redis.from_url(url)
        self._sent = 0
        self.waiting: set[str] = set()
        self.answered: dict[str, str] = {}
        self._last_s = time.monotonic()
        self.longest_silence_s = 0.0

    def send(self) -> None:
        """Fill up to :data:`IN_FLIGHT`; what could not be sent for certain does not count."""
        while len(self.waiting) < IN_FLIGHT:
            self._sent += 1
            request = TextClassificationRequest.parse({"inputs": TEXTS[self._sent % len(TEXTS)]})
            with suppress(CeleriacError):
                self.waiting.add(self._client.submit(request))

    def read(self) -> None:
        """Take the results that are there."""
        ids = sorted(self.waiting)
        found = self._server.mget([f"celery-task-meta-{request_id}" for request_id in ids])
        done = {
            request_id: json.loads(value)["status"]
            for request_id, value in zip(ids, found, strict=True)
            if value is not None
        }
        self.answered |= done
        self.waiting -= done.keys()
        now_s = time.monotonic()
        if done:
            self.longest_silence_s = max(self.longest_silence_s, now_s - self._last_s)
            self._last_s = now_s

    def close(self) -> None:
        self._client.close()
        self._server.close()


def cut_all(admin: redis.Redis) -> None:
    for kind in ("normal", "pubsub"):
        admin.client_kill_filter(_type=kind, skipme=True)


def test_every_request_is_answered_and_the_worker_is_never_deaf(
    own_server: LocalServer, own_environment: dict[str, str]
) -> None:
    dice = random.Random(SEED)  # noqa: S311 - the moments of the kills
    with LocalWorker(environment=own_environment) as worker, redis.Redis.from_url(own_server.url) as admin:
        worker.wait_until_ready()
        load = Load(own_server.url)
        pids = worker.processes

        def busy_until(moment_s: float) -> bool:
            load.send()
            with suppress(redis.ConnectionError):
                load.read()
            return time.monotonic() > moment_s

        for _ in range(KILLS):
            worker.wait_for(functools.partial(busy_until, time.monotonic() + dice.uniform(0.1, 1.5)))
            cut_all(admin)

        def all_answered() -> bool:
            with suppress(redis.ConnectionError):
                load.read()
            return not load.waiting

        worker.wait_for(all_answered)
        load.close()
        print(f"{KILLS} kills, {len(load.answered)} answered, longest silence {load.longest_silence_s:.2f} s")
        assert set(load.answered.values()) == {"SUCCESS"}
        assert load.longest_silence_s < DEAF_S
        assert worker.processes == pids
