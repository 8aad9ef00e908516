"""``map --resume``: an output is gone on with, and nothing is computed twice; the test plays the worker."""

from __future__ import annotations

import fcntl
import json
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import redis

from examples.local_stack import PATIENCE_S
from producer.commands.failures import Failure
from producer.commands.journal import Journal, journal_path
from producer.commands.records import InOrder, Record
from producer.contract import ErrorCode, TextClassificationRequest
from producer.errors import InvalidRequest
from producer.outcomes import Answer
from tests.producer.command_line import TEXT, Command, Invoke, finish, lines_file, request
from tests.producer.helpers import StockWorker, arguments_of, failure, queued, wait_until


def answers_in(output: Path) -> list[Any]:
    return [json.loads(line) for line in output.read_text().splitlines()] if output.exists() else []


def upper(arguments: dict[str, Any]) -> Any:
    inputs = arguments["inputs"]
    return [text.upper() for text in inputs] if isinstance(inputs, list) else inputs.upper()


def test_a_run_that_was_killed_goes_on_without_computing_anything_twice(
    command: Command, stock_worker: StockWorker, tmp_path: Path, own_redis: redis.Redis
) -> None:
    output = tmp_path / "answers.jsonl"
    path = lines_file(tmp_path, *(request(letter, id=number) for number, letter in enumerate("abcdefghij")))
    arguments = ["--output", output, "--resume", "--in-flight", "3", "--timeout-s", f"{PATIENCE_S:g}", path]
    killed, taken = command(*arguments), []

    def take() -> Any:
        message = stock_worker.take(TEXT, bulk=True)
        inputs = arguments_of(message)["inputs"]
        taken.extend(inputs if isinstance(inputs, list) else [inputs])
        return message

    # a, b and c are sent by themselves; then, once two are answered, messages of two and more.
    for message in (take(), take()):
        stock_worker.answer(message, upper(arguments_of(message)))
    wait_until(lambda: len(answers_in(output)) == 2)
    third, fourth = take(), take()
    wait_until(lambda: len(queued(own_redis, "text-classification.bulk")) == 1)
    # The journal says of all five that they were sent.
    wait_until(lambda: len(journal_path(output).read_bytes().splitlines()) == 1 + 2 * 5)
    killed.send_signal(signal.SIGKILL)
    killed.wait(PATIENCE_S)
    with output.open("ab") as file:
        file.write(b'{"id": 2, "resu')
    # One message is answered while nobody waits, one afterwards, and one is still in its queue.
    stock_worker.answer(fourth, upper(arguments_of(fourth)))
    resumed = command(*arguments)
    stock_worker.answer(third, upper(arguments_of(third)))
    while len(taken) < 10:
        message = take()
        stock_worker.answer(message, upper(arguments_of(message)))
    assert finish(resumed) == (0, [], "")
    assert taken == list("abcdefghij")
    assert [(line["id"], line["result"]) for line in answers_in(output)] == list(enumerate("ABCDEFGHIJ"))
    assert queued(own_redis, "text-classification.bulk") == []


@pytest.fixture
def texts(tmp_path: Path) -> Path:
    return lines_file(tmp_path, request("a"), request(""), request("c"))


def test_an_output_that_is_whole_is_left_as_it_is(
    invoke: Invoke, stock_worker: StockWorker, threads: ThreadPoolExecutor, texts: Path, tmp_path: Path
) -> None:
    output = tmp_path / "out.jsonl"
    running = threads.submit(invoke, "map", texts, "--output", output)
    for _ in "ac":
        stock_worker.answer(stock_worker.take(TEXT, bulk=True), "A")
    assert (running.result(PATIENCE_S).exit_code, len(answers_in(output))) == (1, 3)
    again = invoke("map", texts, "--output", output)
    assert again.exit_code == 2
    assert "exists; go on with it with --resume" in again.stderr
    whole = output.read_bytes()
    resumed = invoke("map", texts, "--output", output, "--resume")
    assert (resumed.exit_code, resumed.stderr) == (1, "1 requests were not answered\n")
    assert output.read_bytes() == whole


def test_what_no_worker_answers_is_no_answer_and_comes_when_it_is_resumed(
    invoke: Invoke, stock_worker: StockWorker, threads: ThreadPoolExecutor, texts: Path, tmp_path: Path
) -> None:
    output = tmp_path / "out.jsonl"
    arguments = ["map", texts, "--output", output, "--resume"]
    late = invoke(*arguments, "--timeout-s", "0.3")
    assert (late.exit_code, answers_in(output)) == (3, [])
    assert late.stderr.endswith("What is answered is kept; go on with --resume\n")
    running = threads.submit(invoke, *arguments)
    for _ in "ac":
        stock_worker.answer(stock_worker.take(TEXT, bulk=True), "A")
    assert running.result(PATIENCE_S).exit_code == 1
    assert ["error" in line for line in answers_in(output)] == [False, True, False]


def test_both_files_of_a_batch_say_how_far_it_is(
    command: Command, invoke: Invoke, stock_worker: StockWorker, tmp_path: Path
) -> None:
    output, errors = tmp_path / "out.jsonl", tmp_path / "errors.jsonl"
    line = {"method": "POST", "url": "/v1/text-classification"}
    texts = {"a": "a", "b": "", "c": "c", "d": ""}
    path = lines_file(tmp_path, *({**line, "custom_id": i, "body": {"inputs": text}} for i, text in texts.items()))
    options = ["--format", "openai-batch", "--output", output, "--errors", errors, "--resume"]
    running = command(path, *options, "--timeout-s", f"{PATIENCE_S:g}")
    stock_worker.answer(stock_worker.take(TEXT, bulk=True), "A")
    left = stock_worker.take(TEXT, bulk=True)
    wait_until(lambda: len(answers_in(output)) == len(answers_in(errors)) == 1)
    running.send_signal(signal.SIGINT)
    assert finish(running) == (130, [], "error: interrupted. What is answered is kept; go on with --resume\n")
    assert [[line["custom_id"] for line in answers_in(file)] for file in (output, errors)] == [["a"], ["b"]]
    stock_worker.answer(left, "C")
    assert invoke("map", path, *options).exit_code == 1
    assert [[line["custom_id"] for line in answers_in(file)] for file in (output, errors)] == [["a", "c"], ["b", "d"]]


@pytest.mark.parametrize("change", ["size", "beginning", "option"])
def test_an_output_of_something_else_is_refused(invoke: Invoke, texts: Path, tmp_path: Path, change: str) -> None:
    output = tmp_path / "out.jsonl"
    arguments = ["map", texts, "--output", output, "--resume", "--timeout-s", "0.1"]
    assert invoke(*arguments).exit_code == 3
    if change == "size":
        texts.write_bytes(texts.read_bytes() + b"\n")
    elif change == "beginning":
        texts.write_bytes(texts.read_bytes().replace(b'"a"', b'"b"'))
    result = invoke(*arguments, *(["--param", "top_k=2"] if change == "option" else []))
    assert result.exit_code == 2
    named = {"size": "the input's bytes", "beginning": "the input's head_sha256", "option": "--param"}
    assert f"made from something else: {named[change]}" in result.stderr


def test_an_output_without_a_journal_and_one_that_is_being_written_are_refused(
    invoke: Invoke, texts: Path, tmp_path: Path
) -> None:
    output = tmp_path / "out.jsonl"
    output.write_text("mine")
    result = invoke("map", texts, "--output", output, "--resume")
    assert (result.exit_code, output.read_text()) == (2, "mine")
    assert "has no journal" in result.stderr
    with journal_path(output).open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        result = invoke("map", texts, "--output", output, "--resume")
    assert (result.exit_code, output.read_text()) == (2, "mine")
    assert "another process writes" in result.stderr
    journal_path(output).write_text("[1]\n")
    result = invoke("map", texts, "--output", output, "--resume")
    assert result.exit_code == 2
    assert "is not the journal of a map" in result.stderr


def test_a_journal_begins_with_the_first_message_that_has_a_record_without_an_outcome(tmp_path: Path) -> None:
    path = tmp_path / "out.run"
    with Journal(path, is_new=True) as journal:
        journal.begin({"input": 1}, 0)
        ids = [journal.enter(*entry).request_id for entry in [(0, 4, 5, 1), (5, 9, 3, 1), (11, 11, 1, 1), (6, 6, 1, 1)]]
        journal.sent(ids[1])
        with pytest.raises(Failure):
            Journal(path, is_new=False)
    with path.open("ab") as file:
        file.write(b"[12, 1")
    with Journal(path, is_new=False) as journal:
        journal.begin({"input": 1}, 7)
        assert (journal.start, journal.sizes) == (5, (3, 1))
        found = [journal.enter(*entry) for entry in [(5, 9, 3, 1), (11, 11, 1, 1), (6, 6, 1, 2), (12, 12, 1, 1)]]
        assert [message.may_be_sent for message in found] == [True, True, False, False]
        assert [message.is_unsure for message in found] == [False, True, False, False]
        assert found[0].request_id == ids[1]
        assert len({*ids, *(message.request_id for message in found)}) == 6
        assert found[1].request_id == ids[2]


def test_many_invalid_records_in_a_row_do_not_gather_in_memory() -> None:
    error = InvalidRequest.of(ErrorCode.EMPTY, "inputs: empty", field="inputs")
    valid = TextClassificationRequest.parse({"inputs": "a"})
    read = 0

    def records() -> Iterator[Record]:
        nonlocal read
        for number in range(5000):
            read += 1
            yield Record(number, valid if number % 2500 == 0 else error)

    ahead, numbers = [], []
    for record, outcome in InOrder(records()).run(lambda requests, _: (Answer("i", r, None) for r in requests)):
        ahead.append(read - record.number)
        numbers.append(record.number)
        assert isinstance(outcome, Answer) == (record.number % 2500 == 0)
    assert numbers == list(range(5000))
    assert max(ahead) <= 1001


def test_a_message_that_failed_as_a_whole_is_resumed_in_its_parts(
    command: Command, invoke: Invoke, stock_worker: StockWorker, tmp_path: Path
) -> None:
    output = tmp_path / "out.jsonl"
    path = lines_file(tmp_path, *(request(letter) for letter in "abc"))
    arguments = [path, "--output", output, "--resume", "--in-flight", "1", "--timeout-s", f"{PATIENCE_S:g}"]
    running = command(*arguments)
    stock_worker.answer(stock_worker.take(TEXT, bulk=True), "A")
    together = stock_worker.take(TEXT, bulk=True)
    assert arguments_of(together)["inputs"] == ["b", "c"]
    stock_worker.answer(together, failure("WorkerLostError", ["signal 9"]), status="FAILURE")
    parts = [stock_worker.take(TEXT, bulk=True) for _ in "bc"]
    stock_worker.answer(parts[0], "B")
    wait_until(lambda: len(answers_in(output)) == 2)
    running.send_signal(signal.SIGINT)
    assert finish(running)[0] == 130
    stock_worker.answer(parts[1], "C")
    assert invoke("map", *arguments).exit_code == 0
    assert [line["result"] for line in answers_in(output)] == ["A", "B", "C"]
