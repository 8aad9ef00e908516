"""The formats that ``map`` reads and writes; the test plays the worker."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import Result

from examples.local_stack import PATIENCE_S
from producer import InvalidRequest, ModelFailed
from producer.commands import input_formats
from producer.commands.openai_batch import error_line
from producer.commands.progress import with_progress
from producer.contract import ErrorCode, TaskName
from producer.errors import UnknownModel, WaitTimeout
from tests.producer.command_line import Invoke
from tests.producer.helpers import StockWorker, arguments_of, failure

TEXT, ZERO_SHOT, QUESTION = TaskName
Answered = Callable[..., tuple[Result, list[dict[str, Any]]]]


@pytest.fixture
def answered(invoke: Invoke, stock_worker: StockWorker, threads: ThreadPoolExecutor) -> Answered:
    """Runs ``map``; as many messages of some tasks are answered with the texts that they have."""

    def run(*arguments: str | Path, tasks: list[TaskName], given: str | None = None) -> Any:
        running = threads.submit(invoke, "map", *arguments, given=given)
        sent = []
        for task in tasks:
            message = stock_worker.take(task, bulk=True)
            sent.append(arguments_of(message))
            stock_worker.answer(message, sent[-1].get("inputs", sent[-1].get("context")))
        return running.result(PATIENCE_S), sent

    return run


def lines_of(text: str) -> list[Any]:
    return [json.loads(line) for line in text.splitlines()]


def test_a_column_of_a_csv_is_the_text_and_its_id_stands_with_the_answer(answered: Answered, tmp_path: Path) -> None:
    path = tmp_path / "reviews.csv"
    # A byte order mark, a text of two lines, one longer than the csv module's default, and an empty one.
    path.write_text(
        f'id,review,top_k\n1,"a ""b""\nc",\n2,{"x" * 140_000},\n3,,\n4,d,2\n', encoding="utf-8-sig", newline=""
    )
    result, sent = answered("--task", TEXT.value, "--column", "review", path, tasks=[TEXT, TEXT])
    assert sent == [{"inputs": 'a "b"\nc'}, {"inputs": "d", "top_k": 2}]
    assert result.exit_code == 1
    lines = lines_of(result.stdout)
    assert [line["id"] for line in lines] == ["1", "2", "3", "4"]
    assert [line.get("result") or line["error"]["code"] for line in lines] == ['a "b"\nc', "too_long", "empty", "d"]


def test_columns_may_be_called_as_the_parameters(answered: Answered, tmp_path: Path) -> None:
    path = tmp_path / "mixed.csv"
    path.write_text(
        "task,text,text_pair,inputs,candidate_labels,question,context,stars\n"
        "text-classification,a,b,,,,,5\n"
        'zero-shot-classification,,,7,"x,y",,,5\n'
        "question-answering,,,,,q?,here,5\n"
    )
    result, sent = answered(path, tasks=[TEXT, ZERO_SHOT, QUESTION])
    assert sent == [
        {"inputs": {"text": "a", "text_pair": "b"}},
        {"inputs": "7", "candidate_labels": "x,y"},
        {"question": "q?", "context": "here"},
    ]
    assert result.exit_code == 0


def test_parquet_has_values_of_its_own_types(answered: Answered, tmp_path: Path) -> None:
    path = tmp_path / "texts.parquet"
    table = {"id": [1, 2], "inputs": ["a", "b"], "top_k": [None, 2], "unused": [b"\xff", b"\xff"]}
    pq.write_table(pa.table(table), path)
    result, sent = answered("--task", TEXT.value, path, tasks=[TEXT, TEXT])
    assert sent == [{"inputs": "a"}, {"inputs": "b", "top_k": 2}]
    assert [line["id"] for line in lines_of(result.stdout)] == [1, 2]


def test_without_pyarrow_it_says_which_extra_has_it(
    invoke: Invoke, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "texts.parquet"
    path.touch()
    monkeypatch.setattr(input_formats, "find_spec", lambda _: None)
    result = invoke("map", "--task", TEXT.value, path)
    assert result.exit_code == 2
    assert "pip install 'celeriac[parquet]'" in result.stderr


def test_each_line_of_a_text_file_is_a_text(answered: Answered, tmp_path: Path) -> None:
    path = tmp_path / "tickets.txt"
    path.write_text("a, b\n\n c\n")
    options = ["--task", ZERO_SHOT.value, "--param", "candidate_labels=x,y", "--param", "multi_label=true"]
    result, sent = answered(*options, path, tasks=[ZERO_SHOT, ZERO_SHOT])
    more = {"candidate_labels": "x,y", "multi_label": True}
    assert sent == [{"inputs": "a, b", **more}, {"inputs": " c", **more}]
    assert result.exit_code == 0


def test_openai_batches_have_an_output_file_and_an_error_file(
    invoke: Invoke, stock_worker: StockWorker, threads: ThreadPoolExecutor, tmp_path: Path
) -> None:
    def line(custom_id: object, **more: Any) -> str:
        url, body = "/v1/text-classification", {"inputs": custom_id}
        return json.dumps({"custom_id": custom_id, "method": "POST", "url": url, "body": body, **more}) + "\n"

    path, output, errors = tmp_path / "batch.jsonl", tmp_path / "out.jsonl", tmp_path / "out.errors.jsonl"
    refused = [line("b", body={"inputs": ""}), line("c", url="/v1/chat/completions"), line("d", method="GET"), line(5)]
    path.write_text("".join([line("a"), *refused, "no JSON\n", line("f"), line("e")]))
    running = threads.submit(invoke, "map", "--format", "openai-batch", path, "--output", output)
    first = stock_worker.take(TEXT, bulk=True)
    stock_worker.answer(first, "A", model={"name": "m"})
    failed = stock_worker.take(TEXT, bulk=True)
    stock_worker.answer(failed, failure("WorkerLostError", ["signal 9"]), status="FAILURE")
    stock_worker.answer(stock_worker.take(TEXT, bulk=True), "E")
    result = running.result(PATIENCE_S)
    assert (result.exit_code, result.stdout, result.stderr) == (1, "", "6 requests were not answered\n")
    answer, last = lines_of(output.read_text())
    body = {"result": "A", "model": {"name": "m"}}
    response = {"status_code": 200, "request_id": first.headers["id"], "body": body}
    assert answer == {"id": answer["id"], "custom_id": "a", "response": response, "error": None}
    assert last["custom_id"] == "e"
    bad = lines_of(errors.read_text())
    assert [entry["custom_id"] for entry in bad] == ["b", "c", "d", 5, None, "f"]
    stated = [entry["response"] and entry["response"]["body"]["error"]["param"] for entry in bad]
    assert stated == ["inputs", "url", "method", "custom_id", None, None]
    assert [entry["response"]["status_code"] for entry in bad[:-1]] == [400, 404, 400, 400, 400]
    assert bad[-1]["response"] is None
    assert bad[-1]["error"] == {"code": "remote_failure", "message": "WorkerLostError: signal 9"}
    assert len({entry["id"] for entry in [answer, last, *bad]}) == 8


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (InvalidRequest.of(ErrorCode.EMPTY, "inputs: empty", field="inputs"), 400),
        (UnknownModel.of(ErrorCode.UNKNOWN_MODEL, "model: unknown", field="model"), 404),
        (ModelFailed.of(ErrorCode.MODEL_FAILED, "failed"), 500),
        (WaitTimeout("late"), None),
    ],
)
def test_an_error_has_the_status_of_http_if_there_is_one(error: Exception, status: int | None) -> None:
    line = error_line("id", "mine", error)  # type: ignore[arg-type]
    assert (line["response"] or {"status_code": None})["status_code"] == status


@pytest.mark.parametrize(
    ("name", "content", "options", "said"),
    [
        ("a.csv", "review\na\n", [], "--task"),
        ("a.csv", "review\na\n", ["--task", TEXT.value, "--column", "text"], "has the columns review"),
        ("a.csv", 'review\n"a"b\n', ["--task", TEXT.value, "--column", "review"], "line 2: not CSV"),
        ("a.parquet", "no parquet", ["--task", TEXT.value], "not Parquet"),
        ("a.txt", "a\n", [], "--task"),
        ("a.jsonl", "", ["--column", "a"], "--column is for"),
        ("a.jsonl", "", ["--errors", "e"], "--errors is for"),
        ("a.jsonl", "", ["--resume"], "--output"),
        ("a.jsonl", "", ["--format", "openai-batch"], "--output"),
        ("a.jsonl", "", ["--task", TEXT.value, "--param", "top_k=0"], "top_k: input should be greater"),
        ("a.jsonl", "", ["--task", TEXT.value, "--param", "top=1"], "top"),
        ("a.jsonl", "", ["--param", "top_k"], "NAME=VALUE"),
    ],
)  # fmt: skip
def test_wrong_usage_is_explained(
    invoke: Invoke, tmp_path: Path, name: str, content: str, options: list[str], said: str
) -> None:
    path = tmp_path / name
    path.write_text(content)
    result = invoke("map", *options, path)
    assert (result.exit_code, result.stdout) == (2, "")
    assert said in result.stderr


def test_a_bar_counts_from_what_was_done_before(capsys: pytest.CaptureFixture[str]) -> None:
    def outcomes() -> Iterator[int]:
        yield from range(3)

    assert list(with_progress(outcomes(), lambda: 5, 2, delay_s=0)) == [0, 1, 2]
    assert "5/5" in capsys.readouterr().err
    assert list(with_progress(outcomes(), lambda: 5, 2)) == [0, 1, 2]
    assert "5/5" not in capsys.readouterr().err
