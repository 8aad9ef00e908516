"""Text classification on the bundled model, in the shapes of the ``transformers`` pipeline."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers.processors import TemplateProcessing

from models import pipelines
from models.evaluation.data_sets import read_data_set
from models.evaluation.evaluate import answer_in_process, evaluate
from models.pipelines.base import AnyPipeline
from models.pipelines.text_classification import TextClassificationPipeline
from models.store import StoredModel
from producer.contract import (
    ErrorCode,
    InvalidRequest,
    QuestionAnsweringRequest,
    TextClassificationRequest,
)
from tests.conftest import DATA
from tests.models.conftest import with_config
from tests.models.options import engine_options

GOOD = "a charming and often affecting journey"
BAD = "a dull , lifeless and endless bore"
MIXED = [GOOD, BAD, "good " * 90, "the film was shot in two weeks", "no", "bad " * 40, GOOD, "it is what it is , " * 12]


def ask(pipeline: AnyPipeline, **arguments: Any) -> list[Any]:
    """The results of one request."""
    (results,) = pipeline.answer([TextClassificationRequest.parse(arguments)])
    return results


def scores(pipeline: AnyPipeline, text: Any, **arguments: Any) -> dict[str, float]:
    """The score of every label of one text."""
    (result,) = ask(pipeline, inputs=text, top_k=None, **arguments)
    return {entry["label"]: entry["score"] for entry in result}


@pytest.mark.parametrize(("text", "label"), [(GOOD, "POSITIVE"), (BAD, "NEGATIVE")])
def test_the_best_label_of_a_clear_text_is_the_right_one(pipeline: AnyPipeline, text: str, label: str) -> None:
    ((best,),) = ask(pipeline, inputs=text)
    assert best["label"] == label
    assert best["score"] > 0.9


@pytest.mark.parametrize("text", [GOOD, BAD])
def test_all_labels_come_best_first_and_their_scores_sum_to_one(pipeline: AnyPipeline, text: str) -> None:
    (result,) = ask(pipeline, inputs=text, top_k=None)
    assert {entry["label"] for entry in result} == {"NEGATIVE", "POSITIVE"}
    assert result[0]["score"] > result[1]["score"]
    assert sum(entry["score"] for entry in result) == pytest.approx(1.0)


@pytest.mark.parametrize(("top_k", "labels"), [(1, 1), (2, 2), (5, 2), (10**30, 2), (None, 2)])
def test_as_many_labels_are_returned_as_were_asked_for_and_exist(
    pipeline: AnyPipeline, top_k: int | None, labels: int
) -> None:
    (result,) = ask(pipeline, inputs=GOOD, top_k=top_k)
    assert len(result) == labels


def test_the_function_is_applied_to_the_same_logits_and_the_default_is_softmax(pipeline: AnyPipeline) -> None:
    logits = scores(pipeline, GOOD, function_to_apply="none")
    total = sum(map(math.exp, logits.values()))
    softmax = {label: math.exp(value) / total for label, value in logits.items()}
    sigmoid = {label: 1 / (1 + math.exp(-value)) for label, value in logits.items()}
    assert scores(pipeline, GOOD, function_to_apply="softmax") == pytest.approx(softmax)
    assert scores(pipeline, GOOD, function_to_apply="sigmoid") == pytest.approx(sigmoid)
    assert scores(pipeline, GOOD) == pytest.approx(softmax)
    assert any(abs(value) > 1 for value in logits.values())


def test_texts_answered_together_are_answered_as_each_alone(sentiment: StoredModel) -> None:
    small_batches = pipelines.load(sentiment, engine_options(threads=2, max_tokens=128))
    together = ask(small_batches, inputs=MIXED, top_k=None)
    for text, result in zip(MIXED, together, strict=True):
        alone = scores(small_batches, text)
        assert {entry["label"]: entry["score"] for entry in result} == pytest.approx(alone, abs=1e-3)


def test_requests_answered_together_keep_their_items_and_their_parameters(pipeline: AnyPipeline) -> None:
    requests = [
        TextClassificationRequest.parse(arguments)
        for arguments in (
            {"inputs": [BAD, GOOD, BAD], "top_k": None},
            {"inputs": GOOD},
            {"inputs": [BAD], "function_to_apply": "none"},
        )
    ]
    answers: list[list[Any]] = pipeline.answer(requests)
    first, second, third = answers
    assert [[entry["label"] for entry in result] for result in first] == [
        ["NEGATIVE", "POSITIVE"],
        ["POSITIVE", "NEGATIVE"],
        ["NEGATIVE", "POSITIVE"],
    ]
    assert [[entry["label"] for entry in result] for result in (*second, *third)] == [["POSITIVE"], ["NEGATIVE"]]
    assert third[0][0]["score"] > 1


def test_no_requests_give_no_answers(pipeline: AnyPipeline) -> None:
    assert pipeline.answer([]) == []


def test_a_request_of_another_task_is_a_mistake_of_the_caller(pipeline: AnyPipeline) -> None:
    with pytest.raises(TypeError):
        pipeline.answer([QuestionAnsweringRequest.parse({"question": "a", "context": "b"})])


def test_both_texts_of_a_pair_are_read(pipeline: AnyPipeline) -> None:
    pairs = [{"text": "the film", "text_pair": text} for text in (GOOD, BAD)]
    assert [best["label"] for (best,) in ask(pipeline, inputs=pairs)] == ["POSITIVE", "NEGATIVE"]
    assert scores(pipeline, pairs[0]) != pytest.approx(scores(pipeline, f"the film {GOOD}"), abs=1e-6)


def test_what_lies_beyond_the_longest_input_is_cut(pipeline: AnyPipeline) -> None:
    long = "good film " * 400
    assert scores(pipeline, long) == pytest.approx(scores(pipeline, long + BAD * 100), abs=1e-6)
    assert ask(pipeline, inputs=long)[0][0]["label"] == "POSITIVE"


def test_the_longer_text_of_a_long_pair_is_cut(pipeline: AnyPipeline) -> None:
    pair = {"text": BAD, "text_pair": "it was so , " * 1000}
    assert scores(pipeline, pair) == pytest.approx(scores(pipeline, {**pair, "text_pair": "it was so , " * 500}))
    assert scores(pipeline, pair) != pytest.approx(scores(pipeline, {**pair, "text": GOOD}), abs=1e-3)


def test_without_truncation_a_long_text_is_an_error_and_the_others_are_answered(pipeline: AnyPipeline) -> None:
    fitting = "good " * 510
    good, error, longest, bad = ask(pipeline, inputs=[GOOD, fitting + "x", fitting, BAD], truncation=False)
    assert isinstance(error, InvalidRequest)
    assert (error.code, error.field, error.limit) == (ErrorCode.TOO_MANY_TOKENS, "inputs", 512)
    assert [best["label"] for (best,) in (good, longest, bad)] == ["POSITIVE", "POSITIVE", "NEGATIVE"]


def test_one_request_without_truncation_does_not_change_another_with_it(pipeline: AnyPipeline) -> None:
    long = "good " * 600
    answers: list[list[Any]] = pipeline.answer(
        [TextClassificationRequest.parse({"inputs": long, "truncation": truncation}) for truncation in (False, True)]
    )
    strict, cut = answers
    assert isinstance(strict[0], InvalidRequest)
    assert cut[0][0]["label"] == "POSITIVE"


@settings(max_examples=20, deadline=None)
@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), min_size=1, max_size=40))
def test_whatever_the_text_is_it_has_an_answer(pipeline: AnyPipeline, text: str) -> None:
    assert sum(scores(pipeline, text).values()) == pytest.approx(1.0)


def test_labels_are_those_of_the_configuration_by_their_index(
    sentiment: StoredModel, pipeline: AnyPipeline, tmp_path: Path
) -> None:
    model = with_config(sentiment, tmp_path, id2label={"1": "gut", "0": "schlecht"})
    renamed = TextClassificationPipeline(model, engine_options(), pipeline.engine)
    assert [best["label"] for (best,) in ask(renamed, inputs=[GOOD, BAD])] == ["gut", "schlecht"]


def test_a_pipeline_exists_for_the_bundled_models_task(sentiment: StoredModel) -> None:
    assert pipelines.load_all(sentiment, engine_options()).keys() == {sentiment.manifest.task}


@pytest.mark.data
@pytest.mark.skipif(not DATA.is_dir(), reason=f"the evaluation data is not in {DATA}")
def test_the_bundled_model_loses_no_more_than_half_a_point_to_its_original(sentiment: StoredModel) -> None:
    (prepared,) = sentiment.manifest.measurements
    options = engine_options(threads=2)
    data = read_data_set(DATA / "sst2" / "dev.jsonl", sentiment.manifest.task)
    report = evaluate(sentiment, data, answer_in_process(sentiment, data, options), options=options, progress=False)
    assert report.rows == prepared.rows
    assert prepared.fp32 is not None
    assert report.value >= prepared.fp32 - 0.005


def test_a_text_without_tokens_is_refused_and_the_others_are_answered(sentiment: StoredModel) -> None:
    pipeline = TextClassificationPipeline(sentiment, engine_options())
    # As a tokenizer of GPT-2, which adds no special tokens. The character has no width, and BERT's normalizer drops it.
    pipeline.tokenizer.post_processor = TemplateProcessing(single="$A", pair="$A $B", special_tokens=[])

    refused, answered = ask(pipeline, inputs=["\u200b", GOOD])

    assert isinstance(refused, InvalidRequest)
    assert (refused.details["code"], refused.details["field"]) == (ErrorCode.EMPTY, "inputs")
    assert answered[0]["label"]
