"""Messages that a real worker cannot use: one place and one form, counted, and answered once they can be."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import redis
from celery import Celery
from kombu.message import Message

from examples.local_stack import PATIENCE_S, LocalServer
from tests.integration.test_bad_input import GOOD_BODY, TASK, failure_of, send_raw
from tests.monitored_worker import MonitoredWorker
from tests.worker.transport.helpers import PlainWorker, dead_letter_fields, dead_letters, done
from worker.transport import Connection
from worker.transport.dead_letters import Attempt, DeadReason, Letter

Command = Callable[..., Any]
#: What a letter of each kind has written about it.
FIELDS = {b"format", b"reason", b"problem", b"queue", b"list", b"size", b"envelope"}


@pytest.fixture
def command(own_server: LocalServer) -> Command:
    """Runs ``python -m worker dead-letters`` with ``--json``, and returns what it prints."""

    def run(*arguments: str) -> Any:
        line = [sys.executable, "-m", "worker", "dead-letters", *arguments, "--json"]
        environment = {**os.environ, "CELERIAC_BROKER_URL": own_server.url}
        ended = subprocess.run(line, capture_output=True, text=True, check=False, env=environment)
        assert ended.returncode == 0, ended.stderr
        return json.loads(ended.stdout)

    return run


@pytest.fixture
def worker(own_environment: dict[str, str]) -> Iterator[MonitoredWorker]:
    with MonitoredWorker(environment={**own_environment, "CELERIAC_DEAD_MAX_LETTERS": "6"}) as started:
        started.wait_until_ready()
        yield started


def bury_untouched(server: LocalServer, **about: Any) -> None:
    """Bury the next request as a worker does that gives it up."""
    with Connection(server.url) as connection:
        channel = connection.default_channel
        message: Message | None = channel.basic_get(TASK)
        assert message is not None
        channel.bury(message.delivery_tag, DeadReason.TOO_MANY_ATTEMPTS, "it was tried twice", **about)


def test_all_kinds_are_in_one_place_in_one_form_and_their_senders_know(
    worker: MonitoredWorker, own_redis: redis.Redis, own_stock: Celery, command: Command
) -> None:
    errors = {
        "wrong_content_type": send_raw(own_redis, b"secret", content_type="text/plain"),
        "undecodable": send_raw(own_redis, b"{{secret"),
        "malformed": send_raw(own_redis, GOOD_BODY, timelimit="secret"),
        "unknown_task": own_stock.send_task("no-such-task", kwargs={"inputs": "secret"}).id,
    }
    invalid = own_stock.send_task(TASK, kwargs={"inputs": 3}).id
    own_redis.lpush(TASK, b'{"secret": ')
    typed = {reason: failure_of(own_stock, task_id) for reason, task_id in errors.items()}
    assert failure_of(own_stock, invalid)[0] == "InvalidRequest"
    worker.wait_for(lambda: own_redis.xlen("unacked.dead.letters") == 5)

    found = command("list")

    assert {name for name, _ in typed.values()} == {"InvalidRequest", "UnknownTask"}
    by_id = {letter["task_id"]: letter for letter in found}
    assert {reason: by_id[task_id]["reason"] for reason, task_id in errors.items()} == {r: r for r in errors}
    assert by_id[None]["reason"] == "malformed"
    assert invalid not in by_id
    assert by_id[errors["unknown_task"]]["task"] == "no-such-task"
    assert by_id[errors["unknown_task"]]["error"] == "UnknownTask (unknown_task)"
    assert "secret" not in json.dumps(found)
    assert "secret" not in worker.log
    for fields in dead_letter_fields(own_redis):
        assert fields.keys() >= FIELDS
    assert not own_redis.exists("unacked", TASK, "celery")
    worker.wait_for(lambda: worker.value("dead_letters_buried_total") == 5)
    assert worker.value("dead_letters", reason="malformed") == 2
    assert worker.value("dead_letters_bytes") > 0


def test_the_bound_holds_and_what_made_room_is_counted(
    worker: MonitoredWorker, own_redis: redis.Redis, command: Command
) -> None:
    for number in range(10):
        own_redis.lpush(TASK, b"junk %d" % number)
    worker.wait_for(lambda: worker.value("dead_letters_buried_total", reason="malformed") == 10)

    worker.wait_for(lambda: worker.value("dead_letters") == 6)
    assert worker.value("dead_letters_dropped_total", bound="number") == 4
    newest: Letter = next(iter(dead_letters(own_redis).newest_first()))
    assert dead_letters(own_redis).envelope(newest.letter_id) == b"junk 9"

    assert command("drop", "--all", "--yes")["dropped"] == 6
    worker.wait_for(lambda: worker.value("dead_letters") == 0)
    assert worker.value("dead_letters_buried_total", reason="malformed") == 10


def test_a_replayed_request_is_computed_and_its_sender_gets_the_answer(
    own_environment: dict[str, str],
    own_server: LocalServer,
    own_redis: redis.Redis,
    own_stock: Celery,
    command: Command,
) -> None:
    sent = own_stock.send_task(TASK, kwargs={"inputs": "A delight."}, queue=TASK)
    envelope = json.loads(own_redis.lindex(TASK, 0) or b"")
    bury_untouched(own_server, error="WorkerLostError", attempts=[Attempt(1.0, "a@host"), Attempt(2.0, "b@host")])
    assert not own_redis.exists("unacked", TASK)
    (letter,) = command("list", "--reason", "too_many_attempts")
    assert (letter["task_id"], letter["error"], len(letter["attempts"])) == (sent.id, "WorkerLostError", 2)

    with MonitoredWorker(environment=own_environment) as worker:
        worker.wait_until_ready()
        assert command("replay", "--task-id", sent.id)["replayed"] == 1
        answer = own_stock.AsyncResult(sent.id).get(timeout=PATIENCE_S)

    assert answer[0]["label"] == "POSITIVE"
    assert command("list") == []
    assert not own_redis.exists("unacked", TASK)
    assert envelope["headers"]["id"] == sent.id


def test_a_task_that_nobody_ran_runs_after_its_worker_has_come(
    own_environment: dict[str, str],
    own_server: LocalServer,
    own_redis: redis.Redis,
    own_stock: Celery,
    command: Command,
) -> None:
    with MonitoredWorker(environment=own_environment) as worker:
        worker.wait_until_ready()
        sent = own_stock.send_task("mark", (7,))
        assert failure_of(own_stock, sent.id)[0] == "UnknownTask"
        worker.wait_for(lambda: own_redis.xlen("unacked.dead.letters") == 1)

    with PlainWorker(own_server.url, stock=True) as runs_it:
        runs_it.wait_until_ready()
        assert command("replay", "--reason", "unknown_task")["replayed"] == 1
        runs_it.wait_for(lambda: done(own_server.url) == [7])

    assert command("list") == []


def test_without_content_nothing_of_a_message_is_in_redis(
    own_environment: dict[str, str], own_redis: redis.Redis, command: Command
) -> None:
    with MonitoredWorker(environment={**own_environment, "CELERIAC_DEAD_CONTENT": "false"}) as worker:
        worker.wait_until_ready()
        own_redis.lpush(TASK, b'{"secret": ')
        send_raw(own_redis, b"{{secret", correlation=str(uuid.uuid4()))
        worker.wait_for(lambda: own_redis.xlen("unacked.dead.letters") == 2)

    assert [letter["can_be_replayed"] for letter in command("list")] == [False, False]
    assert b"secret" not in (own_redis.dump("unacked.dead.letters") or b"")
