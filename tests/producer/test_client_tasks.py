"""What ``classify_zero_shot`` and ``answer`` enqueue, as plain Celery reads it, and what they return."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import redis

from examples.local_stack import PATIENCE_S
from producer import Client, InvalidRequest, ModelFailed, WaitTimeout
from producer.contract import CONTRACT_VERSION, VERSION_HEADER, ErrorCode, TaskName

from .helpers import MARKER, StockWorker, arguments_of, failure, queued

ZERO_SHOT = TaskName.ZERO_SHOT_CLASSIFICATION
QUESTION = TaskName.QUESTION_ANSWERING
RANKED = {"sequence": "a", "labels": ["x", "y"], "scores": [0.9, 0.1]}
SPAN = {"score": 0.9, "start": 0, "end": 1, "answer": "b"}
ITEM_FAILURE = {"error": {"code": "empty", "message": "inputs[1]: …", "field": "inputs[1]", "limit": None}}

Call = Callable[[Client], object]

#: A call, its task, the arguments that it sends, and a possible result.
CALLS: list[tuple[Call, TaskName, dict[str, Any], Any]] = [
    (
        lambda client: client.classify_zero_shot("a", ["x", "y"]),
        ZERO_SHOT,
        {"inputs": "a", "candidate_labels": ["x", "y"]},
        RANKED,
    ),
    (
        lambda client: client.classify_zero_shot("a", "x, y", multi_label=True, hypothesis_template="{}?", model="m"),
        ZERO_SHOT,
        {
            "inputs": "a",
            "candidate_labels": "x, y",
            "multi_label": True,
            "hypothesis_template": "{}?",
            "model": "m",
        },
        RANKED,
    ),
    (
        lambda client: client.classify_zero_shot(
            "a", ["x", "y"], truncation="windows", combine_windows="max", max_seq_len=64, doc_stride=9
        ),
        ZERO_SHOT,
        {
            "inputs": "a",
            "candidate_labels": ["x", "y"],
            "truncation": "windows",
            "combine_windows": "max",
            "max_seq_len": 64,
            "doc_stride": 9,
        },
        RANKED,
    ),
    (
        lambda client: client.classify_zero_shot(("a", "b"), ("x", "y")),
        ZERO_SHOT,
        {"inputs": ["a", "b"], "candidate_labels": ["x", "y"]},
        [RANKED, ITEM_FAILURE],
    ),
    (lambda client: client.answer("a?", "b"), QUESTION, {"question": "a?", "context": "b"}, SPAN),
    (
        lambda client: client.answer("ü?", "\U0001f600", top_k=3, doc_stride=10, max_seq_len=40, align_to_words=False),
        QUESTION,
        {
            "question": "ü?",
            "context": "\U0001f600",
            "top_k": 3,
            "doc_stride": 10,
            "max_seq_len": 40,
            "align_to_words": False,
        },
        [SPAN, SPAN],
    ),
    (
        lambda client: client.answer(("a?", "b?"), ["c", "d"], handle_impossible_answer=True),
        QUESTION,
        {"question": ["a?", "b?"], "context": ["c", "d"], "handle_impossible_answer": True},
        [SPAN, ITEM_FAILURE],
    ),
]


@pytest.mark.parametrize(("call", "task", "sent", "result"), CALLS)
def test_plain_celery_reads_what_a_call_sends_and_the_call_returns_what_it_stored(
    own_client: Client,
    stock_worker: StockWorker,
    threads: ThreadPoolExecutor,
    call: Call,
    task: TaskName,
    sent: dict[str, Any],
    result: Any,
) -> None:
    waiting = threads.submit(call, own_client)
    message = stock_worker.take(task)
    assert arguments_of(message) == sent
    stock_worker.answer(message, result)
    assert waiting.result(timeout=PATIENCE_S) == result


@pytest.mark.parametrize(("call", "task", "sent"), [call[:3] for call in CALLS])
def test_headers_name_version_deadline_and_parameters_but_no_text(
    own_client: Client,
    stock_worker: StockWorker,
    threads: ThreadPoolExecutor,
    call: Call,
    task: TaskName,
    sent: dict[str, Any],
) -> None:
    waiting = threads.submit(call, own_client)
    message = stock_worker.take(task)
    assert message.headers[VERSION_HEADER] == CONTRACT_VERSION
    assert message.headers["expires"] is not None
    assert message.headers["kwargsrepr"] == f"<{', '.join(sorted(sent))}>"
    stock_worker.answer(message, None)
    waiting.result(timeout=PATIENCE_S)


@pytest.mark.parametrize(
    ("call", "field"),
    [
        (lambda client: client.classify_zero_shot("", ["x"]), "inputs"),
        (lambda client: client.classify_zero_shot(["a", ""], ["x"]), "inputs[1]"),
        (lambda client: client.classify_zero_shot({"a"}, ["x"]), "inputs"),
        (lambda client: client.classify_zero_shot(b"a", ["x"]), "inputs"),
        (lambda client: client.classify_zero_shot(None, ["x"]), "inputs"),
        (lambda client: client.classify_zero_shot("a", []), "candidate_labels"),
        (lambda client: client.classify_zero_shot("a", {"x": 1}), "candidate_labels"),
        (lambda client: client.classify_zero_shot("a", {"x", "y"}), "candidate_labels"),
        (lambda client: client.classify_zero_shot("a", iter("xy")), "candidate_labels"),
        (lambda client: client.classify_zero_shot("a", b"x"), "candidate_labels"),
        (lambda client: client.classify_zero_shot("a", range(2)), "candidate_labels[0]"),
        (lambda client: client.classify_zero_shot("a", "x", hypothesis_template="x"), "hypothesis_template"),
        (lambda client: client.answer("", "b"), "question"),
        (lambda client: client.answer("a?", ""), "context"),
        (lambda client: client.answer(["a?", "b?"], ["c"]), "context"),
        (lambda client: client.answer(["a?"], "c"), "context"),
        (lambda client: client.answer(("a?", ""), ("c", "d")), "question[1]"),
        (lambda client: client.answer(b"a?", "b"), "question"),
        (lambda client: client.answer("a?", bytearray(b"b")), "context"),
        (lambda client: client.answer("a?", {"text": "b"}), "context"),
        (lambda client: client.answer("a?", "b", top_k=0), "top_k"),
        (lambda client: client.answer("a?", "b", top_k=True), "top_k"),
        (lambda client: client.classify_zero_shot("a", "x", multi_label=0), "multi_label"),
    ],
)
def test_what_the_contract_does_not_take_is_refused_by_the_name_of_its_field_before_it_is_sent(
    own_client: Client, own_redis: redis.Redis, call: Call, field: str
) -> None:
    with pytest.raises(InvalidRequest) as caught:
        call(own_client)
    assert caught.value.field == field
    assert not any(queued(own_redis, task.value) for task in TaskName)


@pytest.mark.parametrize(
    "call",
    [
        lambda client: client.classify_zero_shot([MARKER + "é" * 99_000] * 3, ["x"]),
        lambda client: client.answer([MARKER + "é" * 99_000] * 3, ["b"] * 3),
    ],
)
def test_a_request_that_is_too_large_as_json_is_refused_before_it_is_sent(
    own_client: Client, own_redis: redis.Redis, call: Call
) -> None:
    with pytest.raises(InvalidRequest) as caught:
        call(own_client)
    assert caught.value.code is ErrorCode.TOO_LARGE
    assert MARKER not in str(caught.value)
    assert not any(queued(own_redis, task.value) for task in TaskName)


@pytest.mark.parametrize(("call", "task"), [CALLS[0][:2], CALLS[3][:2]])
def test_a_failure_of_the_worker_is_raised_by_the_call(
    own_client: Client, stock_worker: StockWorker, threads: ThreadPoolExecutor, call: Call, task: TaskName
) -> None:
    waiting = threads.submit(call, own_client)
    arguments = list(ModelFailed.of(ErrorCode.MODEL_FAILED, "model m failed").args)
    stock_worker.answer(stock_worker.take(task), failure("ModelFailed", arguments), status="FAILURE")
    with pytest.raises(ModelFailed, match="model m failed"):
        waiting.result(timeout=PATIENCE_S)


@pytest.mark.parametrize(
    "call",
    [
        lambda client, timeout_s: client.classify_zero_shot("a", ["x"], timeout_s=timeout_s),
        lambda client, timeout_s: client.answer("a?", "b", timeout_s=timeout_s),
    ],
)
def test_a_call_ends_by_a_deadline_of_its_own(own_client: Client, call: Callable[[Client, float], object]) -> None:
    with pytest.raises(WaitTimeout):
        call(own_client, 2)
    with pytest.raises(ValueError, match="timeout_s"):
        call(own_client, 0)
