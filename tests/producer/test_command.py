"""``python -m producer`` as a separate process with a real server; the test plays the worker."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import redis

from examples.local_stack import PATIENCE_S, LocalServer
from producer import InvalidRequest, QueueClass
from producer.contract import ErrorCode, TaskName

from .command_line import ROOT, TEXT, Command, finish, lines_file, request
from .helpers import MARKER, StockWorker, arguments_of, failure, queued, store, wait_until

MODEL = {"name": "m", "revision": "r"}


def test_answers_are_lines_in_the_order_of_the_requests_with_their_ids(
    command: Command, stock_worker: StockWorker, tmp_path: Path
) -> None:
    path = lines_file(
        tmp_path,
        request("a", id="mine"),
        {"id": 7, "task": "zero-shot-classification", "inputs": "b", "candidate_labels": "x, y"},
        {"task": "question-answering", "question": "c?", "context": "d", "top_k": 2},
        request("e", id={"row": [1, None]}),
    )
    running = command(path)
    tasks = [TEXT, TaskName.ZERO_SHOT_CLASSIFICATION, TaskName.QUESTION_ANSWERING, TEXT]
    messages = [stock_worker.take(task, bulk=True) for task in tasks]
    assert [arguments_of(message) for message in messages] == [
        {"inputs": "a"},
        {"inputs": "b", "candidate_labels": "x, y"},
        {"question": "c?", "context": "d", "top_k": 2},
        {"inputs": "e"},
    ]
    for number, message in reversed(list(enumerate(messages))):
        stock_worker.answer(message, [number], model=MODEL)
    assert finish(running) == (
        0,
        [
            {"id": "mine", "result": [0], "model": MODEL},
            {"id": 7, "result": [1], "model": MODEL},
            {"result": [2], "model": MODEL},
            {"id": {"row": [1, None]}, "result": [3], "model": MODEL},
        ],
        "",
    )


def test_lines_of_a_pipe_are_sent_and_answered_before_it_ends(command: Command, stock_worker: StockWorker) -> None:
    running = command("--in-flight", "1")
    assert running.stdin is not None
    assert running.stdout is not None
    for text in ("a", "ü"):
        running.stdin.write(json.dumps(request(text)).encode() + b"\n")
        running.stdin.flush()
        message = stock_worker.take(TEXT, bulk=True)
        stock_worker.answer(message, arguments_of(message)["inputs"])
        assert json.loads(running.stdout.readline()) == {"result": text, "model": None}
    assert finish(running) == (0, [], "")


@pytest.mark.parametrize("given", [b"", b"\n", b" \r\n\n\t"])
def test_blank_lines_are_no_requests_and_need_no_server(command: Command, unreachable: str, given: bytes) -> None:
    assert finish(command(url=unreachable), given) == (0, [], "")


REFUSED: list[tuple[object, ErrorCode, str | None, object]] = [
    (f"{MARKER} is no JSON".encode(), ErrorCode.UNREADABLE_MESSAGE, None, None),
    (b'{"task": "text-classification", "inputs": "Geheimnis', ErrorCode.UNREADABLE_MESSAGE, None, None),
    (b"[" * 100_000, ErrorCode.UNREADABLE_MESSAGE, None, None),
    ([request(MARKER)], ErrorCode.WRONG_TYPE, None, None),
    (MARKER, ErrorCode.WRONG_TYPE, None, None),
    ({"inputs": MARKER}, ErrorCode.UNKNOWN_TASK, "task", None),
    ({"task": MARKER, "inputs": "a"}, ErrorCode.UNKNOWN_TASK, "task", None),
    ({"task": None, "inputs": MARKER}, ErrorCode.UNKNOWN_TASK, "task", None),
    ({"task": [TEXT.value], "inputs": MARKER}, ErrorCode.UNKNOWN_TASK, "task", None),
    (request(""), ErrorCode.EMPTY, "inputs", None),
    (request(MARKER, top_k=0), ErrorCode.OUT_OF_RANGE, "top_k", 1),
    (request(MARKER, topk=1), ErrorCode.UNKNOWN_PARAMETER, "topk", None),
    (request(f"{MARKER} \ud83d"), ErrorCode.INVALID_CHARACTER, "inputs", None),
    (
        b'{"task": "text-classification", "inputs": "Geheimnis caf\xe9"}',
        ErrorCode.INVALID_CHARACTER,
        "inputs",
        None,
    ),
    (
        {"task": "question-answering", "question": MARKER, "context": MARKER, "top_k": 101},
        ErrorCode.OUT_OF_RANGE,
        "top_k",
        100,
    ),
    (request([MARKER + "é" * 99_000] * 3), ErrorCode.TOO_LARGE, None, 1024 * 1024),  # type: ignore[arg-type]
]


def test_a_line_that_is_refused_is_an_error_in_its_place_and_the_others_are_answered(
    command: Command, stock_worker: StockWorker, tmp_path: Path
) -> None:
    refused = [line for line, *_ in REFUSED]
    # Each invalid line is followed by a valid one; two more invalid ones follow at the end.
    lines = [line for number, bad in enumerate(refused) for line in (bad, request("a", id=number))]
    running = command(lines_file(tmp_path, *lines, *refused[:2]))
    for _ in refused:
        stock_worker.answer(stock_worker.take(TEXT, bulk=True), "A")
    status, output, printed = finish(running)
    assert (status, printed) == (1, f"{len(refused) + 2} requests were not answered\n")
    assert output[1:-2:2] == [{"id": number, "result": "A", "model": None} for number, _ in enumerate(refused)]
    errors = [line["error"] for line in (*output[:-2:2], *output[-2:])]
    named = [(error["code"], error["field"], error["limit"]) for error in errors]
    assert named == [(code.value, field, limit) for _, code, field, limit in (*REFUSED, *REFUSED[:2])]
    assert all(error["message"] for error in errors)
    assert MARKER not in json.dumps(output)


def test_a_refused_line_keeps_its_id(command: Command, unreachable: str) -> None:
    lines = [{"id": 1}, {"id": "two", "task": TEXT.value}, {"id": [3], "task": "none"}]
    status, output, _ = finish(command(url=unreachable), "\n".join(map(json.dumps, lines)).encode())
    assert (status, [line["id"] for line in output]) == (1, [1, "two", [3]])


def test_output_is_utf_8_whatever_the_locale_and_half_a_surrogate_pair_stays_an_escape(
    command: Command, stock_worker: StockWorker, tmp_path: Path
) -> None:
    path = lines_file(tmp_path, request("a", id="\ud83d"))
    running = command(path, PYTHONIOENCODING="ascii")
    stock_worker.answer(stock_worker.take(TEXT, bulk=True), "ü\U0001f600")
    out, _ = running.communicate(timeout=PATIENCE_S)
    assert running.returncode == 0
    assert out.decode() == '{"id": "\\ud83d", "result": "ü\U0001f600", "model": null}\n'


def test_requests_that_fail_are_errors_in_their_places_and_the_status_says_so(
    command: Command, stock_worker: StockWorker, tmp_path: Path
) -> None:
    running = command(lines_file(tmp_path, *(request(text, id=text) for text in "abcd")))
    messages = [stock_worker.take(TEXT, bulk=True) for _ in range(4)]
    refused = InvalidRequest.of(ErrorCode.TOO_MANY_TOKENS, "inputs: too long", field="inputs", limit=512).args
    stock_worker.answer(messages[0], failure("InvalidRequest", list(refused)), status="FAILURE")
    stock_worker.answer(messages[1], failure("WorkerLostError", ["signal 9"]), status="FAILURE")
    # A code from a newer worker, which this version does not know.
    unknown = ["later", {"code": "of_tomorrow", "field": None, "limit": None}]
    stock_worker.answer(messages[2], failure("ModelFailed", unknown), status="FAILURE")
    stock_worker.answer(messages[3], "d")
    status, output, printed = finish(running)
    assert (status, printed) == (1, "3 requests were not answered\n")
    details = {"code": "too_many_tokens", "field": "inputs", "limit": 512}
    assert output == [
        {"id": "a", "error": {"message": "inputs: too long", **details}},
        {"id": "b", "error": {"message": "RemoteFailure: WorkerLostError: signal 9"}},
        {"id": "c", "error": {"message": "later", "code": "of_tomorrow", "field": None, "limit": None}},
        {"id": "d", "result": "d", "model": None},
    ]


def test_a_request_that_nobody_answers_in_time_is_an_error(command: Command, tmp_path: Path) -> None:
    status, output, _ = finish(command("--timeout-s", "0.5", lines_file(tmp_path, request("a", id=1))))
    assert status == 1
    assert output[0]["id"] == 1
    assert output[0]["error"]["message"].startswith("WaitTimeout: ")


def test_an_answer_with_errors_of_single_items_is_an_answer(
    command: Command, stock_worker: StockWorker, tmp_path: Path
) -> None:
    running = command(lines_file(tmp_path, request("a")))
    result = [[{"label": "x", "score": 0.5}], {"error": {"code": "too_long", "message": "…", "field": None}}]
    stock_worker.answer(stock_worker.take(TEXT, bulk=True), result)
    assert finish(running) == (0, [{"result": result, "model": None}], "")


@pytest.mark.parametrize(
    "options",
    [
        ["no-such-file.jsonl"],
        ["."],
        ["--no-such-option"],
        ["--in-flight", "0"],
        ["--in-flight", "many"],
        ["--timeout-s", "0"],
        ["--timeout-s", "nan"],
        ["--timeout-s", "604801"],
        ["--queue-class", "fast"],
        ["--broker-url", "http://localhost"],
        ["--result-backend-url", "localhost:6379"],
    ],
    ids=" ".join,
)
def test_wrong_usage_is_told_before_anything_is_sent(
    command: Command, own_redis: redis.Redis, options: list[str]
) -> None:
    status, output, printed = finish(command(*options), json.dumps(request("a")).encode())
    assert (status, output) == (2, [])
    assert printed.startswith("Usage: python -m producer ")
    assert "Error: " in printed
    assert queued(own_redis, "text-classification.bulk") == []


def test_without_a_broker_it_says_so(command: Command, unreachable: str, tmp_path: Path) -> None:
    path = lines_file(tmp_path, request(MARKER))
    status, output, printed = finish(command("--timeout-s", "0.3", path, url=unreachable))
    assert (status, output) == (3, [])
    assert printed.startswith("error: the broker did not accept the request: ")
    assert printed.endswith("; check that the server of --broker-url or CELERIAC_BROKER_URL is running\n")
    assert MARKER not in printed


@pytest.mark.parametrize("flag", ["-h", "--help"])
def test_help_names_the_commands_the_old_form_and_the_exit_statuses(command: Command, flag: str) -> None:
    out, err = command(flag, url=None).communicate(timeout=PATIENCE_S)
    printed = " ".join(out.decode().split())
    assert err == b""
    for text in ("classify", "zero-shot", "ask", "map", "status", "cancel"):
        assert f" {text} " in printed
    assert "`python -m producer FILE` is `python -m producer map FILE`" in printed
    assert "Exit status: 0 if every request was answered, 1 if one was not, 2 for a usage error, 3" in printed


def test_the_environment_names_the_servers_that_no_option_names(
    command: Command, own_server: LocalServer, stock_worker: StockWorker, tmp_path: Path
) -> None:
    results_url = f"{own_server.url.removesuffix('/0')}/1"
    running = command(
        lines_file(tmp_path, request("a")),
        url=None,
        CELERIAC_BROKER_URL=own_server.url,
        CELERIAC_RESULT_BACKEND_URL=results_url,
    )
    message = stock_worker.take(TEXT, bulk=True)
    with redis.Redis.from_url(results_url) as results:
        store(results, message.headers["id"], "a")
    assert finish(running) == (0, [{"result": "a", "model": None}], "")


@pytest.mark.parametrize("queue_class", QueueClass)
def test_a_queue_class_is_chosen(
    command: Command, stock_worker: StockWorker, tmp_path: Path, queue_class: QueueClass
) -> None:
    running = command("--queue-class", queue_class.value, lines_file(tmp_path, request("a")))
    stock_worker.answer(stock_worker.take(TEXT, bulk=queue_class is QueueClass.BULK), "a")
    assert finish(running) == (0, [{"result": "a", "model": None}], "")


def test_no_more_than_may_be_in_flight_are_sent(
    command: Command, own_redis: redis.Redis, stock_worker: StockWorker, tmp_path: Path
) -> None:
    running = command("--in-flight", "2", lines_file(tmp_path, *(request(text) for text in "abc")))
    first = stock_worker.take(TEXT, bulk=True)
    wait_until(lambda: len(queued(own_redis, "text-classification.bulk")) == 1)
    stock_worker.answer(first, 0)
    for number in (1, 2):
        stock_worker.answer(stock_worker.take(TEXT, bulk=True), number)
    assert [line["result"] for line in finish(running)[1]] == [0, 1, 2]


@pytest.mark.parametrize(
    ("file", "text"),
    [
        (".env", "CELERIAC_BROKER_URL={url}\nCELERIAC_RESULT_BACKEND_URL={url}\n"),
        ("celeriac.toml", 'broker_url = "{url}"\nresult_backend_url = "{url}"\n'),
    ],
)
def test_the_servers_are_those_of_the_settings(
    own_server: LocalServer, stock_worker: StockWorker, tmp_path: Path, file: str, text: str
) -> None:
    (tmp_path / file).write_text(text.format(url=own_server.url))
    with running_in(tmp_path) as process:
        stock_worker.answer(stock_worker.take(TEXT, bulk=True), "a")
        assert finish(process)[:2] == (0, [{"result": "a", "model": None}])


def test_a_package_of_the_service_that_is_called_config_is_not_run(
    own_server: LocalServer, stock_worker: StockWorker, tmp_path: Path
) -> None:
    (tmp_path / "config.py").write_text("raise RuntimeError('the service starts')\n")
    (tmp_path / ".env").write_text("CELERIAC_BROKER_URL=redis://nowhere.invalid\n")
    with running_in(tmp_path, CELERIAC_BROKER_URL=own_server.url) as process:
        stock_worker.answer(stock_worker.take(TEXT, bulk=True), "a")
        assert finish(process)[:2] == (0, [{"result": "a", "model": None}])


def running_in(place: Path, **environment: str) -> subprocess.Popen[bytes]:
    """The command with one request, run in a given directory without options."""
    path = lines_file(place, request("a"))
    return subprocess.Popen(
        [sys.executable, "-m", "producer", path],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=place,
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
    )
