"""``classify``, ``zero-shot``, ``ask``, ``status`` and ``cancel``; the test plays the worker."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import click
import pytest
import redis
from click.testing import Result

from examples.local_stack import PATIENCE_S, LocalServer
from producer.commands.group import COMMANDS, CommandGroup
from producer.commands.parameters import OPTION_OF
from producer.contract import QuestionAnsweringRequest, Request, TaskName, TextClassificationRequest
from producer.contract import ZeroShotClassificationRequest as ZeroShotRequest
from tests.producer.command_line import Invoke
from tests.producer.helpers import StockWorker, arguments_of, queued, store, wait_until

POSITIVE = [{"label": "POSITIVE", "score": 0.98765}]
SPAN = {"score": 0.5, "start": 3, "end": 7, "answer": "here"}
TEXT, ZERO_SHOT, QUESTION = TaskName


def lines_of(result: Result) -> list[Any]:
    return [json.loads(line) for line in result.stdout.splitlines()]


@pytest.mark.parametrize(
    ("arguments", "task", "sent", "answer"),
    [
        (["classify", "a"], TEXT, {"inputs": "a"}, POSITIVE),
        (["classify", "--top-k", "all", "--truncation", "false", "--model", "m", "a"], TEXT,
         {"inputs": "a", "top_k": None, "truncation": False, "model": "m"}, POSITIVE),
        (["classify", "--text-pair", "b", "--truncation", "windows", "--doc-stride", "0", "a"], TEXT,
         {"inputs": {"text": "a", "text_pair": "b"}, "truncation": "windows", "doc_stride": 0}, POSITIVE),
        (["zero-shot", "--labels", "x,y", "--multi-label", "a"], ZERO_SHOT,
         {"inputs": "a", "candidate_labels": "x,y", "multi_label": True}, {"labels": ["x"], "scores": [0.5]}),
        (["ask", "--question", "q?", "--top-k", "2", "--no-align-to-words", "here"], QUESTION,
         {"question": "q?", "context": "here", "top_k": 2, "align_to_words": False}, [SPAN]),
        (["ask", "--question", "q?", "-"], QUESTION, {"question": "q?", "context": "one\ntwo\n"}, SPAN),
    ],
)  # fmt: skip
def test_a_command_sends_its_options_and_prints_a_line_of_json(
    invoke: Invoke,
    stock_worker: StockWorker,
    threads: ThreadPoolExecutor,
    arguments: list[str],
    task: TaskName,
    sent: dict[str, Any],
    answer: Any,
) -> None:
    running = threads.submit(invoke, *arguments, given="one\ntwo\n")
    message = stock_worker.take(task)
    assert arguments_of(message) == sent
    stock_worker.answer(message, answer, model={"name": "m"})
    result = running.result(PATIENCE_S)
    assert (result.exit_code, lines_of(result)) == (0, [{"result": answer, "model": {"name": "m"}}])


def test_several_texts_are_answered_in_their_order_and_one_that_is_not_is_an_error(
    invoke: Invoke, stock_worker: StockWorker, threads: ThreadPoolExecutor
) -> None:
    running = threads.submit(invoke, "classify", given="a\n\nb\udcff\nc\n".encode(errors="surrogateescape"))
    for _ in range(2):
        message = stock_worker.take(TEXT)
        stock_worker.answer(message, arguments_of(message)["inputs"])
    result = running.result(PATIENCE_S)
    assert result.exit_code == 1
    first, refused, last = lines_of(result)
    assert (first["result"], refused["error"]["code"], last["result"]) == ("a", "invalid_character", "c")


def test_a_person_at_a_terminal_gets_a_table(own_server: LocalServer, stock_worker: StockWorker) -> None:
    controller, terminal = os.openpty()
    with os.fdopen(controller, "rb", buffering=0) as shown:
        with os.fdopen(terminal, "wb", buffering=0) as slave:
            arguments = [sys.executable, "-m", "producer", "classify", "--broker-url", own_server.url, "a  b"]
            with subprocess.Popen(arguments, stdout=slave) as running:
                stock_worker.answer(stock_worker.take(TEXT), POSITIVE)
                assert running.wait(PATIENCE_S) == 0
        assert shown.read(4096).split() == [b"0.9877", b"POSITIVE", b"a", b"b"]


@pytest.mark.parametrize(
    ("arguments", "names"),
    [
        (["classify", "--top-k", "0", "a"], ["--top-k", "1"]),
        (["classify", "--top-k", "some", "a"], ["--top-k", "'some'"]),
        (["classify", "--max-seq-len", "3", "a"], ["--max-seq-len", "32"]),
        (["classify", "--truncation", "maybe", "a"], ["--truncation", "windows"]),
        (["zero-shot", "--labels", "x" * 501, "a"], ["--labels", "500"]),
        (["zero-shot", "--labels", "x", "--hypothesis-template", "none", "a"], ["--hypothesis-template", "{}"]),
        (["zero-shot", "a"], ["--labels"]),
        (["ask", "--question", "q?", "--top-k", "101", "a"], ["--top-k", "100"]),
        (["ask", "--question", "q?", "--doc-stride", "400", "a"], ["--doc-stride", "384"]),
        (["classify", "--timeout-s", "604801", "a"], ["--timeout-s", "604800"]),
        (["classify", "--broker-url", "http://localhost", "a"], ["broker_url"]),
        (["clasify", "a"], ["'clasify'", "classify"]),
        (["status"], ["ID"]),
    ],
    ids=lambda value: " ".join(value)[:40],
)
def test_a_bad_option_is_named_with_its_limit_before_anything_is_sent(
    invoke: Invoke, own_redis: redis.Redis, arguments: list[str], names: list[str]
) -> None:
    result = invoke(*arguments)
    assert result.exit_code == 2
    assert [name for name in names if name not in result.stderr.partition("Error: ")[2]] == []
    assert queued(own_redis) == []


def test_a_worker_that_does_not_answer_ends_the_command_with_what_to_do(invoke: Invoke, unreachable: str) -> None:
    late = invoke("classify", "--timeout-s", "0.3", "a")
    assert (late.exit_code, late.stdout) == (3, "")
    assert "check that a worker runs" in late.stderr
    away = invoke("classify", "--timeout-s", "0.3", "--broker-url", unreachable, "a")
    assert (away.exit_code, away.stdout) == (3, "")
    assert away.stderr.endswith("check that the server of --broker-url or CELERIAC_BROKER_URL is running\n")


def test_status_says_how_far_requests_are(invoke: Invoke, own_redis: redis.Redis) -> None:
    store(own_redis, "done", "a")
    result = invoke("status", "done", "unknown")
    assert result.exit_code == 0
    assert lines_of(result) == [{"id": "done", "status": "succeeded"}, {"id": "unknown", "status": "pending"}]


def test_cancel_tells_the_workers(invoke: Invoke, own_redis: redis.Redis) -> None:
    with own_redis.pubsub() as heard:
        heard.subscribe("/0.celery.pidbox")
        wait_until(lambda: (heard.get_message() or {"type": ""})["type"] == "subscribe")
        result = invoke("cancel", "mine")
        assert (result.exit_code, lines_of(result)) == (0, [{"id": "mine", "cancel": "sent"}])
        orders: list[Any] = []

        def told() -> bool:
            orders.extend(filter(None, [heard.get_message()]))
            return bool(orders)

        wait_until(told)
    body = base64.b64decode(json.loads(orders[0]["data"])["body"])
    assert json.loads(body)["arguments"]["request_ids"] == ["mine"]


@pytest.mark.parametrize(
    ("name", "schema"),
    [("classify", TextClassificationRequest), ("zero-shot", ZeroShotRequest), ("ask", QuestionAnsweringRequest)],
)
def test_a_command_has_an_option_for_each_parameter_of_the_contract(name: str, schema: type[Request]) -> None:
    found = CommandGroup().get_command(click.Context(click.Command("producer")), name)
    options = {option for parameter in found.params for option in parameter.opts}
    parameters = set(schema.model_fields) - {"inputs", "context"}
    expected = {OPTION_OF.get(parameter, f"--{parameter.replace('_', '-')}") for parameter in parameters}
    assert expected <= options


@pytest.mark.parametrize("name", COMMANDS)
def test_help_has_examples_and_exit_statuses_and_loads_neither_celery_nor_pydantic(name: str) -> None:
    code = (
        "import sys; from producer.__main__ import main\n"
        f"try: main([{name!r}, '--help'])\n"
        "except SystemExit: print(sorted({'celery', 'redis', 'pydantic', 'tqdm', 'config'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=Path(__file__).parents[3]
    )
    assert f"    python -m producer {name} " in done.stdout
    assert "Exit status: 0" in done.stdout
    assert done.stdout.endswith("\n[]\n")
