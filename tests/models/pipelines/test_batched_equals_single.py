"""Five hundred requests of three tasks, answered together: each has the results that it has alone."""

from __future__ import annotations

import random
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest

from examples.demo.texts import generate, read_examples, read_questions
from models.pipelines.base import AnyPipeline
from producer.contract import (
    QuestionAnsweringRequest,
    Request,
    RequestError,
    TaskName,
    TextClassificationRequest,
    ZeroShotClassificationRequest,
)
from tests.models.parity.texts import CONTEXTS, ODD, QUESTIONS

#: Largest difference between the two scores of one label or answer.
NEAR = 1e-3
REQUESTS = 500
LABELS = ["praise", "complaint", "order", "question", "news", "sports and games", "שלום", "🙂", "a"]
SHORT_ODD = [text for text in ODD if len(text) <= 300]
TEXTS = [*generate(read_examples(), 400), *(example["text"] for example in read_examples()), *SHORT_ODD]
LONG = ["word " * 2_000, " ".join(generate(read_examples(), 40)), max(CONTEXTS, key=len)]
Ranked = list[tuple[Any, float]]


def texts_of(rng: random.Random) -> str | list[str]:
    """Mostly one text, sometimes several, rarely a long one."""
    if rng.random() < 0.06:
        return rng.choice(LONG)
    return rng.choices(TEXTS, k=rng.randint(1, 4)) if rng.random() < 0.2 else rng.choice(TEXTS)


def some(rng: random.Random, **choices: list[Any]) -> dict[str, Any]:
    """Some of the parameters, each with one of its values."""
    return {name: rng.choice(values) for name, values in choices.items() if rng.random() < 0.3}


def classification(rng: random.Random) -> Request:
    inputs: Any = texts_of(rng)
    if rng.random() < 0.2:
        inputs = {"text": rng.choice(TEXTS), "text_pair": rng.choice([*TEXTS, LONG[0]])}
    elif rng.random() < 0.05:
        return TextClassificationRequest.parse({"inputs": [rng.choice(TEXTS), LONG[0]], "truncation": False})
    parameters = some(rng, top_k=[None, 2, 5], function_to_apply=["sigmoid", "softmax", "none"], truncation=[False])
    return TextClassificationRequest.parse({"inputs": inputs, **parameters})


def zero_shot_classification(rng: random.Random) -> Request:
    labels: Any = rng.sample(LABELS, rng.randint(1, 5))
    parameters = some(rng, multi_label=[True], hypothesis_template=["{}", "This text is about {}.", "{0} or {0}?"])
    labels = ",".join(labels) if rng.random() < 0.2 else labels
    return ZeroShotClassificationRequest.parse({"inputs": texts_of(rng), "candidate_labels": labels, **parameters})


def question_answering(rng: random.Random) -> Request:
    pairs = [(example["question"], example["context"]) for example in read_questions()]
    pairs += [(rng.choice(QUESTIONS), rng.choice(TEXTS)) for _ in range(10)]
    pairs += [(rng.choice(QUESTIONS), rng.choice([*CONTEXTS, LONG[0]])), ("who " * 400, rng.choice(LONG))]
    chosen = rng.sample(pairs, 1 if rng.random() < 0.8 else 3)
    question, context = (list(part) for part in zip(*chosen, strict=True))
    parameters = some(
        rng,
        top_k=[2, 5],
        max_answer_len=[1, 5, 50],
        doc_stride=[0, 16],
        max_seq_len=[64, 128, 512],
        handle_impossible_answer=[True],
        align_to_words=[False],
    )
    one = len(chosen) == 1
    arguments = {"question": question[0] if one else question, "context": context[0] if one else context}
    return QuestionAnsweringRequest.parse({**arguments, **parameters})


MAKERS: dict[TaskName, Callable[[random.Random], Request]] = {
    TaskName.TEXT_CLASSIFICATION: classification,
    TaskName.ZERO_SHOT_CLASSIFICATION: zero_shot_classification,
    TaskName.QUESTION_ANSWERING: question_answering,
}


def requests_of(task: TaskName) -> list[Request]:
    """The requests of one task among the five hundred, always the same ones."""
    rng = random.Random(500)  # noqa: S311 - requests for a test
    everything = [MAKERS[rng.choice(list(MAKERS))](rng) for _ in range(REQUESTS)]
    return [request for request in everything if request.task is task]


def ranked(result: Any) -> Ranked:
    """The labels or answers of a result and their scores, best first."""
    if isinstance(result, dict) and "labels" in result:
        return list(zip(result["labels"], result["scores"], strict=True))
    entries = result if isinstance(result, list) else [result]
    return [(tuple((key, entry[key]) for key in entry if key != "score"), entry["score"]) for entry in entries]


def alike(ours: Ranked, theirs: Ranked) -> bool:
    """Whether both have the same entries, best first, with nearly the same scores."""
    if len(ours) != len(theirs) or any(one[1] < other[1] for one, other in pairwise(ours)):
        return False
    pairs = zip(sorted(ours), sorted(theirs), strict=True)
    return all(one == other and abs(a - b) <= NEAR for (one, a), (other, b) in pairs)


def assert_belongs(result: Any, request: Request, index: int) -> None:
    """Check that the result belongs to the item at this index of the request."""
    item = request.items[index]  # type: ignore[attr-defined]
    if isinstance(request, ZeroShotClassificationRequest):
        assert result["sequence"] == item
        assert sorted(result["labels"]) == sorted(request.labels)
    elif isinstance(request, QuestionAnsweringRequest):
        for answer in result if isinstance(result, list) else [result]:
            assert item[1][answer["start"] : answer["end"]] == answer["answer"]


@pytest.fixture
def loaded(pipeline: AnyPipeline, zero_shot: AnyPipeline, questions: AnyPipeline) -> dict[TaskName, AnyPipeline]:
    return {one.request_type.task: one for one in (pipeline, zero_shot, questions)}


@pytest.mark.parametrize("task", MAKERS, ids=lambda task: task.value)
def test_every_request_is_answered_together_as_it_is_alone(loaded: dict[TaskName, AnyPipeline], task: TaskName) -> None:
    requests = requests_of(task)
    assert len(requests) > REQUESTS // 4
    different = []
    for request, results in zip(requests, loaded[task].answer(requests), strict=True):
        (alone,) = loaded[task].answer([request])
        for index, (ours, theirs) in enumerate(zip(results, alone, strict=True)):
            if isinstance(theirs, RequestError):
                assert repr(ours) == repr(theirs)
                continue
            assert_belongs(ours, request, index)
            if not alike(ranked(ours), ranked(theirs)):
                different.append((request, index, ranked(ours), ranked(theirs)))
    assert not different


def test_the_requests_are_five_hundred_of_many_kinds_and_some_are_refused(
    loaded: dict[TaskName, AnyPipeline],
) -> None:
    requests = [request for task in MAKERS for request in requests_of(task)]
    assert len(requests) == REQUESTS
    for task, pipeline in loaded.items():
        ours = [request for request in requests if request.task is task]
        assert {request.has_several for request in ours} == {False, True}
        assert len({frozenset(request.model_fields_set) for request in ours}) >= 4
        flat = [item for items in pipeline.preprocess(ours) for item in items]
        refused = [isinstance(item, RequestError) for item in flat]
        assert any(refused) == (task is not TaskName.ZERO_SHOT_CLASSIFICATION)
        assert not all(refused)
        longest = max(len(item.sequences) for item in flat if not isinstance(item, RequestError))
        assert (longest > 1) == (task is not TaskName.TEXT_CLASSIFICATION)
