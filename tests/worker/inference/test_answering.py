"""The requests of a batch, each answered with a result or a typed error, by the bundled models."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as example_settings
from hypothesis import strategies as st

from producer.contract import (
    SUPPORTED_VERSIONS,
    VERSION_HEADER,
    ErrorCode,
    InvalidRequest,
    ModelFailed,
    RequestError,
    TaskName,
    UnknownModel,
)
from tests.worker.inference.conftest import Pipelines
from worker.inference.answering import answer
from worker.inference.loaded_models import LoadedModels
from worker.pool import Call, TaskResult
from worker.results.answer_facts import AnswerFacts, facts_of

TEXTS, TOPICS, QUESTIONS = TaskName
SECRET = "Zebediah"  # noqa: S105 - a text, not a password
GOOD, BAD = "What a wonderful day!", "This is the worst film that I have ever seen."


def call(*args: Any, version: object = None, **kwargs: Any) -> Call:
    return Call({} if version is None else {VERSION_HEADER: version}, args, kwargs)


def facts(answered: TaskResult) -> AnswerFacts | None:
    """The metadata that the result backend reads from Celery's request."""
    return facts_of(SimpleNamespace(**answered.context))


def error(answered: TaskResult) -> RequestError:
    assert isinstance(answered.error, RequestError)
    assert answered.value is None
    return answered.error


def labels(answered: TaskResult) -> list[str]:
    assert answered.error is None
    return [score["label"] for score in answered.value]


@pytest.fixture
def broken(monkeypatch: pytest.MonkeyPatch, classifiers: Pipelines) -> BaseException:
    """The error with which the engine of ``sentiment`` fails on every batch."""
    failure = RuntimeError(f"could not compute {SECRET}")

    def fail(_: object) -> None:
        raise failure

    monkeypatch.setattr(classifiers["sentiment"].engine, "compute", fail)
    return failure


def test_each_request_gets_its_own_result_and_the_model_that_gave_it(classifiers: Pipelines) -> None:
    good, bad = answer(TEXTS, [call(inputs=GOOD, top_k=1), call(inputs=BAD, top_k=2)], classifiers)

    assert labels(good) == ["POSITIVE"]
    assert labels(bad) == ["NEGATIVE", "POSITIVE"]
    model = classifiers["sentiment"].model
    assert facts(good) == facts(bad) == AnswerFacts(model.name, model.manifest.revision, "int8")


def test_the_other_tasks_are_answered_too(loaded: LoadedModels) -> None:
    topic = call(inputs="The team won the cup.", candidate_labels="politics,sports")
    question = call(question="Who is the doctor?", context=f"The doctor is called {SECRET}.")

    (topics,) = answer(TOPICS, [topic], loaded.pipelines[TOPICS])
    (found,) = answer(QUESTIONS, [question], loaded.pipelines[QUESTIONS])

    assert topics.value["labels"] == ["sports", "politics"]
    assert found.value["answer"] == SECRET


@pytest.mark.parametrize(
    ("invalid", "code", "field"),
    [
        (call(), ErrorCode.MISSING, "inputs"),
        (call(inputs=3), ErrorCode.WRONG_TYPE, "inputs"),
        (call(inputs=""), ErrorCode.EMPTY, "inputs"),
        (call(inputs=GOOD, no_such=1), ErrorCode.UNKNOWN_PARAMETER, "no_such"),
        (call(inputs=GOOD, model=7), ErrorCode.WRONG_TYPE, "model"),
        (call(GOOD, None, None, None, None, None, None, None, None), ErrorCode.TOO_MANY, "args"),
    ],
    ids=str,
)
def test_an_invalid_request_gets_a_typed_error_without_a_model_and_the_others_are_answered(
    classifiers: Pipelines, invalid: Call, code: ErrorCode, field: str
) -> None:
    first, refused, last = answer(TEXTS, [call(inputs=GOOD), invalid, call(inputs=BAD)], classifiers)

    assert isinstance(refused.error, InvalidRequest)
    assert (refused.error.code, refused.error.field) == (code, field)
    assert facts(refused) is None
    assert (labels(first)[0], labels(last)[0]) == ("POSITIVE", "NEGATIVE")


def test_an_unknown_model_gets_an_error_that_names_the_known_ones(classifiers: Pipelines) -> None:
    unknown, known = answer(TEXTS, [call(inputs=GOOD, model="other"), call(inputs=GOOD)], classifiers)

    assert isinstance(unknown.error, UnknownModel)
    assert (unknown.error.code, unknown.error.field) == (ErrorCode.UNKNOWN_MODEL, "model")
    assert "sentiment, nli" in unknown.error.message
    assert facts(unknown) is None
    assert labels(known)


@pytest.mark.parametrize("version", [0, max(SUPPORTED_VERSIONS) + 1, "1"])
def test_a_contract_version_that_this_worker_does_not_support_is_refused(
    classifiers: Pipelines, version: object
) -> None:
    (refused,) = answer(TEXTS, [call(inputs=GOOD, version=version)], classifiers)

    assert error(refused).details == {
        "code": "unsupported_version",
        "field": VERSION_HEADER,
        "limit": max(SUPPORTED_VERSIONS),
    }


@pytest.mark.parametrize("version", [None, *sorted(SUPPORTED_VERSIONS)])
def test_a_supported_version_and_none_are_answered(classifiers: Pipelines, version: object) -> None:
    (answered,) = answer(TEXTS, [call(inputs=GOOD, version=version)], classifiers)

    assert labels(answered)[0] == "POSITIVE"


def test_requests_of_one_batch_may_name_different_models(classifiers: Pipelines) -> None:
    calls = [call(inputs=GOOD, model=model, top_k=None) for model in ("nli", None, "sentiment", "nli")]

    answers = answer(TEXTS, calls, classifiers)

    models = [found.model for found in map(facts, answers) if found]
    assert models == ["nli", "sentiment", "sentiment", "nli"]
    assert [len(labels(answered)) for answered in answers] == [3, 2, 2, 3]
    assert answers[0].value == answers[3].value
    assert answers[1].value == answers[2].value


def test_an_invalid_item_carries_its_error_and_the_other_items_their_results(classifiers: Pipelines) -> None:
    (answered,) = answer(TEXTS, [call(inputs=[GOOD, "", 7, {"text": BAD}], top_k=1)], classifiers)

    first, empty, wrong, last = answered.value
    assert (first[0]["label"], last[0]["label"]) == ("POSITIVE", "NEGATIVE")
    assert (empty["error"]["code"], empty["error"]["field"]) == ("empty", "inputs[1]")
    assert wrong["error"]["code"] == "wrong_type"
    assert facts(answered) is not None


@pytest.mark.usefixtures("broken")
def test_a_request_without_a_valid_item_is_answered_without_a_model(classifiers: Pipelines) -> None:
    (answered,) = answer(TEXTS, [call(inputs=["", 7])], classifiers)

    assert [item["error"]["code"] for item in answered.value] == ["empty", "wrong_type"]
    assert facts(answered) is None


def test_an_error_that_only_the_tokenizer_can_find_names_the_model_that_found_it(classifiers: Pipelines) -> None:
    (answered,) = answer(TEXTS, [call(inputs="word " * 2000, truncation=False)], classifiers)

    assert (error(answered).code, error(answered).limit) == (ErrorCode.TOO_MANY_TOKENS, 512)
    found = facts(answered)
    assert found is not None
    assert found.model == "sentiment"


def test_a_model_that_fails_on_a_single_request_gives_it_a_typed_error_without_its_text(
    classifiers: Pipelines, broken: Exception
) -> None:
    failed, other = answer(TEXTS, [call(inputs=SECRET), call(inputs=GOOD, model="nli")], classifiers)

    assert isinstance(failed.error, ModelFailed)
    assert failed.error.code is ErrorCode.MODEL_FAILED
    assert failed.error.message == "model sentiment failed: RuntimeError"
    found = facts(failed)
    assert found is not None
    assert (found.model, found.cause) == ("sentiment", broken)
    assert labels(other)


def test_a_model_without_memory_fails_in_the_same_way(monkeypatch: pytest.MonkeyPatch, classifiers: Pipelines) -> None:
    def fail(_: object) -> None:
        raise MemoryError

    monkeypatch.setattr(classifiers["sentiment"].engine, "compute", fail)

    (failed,) = answer(TEXTS, [call(inputs=GOOD)], classifiers)

    assert error(failed).message == "model sentiment failed: MemoryError"


def test_a_model_that_fails_on_several_requests_raises_so_that_the_pool_computes_them_alone(
    classifiers: Pipelines, broken: Exception
) -> None:
    with pytest.raises(RuntimeError) as raised:
        answer(TEXTS, [call(inputs=GOOD), call(inputs=BAD)], classifiers)

    assert raised.value is broken


@pytest.mark.parametrize("texts", [[GOOD], [GOOD, BAD, "short"]])
def test_tokens_are_counted_for_each_request_as_the_tokenizer_counts_them(
    classifiers: Pipelines, texts: list[str]
) -> None:
    calls = [call(inputs=text) for text in texts] + [call(inputs=texts)]

    answers = answer(TEXTS, calls, classifiers, count_tokens=True)

    each = [len(classifiers["sentiment"].tokenizer.encode(text).ids) for text in texts]
    assert [found.tokens for found in map(facts, answers) if found] == [*each, sum(each)]


@pytest.mark.usefixtures("broken")
def test_tokens_are_not_counted_unless_asked_for_and_are_known_of_a_failed_request(classifiers: Pipelines) -> None:
    (uncounted,) = answer(TEXTS, [call(inputs=GOOD)], classifiers)
    (counted,) = answer(TEXTS, [call(inputs=GOOD)], classifiers, count_tokens=True)

    found = [facts(uncounted), facts(counted)]
    assert [one and one.tokens for one in found] == [None, len(classifiers["sentiment"].tokenizer.encode(GOOD).ids)]


def test_positional_arguments_fill_the_parameters_that_keywords_leave_open(
    loaded: LoadedModels, classifiers: Pipelines
) -> None:
    named, positional = answer(TEXTS, [call(inputs=GOOD, top_k=1), call(GOOD, 1)], classifiers)
    # In a chain, the result of the previous task is the first positional argument.
    (chained,) = answer(QUESTIONS, [call(f"I met {SECRET}.", question="Who?")], loaded.pipelines[QUESTIONS])

    assert positional == named
    assert chained.value["answer"] == SECRET


KINDS = (
    call(inputs=GOOD),
    call(inputs=[BAD, ""], top_k=1),
    call(inputs=GOOD, model="nli"),
    call(inputs=GOOD, model="other"),
    call(inputs=""),
    call(inputs=[""]),
    call(inputs=GOOD, version=99),
)


@pytest.fixture(scope="module")
def answered_alone(classifiers: Pipelines) -> list[TaskResult]:
    """The answer to each of :data:`KINDS`, computed alone."""
    return [answered for kind in KINDS for answered in answer(TEXTS, [kind], classifiers)]


@given(st.lists(st.integers(0, len(KINDS) - 1), max_size=8))
@example_settings(max_examples=25)
def test_a_batch_has_one_answer_per_request_in_order_and_each_is_what_it_is_alone(
    classifiers: Pipelines, answered_alone: list[TaskResult], kinds: list[int]
) -> None:
    answers = answer(TEXTS, [KINDS[kind] for kind in kinds], classifiers)

    assert [_summary(answered) for answered in answers] == [_summary(answered_alone[kind]) for kind in kinds]


def _summary(answered: TaskResult) -> tuple[Any, ...]:
    """An answer without the last digits of its scores, which depend on the batch."""
    return _rounded(answered.value), repr(answered.error), facts(answered)


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return round(value, 2)
    if isinstance(value, list):
        return [_rounded(element) for element in value]
    return {key: _rounded(element) for key, element in value.items()} if isinstance(value, dict) else value
