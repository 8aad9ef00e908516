"""Which requests of a map share a message, and who gets which answer."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest

from producer import (
    Answer,
    CeleriacError,
    InvalidRequest,
    ModelFailed,
    QuestionAnsweringRequest,
    RemoteFailure,
    TextClassificationRequest,
    WaitTimeout,
    ZeroShotClassificationRequest,
)
from producer.chunks import Chunk, ChunkedMap
from producer.contract import MAX_INPUTS, MAX_REQUEST_BYTES, MAX_SEQUENCES, ErrorCode, Request
from producer.outcomes import ResultRecord


def text(content: str = "a", **parameters: Any) -> TextClassificationRequest:
    return TextClassificationRequest.parse({"inputs": content, **parameters})


def plan_of(*, in_flight: int = 1, chunk_s: float | None = 0.25, in_order: bool = True, **options: Any) -> ChunkedMap:
    return ChunkedMap(in_flight=in_flight, chunk_s=chunk_s, in_order=in_order, **options)


def sent_by(plan: ChunkedMap, requests: Iterable[Request]) -> list[Chunk]:
    """Give the plan what it wants, and return what it sends."""
    source = iter(requests)
    while plan.wants_more:
        try:
            plan.add(next(source))
        except StopIteration:
            plan.end()
    return plan.to_send()


def success(result: Any, compute_s: float | None = None) -> ResultRecord:
    return {"status": "SUCCESS", "result": result, "model": None, "compute_s": compute_s}


def failure(name: str, arguments: list[Any]) -> ResultRecord:
    return {"status": "FAILURE", "result": {"exc_type": name, "exc_message": arguments}}


def answer_all(plan: ChunkedMap, chunk: Chunk, seconds_each: float | None) -> None:
    count = len(chunk.requests)
    result: Any = list(range(count)) if count > 1 else 0
    plan.answered(chunk, "id", success(result, None if seconds_each is None else seconds_each * count))


def sizes(plan: ChunkedMap, requests: Iterable[Request], *, seconds_each: float | None, messages: int) -> list[int]:
    """How many requests the messages have, one after the other."""
    source, seen = iter(requests), []
    for _ in range(messages):
        (chunk,) = sent_by(plan, source)
        seen.append(len(chunk.requests))
        answer_all(plan, chunk, seconds_each)
        plan.take_outcomes()
    return seen


def many(count: int = 1000) -> list[Request]:
    return [text() for _ in range(count)]


def test_messages_grow_from_one_request_to_what_takes_a_worker_the_wanted_time() -> None:
    assert sizes(plan_of(chunk_s=0.25), many(), seconds_each=0.025, messages=7) == [1, 2, 4, 8, 10, 10, 10]


def test_a_message_holds_no_more_than_the_contract_allows() -> None:
    assert sizes(plan_of(chunk_s=60), many(), seconds_each=1e-6, messages=9)[-2:] == [MAX_INPUTS, MAX_INPUTS]


def test_without_a_workers_word_messages_stay_small() -> None:
    assert sizes(plan_of(), many(), seconds_each=None, messages=7) == [1, 2, 4, 8, 16, 16, 16]


def test_a_slow_model_gets_one_request_at_a_time() -> None:
    assert sizes(plan_of(chunk_s=0.25), many(), seconds_each=2.0, messages=4) == [1, 1, 1, 1]


def test_without_a_wanted_time_each_request_goes_by_itself() -> None:
    assert sizes(plan_of(chunk_s=None), many(), seconds_each=1e-6, messages=4) == [1, 1, 1, 1]


def grown(in_flight: int = 1, **options: Any) -> ChunkedMap:
    """A plan that has learned that requests cost next to nothing."""
    plan = plan_of(in_flight=in_flight, chunk_s=60, **options)
    for requests in ([text()], [text()] * 2, [text()] * 4, [text()] * 8, [text()] * 16, [text()] * 32):
        (chunk,) = sent_by(plan, requests)
        answer_all(plan, chunk, 1e-9)
        plan.take_outcomes()
    return plan


@pytest.mark.parametrize(
    "other",
    [text("b", top_k=2), text("b", model="m"), TextClassificationRequest.parse({"inputs": ["b"]})],
    ids=["a parameter", "a model", "several inputs"],
)
def test_only_requests_that_differ_in_nothing_but_their_input_share_a_message(other: Request) -> None:
    plan = grown(in_flight=4)
    chunks = sent_by(plan, [text(), text("b"), other])
    plan_rest = sent_by(plan, [])
    assert [len(chunk.requests) for chunk in [*chunks, *plan_rest]] == [2, 1]


def test_requests_of_different_tasks_share_no_message() -> None:
    question = QuestionAnsweringRequest.parse({"question": "a?", "context": "b"})
    plan = grown(in_flight=4)
    chunks = [*sent_by(plan, [text(), question, question]), *sent_by(plan, [])]
    assert [type(chunk.request) for chunk in chunks] == [TextClassificationRequest, QuestionAnsweringRequest]


def test_a_message_of_several_is_a_valid_request_with_their_parameters() -> None:
    (chunk,) = sent_by(
        grown(),
        [text("a", top_k=2), TextClassificationRequest.parse({"inputs": {"text": "b", "text_pair": "c"}, "top_k": 2})],
    )
    arguments = chunk.request.to_arguments()
    assert arguments == {"inputs": ["a", {"text": "b", "text_pair": "c"}], "top_k": 2}
    assert TextClassificationRequest.parse(arguments).has_several


def test_texts_that_would_be_too_large_together_go_apart() -> None:
    long = "x" * 90_000
    plan = grown(in_flight=2)
    chunks = sent_by(plan, [text(long)] * 12)
    assert sum(len(chunk.requests) for chunk in chunks) < 12
    for chunk in chunks:
        assert len(str(chunk.request.to_arguments())) < MAX_REQUEST_BYTES


def test_labels_count_as_sequences() -> None:
    labels = [f"label {number}" for number in range(100)]
    plan = plan_of(chunk_s=60)
    request = ZeroShotClassificationRequest.parse({"inputs": "a", "candidate_labels": labels})
    seen = sizes(plan, [request] * 500, seconds_each=1e-9, messages=8)
    assert max(seen) == MAX_SEQUENCES // 100


def test_an_item_that_failed_becomes_an_error_of_its_own_request() -> None:
    plan = grown()
    (chunk,) = sent_by(plan, [text("a"), text("b"), text("c")])
    stated = {"code": "too_long", "message": "inputs[1].text: is too long", "field": "inputs[1].text", "limit": 512}
    broken = {"code": "model_failed", "message": "model m failed", "field": None, "limit": None}
    plan.answered(chunk, "id", success(["A", {"error": stated}, {"error": broken}], 1e-9))
    (_, first), (_, second), (_, third) = plan.take_outcomes()
    assert isinstance(first, Answer)
    assert (first.request_id, first.result) == ("id", "A")
    assert isinstance(second, InvalidRequest)
    assert (second.code, second.field, str(second)) == (ErrorCode.TOO_LONG, "inputs.text", "inputs.text: is too long")
    assert isinstance(third, ModelFailed)


@pytest.mark.parametrize(
    "ended",
    [
        failure("WorkerLostError", ["signal 9"]),
        failure("TimeLimitExceeded", [45]),
        failure("ModelFailed", list(ModelFailed.of(ErrorCode.MODEL_FAILED, "failed").args)),
    ],
    ids=["lost", "time limit", "model"],
)
def test_what_failed_together_is_sent_again_one_by_one_in_its_place(ended: ResultRecord) -> None:
    plan = grown(in_flight=1)
    first = len(range(63))
    (chunk,) = sent_by(plan, [text("a"), text("b"), text("c")])
    plan.answered(chunk, "id", ended)
    assert plan.take_outcomes() == []
    parts = plan.to_send()
    assert [part.requests[0].to_arguments()["inputs"] for part in parts] == ["a", "b", "c"]
    plan.answered(parts[2], "id-c", success("C"))
    plan.answered(parts[0], "id-a", success("A"))
    plan.answered(parts[1], "id-b", ended)
    outcomes = plan.take_outcomes()
    assert [number for number, _ in outcomes] == [first, first + 1, first + 2]
    assert [o.result if isinstance(o, Answer) else isinstance(o, CeleriacError) for _, o in outcomes] == [
        "A",
        True,
        "C",
    ]


def test_a_message_that_was_not_answered_in_time_is_not_sent_again() -> None:
    plan = grown()
    (chunk,) = sent_by(plan, [text("a"), text("b")])
    plan.failed(chunk, WaitTimeout("late"))
    assert [type(outcome) for _, outcome in plan.take_outcomes()] == [WaitTimeout, WaitTimeout]
    assert plan.to_send() == []


def test_a_request_that_a_worker_failed_on_is_sent_again_as_often_as_the_caller_wants() -> None:
    plan = plan_of(retries=2)
    (chunk,) = sent_by(plan, [text()])
    for _ in range(2):
        plan.answered(chunk, "id", failure("WorkerLostError", ["signal 9"]))
        assert plan.to_send() == [chunk]
    plan.answered(chunk, "id", failure("WorkerLostError", ["signal 9"]))
    assert plan.to_send() == []
    assert [type(outcome) for _, outcome in plan.take_outcomes()] == [RemoteFailure]


def test_in_order_answers_that_came_early_count_as_in_flight() -> None:
    plan = plan_of(in_flight=2, chunk_s=None)
    source = iter(many())
    (first,) = sent_by(plan, source)
    (second,) = sent_by(plan, source)
    answer_all(plan, second, None)
    assert plan.take_outcomes() == []
    assert not plan.wants_more
    answer_all(plan, first, None)
    assert [number for number, _ in plan.take_outcomes()] == [0, 1]
    assert plan.wants_more


def test_as_completed_answers_are_handed_out_as_they_come() -> None:
    plan = plan_of(in_flight=2, chunk_s=None, in_order=False)
    source = iter(many())
    (first,), (second,) = sent_by(plan, source), sent_by(plan, source)
    answer_all(plan, second, None)
    assert [number for number, _ in plan.take_outcomes()] == [1]
    assert plan.wants_more
    answer_all(plan, first, None)
    assert [number for number, _ in plan.take_outcomes()] == [0]


def test_progress_counts_requests() -> None:
    seen: list[int] = []
    plan = plan_of(chunk_s=60, on_progress=seen.append)
    sizes(plan, many(), seconds_each=1e-9, messages=3)
    assert seen == [1, 3, 7]


def test_a_plan_is_done_once_every_request_has_its_outcome() -> None:
    plan = plan_of(in_flight=4)
    chunks = sent_by(plan, [text()])
    chunks += sent_by(plan, [])
    assert not plan.is_done
    for chunk in chunks:
        answer_all(plan, chunk, None)
    plan.take_outcomes()
    sent_by(plan, [])
    assert plan.is_done


@pytest.mark.parametrize("options", [{"in_flight": 0}, {"chunk_s": 0}, {"chunk_s": -1.0}, {"chunk_s": float("nan")}])
def test_options_that_make_no_sense_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(options))):
        plan_of(**options)
