"""``python -m worker dead-letters`` on a real server: what it lists, puts back and deletes, and how it ends."""

from __future__ import annotations

import base64
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import redis

from examples.local_stack import PATIENCE_S, LocalServer, free_port
from worker.__main__ import main
from worker.transport.dead_letters import Attempt, DeadLetterBounds, DeadLetters, DeadReason, Epitaph
from worker.transport.keys import Keys

ROOT = Path(__file__).resolve().parents[3]
BOUNDS = DeadLetterBounds(letters=10_000, bytes=10**8, age_s=600, content=True)
SECRET = "words of a sender"  # noqa: S105 - a text, not a password
Run = Callable[..., int]


@pytest.fixture
def letters(own_redis: redis.Redis) -> DeadLetters:
    return DeadLetters(own_redis, Keys.of_prefix(), BOUNDS)


@pytest.fixture
def run(own_server: LocalServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Run:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CELERIAC_BROKER_URL", own_server.url)

    def call(*arguments: str) -> int:
        try:
            return main(["dead-letters", *arguments])
        except SystemExit as error:
            return int(str(error.code))

    return call


def envelope(number: int) -> bytes:
    headers = {"task": f"task-{number}", "id": f"id-{number}", "redelivered": True}
    properties = {"delivery_tag": f"tag-{number}", "delivery_info": {"exchange": "", "routing_key": "q"}}
    return json.dumps({"body": SECRET, "headers": headers, "properties": properties}).encode()


def bury(letters: DeadLetters, number: int, reason: DeadReason = DeadReason.UNKNOWN_TASK, **known: Any) -> None:
    about = {"queue": "q", "list_key": "q", "task": f"task-{number}", "task_id": f"id-{number}", **known}
    letters.bury("tag", envelope(number), Epitaph(reason, "no worker runs this task", **about), must_be_recorded=False)


def ids(letters: DeadLetters) -> list[str]:
    return [letter.letter_id for letter in letters.newest_first()]


def tasks(client: redis.Redis, queue: str = "q") -> list[str]:
    """The tasks on a queue, in the order in which they will be fetched."""
    return [json.loads(raw)["headers"]["task"] for raw in reversed(client.lrange(queue, 0, -1))]


def test_the_table_has_the_newest_first_and_nothing_of_a_message(
    run: Run, letters: DeadLetters, capsys: pytest.CaptureFixture[str]
) -> None:
    for number in range(3):
        bury(letters, number)
    bury(letters, 3, DeadReason.TOO_MANY_ATTEMPTS, attempts=(Attempt(1.0, "a"), Attempt(2.0, "b")))

    assert run("list") == 0

    shown = capsys.readouterr()
    rows = [line.split() for line in shown.out.splitlines()[1:]]
    assert [row[0] for row in rows] == ids(letters)
    assert [row[5] for row in rows] == ["task-3", "task-2", "task-1", "task-0"]
    assert rows[0][3:] == ["too_many_attempts", "q", "task-3", "id-3", "2", str(len(envelope(3)))]
    assert "4 dead letters" in shown.err
    assert SECRET not in shown.out + shown.err


def test_without_letters_the_list_is_empty(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert (run("list"), run("list", "--json"), run("replay", "--all"), run("drop", "--all")) == (0, 0, 0, 0)
    shown = capsys.readouterr()
    assert shown.out.startswith("[]\n")
    assert "0 dead letters" in shown.err


def test_a_long_list_says_that_there_are_more(
    run: Run, letters: DeadLetters, capsys: pytest.CaptureFixture[str]
) -> None:
    for number in range(60):
        bury(letters, number)

    assert run("list") == run("list", "--limit", "5") == run("list", "--json") == 0

    shown = capsys.readouterr()
    assert "the newest 50 are listed" in shown.err
    assert "the newest 5 are listed" in shown.err
    table, bracket, as_json = shown.out.partition("[\n")
    assert len(table.splitlines()) == 51 + 6
    assert len(json.loads(bracket + as_json)) == 60


def test_json_has_what_is_known_and_null_for_the_rest(
    run: Run, letters: DeadLetters, capsys: pytest.CaptureFixture[str]
) -> None:
    bury(letters, 0, error="UnknownTask", attempts=(Attempt(0.5, "a@host"),))
    bury(letters, 1, DeadReason.MALFORMED, queue="", list_key="", task="", task_id="")

    assert run("list", "--json") == 0

    second, first = json.loads(capsys.readouterr().out)
    assert first["letter"] == ids(letters)[1]
    assert first["attempts"] == [{"at": "1970-01-01T00:00:00.500+00:00", "worker": "a@host"}]
    assert (first["error"], first["task"], first["can_be_replayed"]) == ("UnknownTask", "task-0", True)
    assert (second["queue"], second["task"], second["task_id"], second["error"]) == (None, None, None, None)
    assert (second["reason"], second["can_be_replayed"]) == ("malformed", False)


@pytest.mark.parametrize(
    ("conditions", "expected"),
    [
        (["--reason", "malformed"], {"task-1"}),
        (["--reason", "malformed", "--reason", "undecodable"], {"task-1", "task-2"}),
        (["--queue", "other"], {"task-2"}),
        (["--task", "task-0"], {"task-0"}),
        (["--task-id", "id-1"], {"task-1"}),
        (["--task-id", "id-1", "--queue", "other"], set()),
        (["--older-than", "1h"], {"old"}),
        (["--newer-than", "1.5h", "--queue", "q"], {"task-0", "task-1", "old"}),
        (["--newer-than", "3600s"], {"task-0", "task-1", "task-2"}),
    ],
)
def test_all_conditions_must_hold(
    run: Run,
    own_redis: redis.Redis,
    capsys: pytest.CaptureFixture[str],
    conditions: list[str],
    expected: set[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("CELERIAC_DEAD_MAX_AGE_S", "60")  # looking at letters removes none
    old_ms = int((time.time() - 4000) * 1000)
    own_redis.xadd("unacked.dead.letters", {"reason": "unknown_task", "task": "old", "queue": "q"}, id=f"{old_ms}-0")
    bury_fresh = DeadLetters(own_redis, Keys.of_prefix(), DeadLetterBounds(100, 10**6, 86400, content=True))
    bury(bury_fresh, 0)
    bury(bury_fresh, 1, DeadReason.MALFORMED)
    bury(bury_fresh, 2, DeadReason.UNDECODABLE, queue="other")

    assert run("list", "--json", *conditions) == 0
    assert {letter["task"] for letter in json.loads(capsys.readouterr().out)} == expected


def test_one_letter_is_shown_and_its_message_only_if_asked_for(
    run: Run, letters: DeadLetters, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    raw = bytes(range(256))
    letters.bury("tag", raw, Epitaph(DeadReason.MALFORMED, "not JSON", task="\x1b[2Jtask"), must_be_recorded=False)
    (name,) = ids(letters)

    assert run("show", name) == 0
    details = capfdbinary.readouterr().out
    assert run("show", name, "--envelope") == 0
    written = capfdbinary.readouterr().out
    assert run("show", name, "--envelope", "--json") == 0
    as_json = json.loads(capfdbinary.readouterr().out)

    assert b"not JSON" in details
    assert b"\x1b" not in details
    assert b"\\x1b[2Jtask" in details
    assert written == raw
    assert base64.b64decode(as_json["envelope_base64"]) == raw


def test_replayed_messages_are_on_their_queues_in_order_with_new_tags(
    run: Run, letters: DeadLetters, own_redis: redis.Redis, capsys: pytest.CaptureFixture[str]
) -> None:
    for number in range(4):
        bury(letters, number)
    bury(letters, 4, DeadReason.MALFORMED)

    assert run("replay", "--reason", "unknown_task", "--dry-run") == 0
    assert own_redis.llen("q") == 0
    assert "would have replayed 4 of 4" in capsys.readouterr().out
    assert run("replay", "--reason", "unknown_task", "--json") == 0

    numbers = {"selected": 4, "replayed": 4, "impossible": 0, "gone": 0, "dry_run": False}
    assert json.loads(capsys.readouterr().out) == numbers
    assert tasks(own_redis) == ["task-0", "task-1", "task-2", "task-3"]
    for raw in own_redis.lrange("q", 0, -1):
        message = json.loads(raw)
        assert not message["properties"]["delivery_tag"].startswith("tag-")
        assert "redelivered" not in message["headers"]
        assert message["body"] == SECRET
    assert [letter.reason for letter in letters.newest_first()] == ["malformed"]


def test_what_has_no_message_or_no_queue_stays_and_is_reported(
    run: Run, letters: DeadLetters, own_redis: redis.Redis, capsys: pytest.CaptureFixture[str]
) -> None:
    bury(letters, 0)
    bury(letters, 1, queue="", list_key="")
    bury(DeadLetters(own_redis, Keys.of_prefix(), DeadLetterBounds(100, 10**6, 600, content=False)), 2)

    assert run("replay", "--all") == 1

    shown = capsys.readouterr()
    assert "replayed 1 of 3" in shown.out
    assert "2 cannot be replayed" in shown.err
    assert [letter.task for letter in letters.newest_first()] == ["task-2", "task-1"]
    assert run("show", ids(letters)[0], "--envelope") == 1
    assert "is not kept" in capsys.readouterr().err


def test_selected_letters_are_deleted_and_no_others(
    run: Run, letters: DeadLetters, own_redis: redis.Redis, capsys: pytest.CaptureFixture[str]
) -> None:
    for number in range(4):
        bury(letters, number)
    kept, gone = ids(letters)[:2], ids(letters)[2:]

    assert run("drop", *gone, "--yes", "--dry-run") == 0
    assert len(ids(letters)) == 4
    assert run("drop", *gone, "--yes") == 0
    assert ids(letters) == kept
    assert run("drop", "--all", "--yes", "--json") == 0

    assert json.loads(capsys.readouterr().out.splitlines()[-1])["dropped"] == 2
    assert ids(letters) == []
    assert own_redis.llen("q") == 0


@pytest.mark.parametrize(
    ("arguments", "status", "hint"),
    [
        (["drop"], 2, "--all"),
        (["replay"], 2, "--all"),
        (["drop", "--all", "--queue", "q"], 2, "exclude each other"),
        (["drop", "--all"], 2, "--yes"),
        (["drop", "1-0", "--yes"], 1, "no such dead letter"),
        (["replay", "1-0"], 1, "no such dead letter"),
        (["show", "1-0"], 1, "no such dead letter"),
        (["show", "nonsense"], 2, "is not the id of a dead letter"),
        (["list", "--older-than", "soon"], 2, "such as 90s or 7d"),
        (["list", "--reason", "boredom"], 2, "invalid choice"),
        (["list", "--limit", "-1"], 2, "not a number of letters"),
    ],
)
def test_what_cannot_be_done_is_said_with_a_status_and_changes_nothing(
    run: Run,
    letters: DeadLetters,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    status: int,
    hint: str,
) -> None:
    bury(letters, 0)
    assert run(*arguments) == status
    assert hint in capsys.readouterr().err
    assert len(ids(letters)) == 1


def test_a_broker_that_is_not_there_and_a_wrong_setting_have_statuses_of_their_own(
    run: Run, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("CELERIAC_BROKER_URL", f"redis://:hidden@127.0.0.1:{free_port()}/0")
    assert run("list") == 3
    monkeypatch.setenv("CELERIAC_DEAD_MAX_BYTES", "1")
    assert run("list") == 2
    shown = capsys.readouterr().err
    assert "CELERIAC_BROKER_URL" in shown
    assert "CELERIAC_DEAD_MAX_BYTES" in shown
    assert "hidden" not in shown


def test_letters_of_an_app_with_a_key_prefix_are_its_own(
    run: Run, own_redis: redis.Redis, capsys: pytest.CaptureFixture[str]
) -> None:
    bury(DeadLetters(own_redis, Keys.of_prefix("pre:"), BOUNDS), 0, list_key="pre:q")

    assert run("list", "--json") == 0
    assert capsys.readouterr().out == "[]\n"
    assert run("replay", "--all", "--key-prefix", "pre:") == 0
    assert tasks(own_redis, "pre:q") == ["task-0"]


def test_a_replay_that_is_killed_loses_nothing_and_the_next_one_does_the_rest(
    own_server: LocalServer, own_redis: redis.Redis, letters: DeadLetters
) -> None:
    count = 3000
    for number in range(count):
        bury(letters, number)
    environment = {**os.environ, "CELERIAC_BROKER_URL": own_server.url}
    command = [sys.executable, "-m", "worker", "dead-letters", "replay", "--all"]

    with subprocess.Popen(command, env=environment, cwd=ROOT, stdout=subprocess.DEVNULL) as replay:
        deadline_s = time.monotonic() + PATIENCE_S
        while own_redis.llen("q") < 100:
            assert time.monotonic() < deadline_s
        replay.send_signal(signal.SIGKILL)
    moved, left = own_redis.llen("q"), own_redis.xlen("unacked.dead.letters")
    done = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, check=False)

    assert 100 <= moved < count
    assert moved + left == count
    assert done.returncode == 0, done.stderr
    assert tasks(own_redis) == [f"task-{number}" for number in range(count)]


def test_the_command_loads_neither_celery_nor_an_inference_library() -> None:
    names = ("celery", "kombu", "openvino", "numpy", "tokenizers", "torch")
    code = f"import sys, worker.__main__; print([name for name in {names} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout == "[]\n"


@pytest.mark.parametrize(
    "words", [[], ["dead-letters"], *(["dead-letters", w] for w in ("list", "show", "replay", "drop"))]
)
def test_every_command_has_help(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main([*words, "--help"])
    assert ended.value.code == 0
    assert "usage: python -m worker" in capsys.readouterr().out
