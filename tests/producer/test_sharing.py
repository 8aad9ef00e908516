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
from producer.contract import TaskName

from .helpers import StockWorker, arguments_of, is_awaited, store, subscriptions, wait_until

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


def test_threads_share_one_subscription_and_no_more_connections_than_allowed(
    own_server: LocalServer, own_redis: redis.Redis, stock_worker: StockWorker
) -> None:
    def ours() -> int:
        return sum(connection["name"] == "ours" for connection in own_redis.client_list())

    with (
        Client(f"{own_server.url}?client_name=ours", timeout_s=PATIENCE_S, max_connections=4) as client,
        ThreadPoolExecutor(32) as threads,
    ):
        calls = [threads.submit(client.classify, f"text {number}") for number in range(32)]
        messages = [stock_worker.take(TaskName.TEXT_CLASSIFICATION) for _ in calls]
        wait_until(lambda: own_redis.pubsub_numpat() == 1)
        assert 0 < ours() <= 4
        assert subscriptions(own_redis) == []
        for message in reversed(messages):
            stock_worker.answer(message, arguments_of(message)["inputs"])
        answers: list[object] = [call.result(timeout=PATIENCE_S) for call in calls]
        assert answers == [f"text {number}" for number in range(32)]
        assert 0 < ours() <= 4
    wait_until(lambda: ours() == 0)


def test_a_thread_that_has_its_answer_leaves_the_subscription_to_the_others(
    own_client: Client, own_redis: redis.Redis
) -> None:
    with ThreadPoolExecutor(2) as threads:
        first = threads.submit(own_client.wait, "id-1")
        wait_until(lambda: is_awaited(own_redis, "id-1"))
        second = threads.submit(own_client.wait, "id-2")
        wait_until(lambda: is_awaited(own_redis, "id-2"))
        store(own_redis, "id-1", 1)
        assert first.result(timeout=PATIENCE_S).result == 1
        store(own_redis, "id-2", 2)
        assert second.result(timeout=PATIENCE_S).result == 2
    wait_until(lambda: subscriptions(own_redis) == [])
