"""One client in several threads, and on both sides of a fork."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import redis

from examples.local_stack import PATIENCE_S, LocalServer
from producer import Client, TextClassificationRequest, TextInput

from .helpers import is_awaited, store, wait_until

REQUEST = TextClassificationRequest(inputs=TextInput(text="a"))
#: Runs in a separate process, since that of the tests has threads. Parent and child both use the client.
FORK = """
import json, os, sys
import redis
from producer import Client, TextClassificationRequest, TextInput

client, server = Client(sys.argv[1], timeout_s=300), redis.Redis.from_url(sys.argv[1])
request = TextClassificationRequest(inputs=TextInput(text="a"))
def use(own):
    answers = {client.wait(own).result for _ in range(100)}
    client.submit(request)
    return answers == {"answer to " + own}


assert use("parent")
before = {connection["id"] for connection in server.client_list()}
for leave in (client.close, lambda: None):
    child = os.fork()
    if child == 0:
        right = use("child")
        leave()
        os._exit(0 if right else 1)
    assert use("parent")
    assert os.waitpid(child, 0)[1] == 0
assert use("parent")
after = {connection["id"] for connection in server.client_list()}
print(json.dumps({"lost": len(before - after), "queued": server.llen("text-classification")}))
"""


def test_threads_that_share_a_client_each_get_their_own_answer(own_client: Client, own_redis: redis.Redis) -> None:
    ids = [f"id-{number}" for number in range(64)]
    with ThreadPoolExecutor(16) as threads:
        waiting = {request_id: threads.submit(own_client.wait, request_id) for request_id in ids}
        wait_until(lambda: is_awaited(own_redis, ids[0]))
        for request_id in reversed(ids):
            store(own_redis, request_id, f"answer to {request_id}")
        assert {i: answer.result(timeout=PATIENCE_S).result for i, answer in waiting.items()} == {
            request_id: f"answer to {request_id}" for request_id in ids
        }


def test_threads_that_share_a_client_lose_no_request_and_double_none(
    own_client: Client, own_redis: redis.Redis
) -> None:
    start = threading.Barrier(8)

    def submit_some() -> list[str]:
        start.wait()
        return [own_client.submit(REQUEST) for _ in range(25)]

    with ThreadPoolExecutor(8) as threads:
        batches = [threads.submit(submit_some) for _ in range(8)]
        submitted = [request_id for batch in batches for request_id in batch.result(timeout=PATIENCE_S)]
    queued = [json.loads(element)["headers"]["id"] for element in own_redis.lrange("text-classification", 0, -1)]
    assert sorted(queued) == sorted(submitted)
    assert len(set(queued)) == 200


def test_a_child_process_leaves_its_parents_connections_alone(own_server: LocalServer, own_redis: redis.Redis) -> None:
    for request_id in ("parent", "child"):
        store(own_redis, request_id, f"answer to {request_id}")
    command = [sys.executable, "-W", "error", "-c", FORK, own_server.url]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {"lost": 0, "queued": 6}
