"""Zero-shot classification on the bundled model, in the shapes of the ``transformers`` pipeline."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.pipelines.base import AnyPipeline, EncodedItem
from models.pipelines.zero_shot_classification import ZeroShotClassificationPipeline
from models.store import StoredModel
from producer.contract import (
    ErrorCode,
    InvalidRequest,
    TaskName,
    TextClassificationRequest,
    ZeroShotClassificationRequest,
)
from tests.models.conftest import with_config
from tests.models.options import engine_options

MATCH = "The goalkeeper saved a penalty in the last minute and the team won the championship."
SOUP = "This soup is delicious, I loved it."
PARCEL = "The parcel never arrived and nobody answers my calls. I want my money back."
TOPICS = ["business", "sports", "food", "science"]
#: Most tokens in a pair of the bundled model, besides its three special tokens.
ROOM = 509
TEMPLATES = ["This example is {}.", "{}", "{0} or {0}?", "Nobody would say that it is {}.", "{{}} {}"]


def ask(pipeline: AnyPipeline, **arguments: Any) -> list[Any]:
    """The results of one request."""
    (results,) = pipeline.answer([ZeroShotClassificationRequest.parse(arguments)])
    return results


def scores(pipeline: AnyPipeline, text: str, labels: str | list[str], **arguments: Any) -> dict[str, float]:
    """The score of every label of one text."""
    (result,) = ask(pipeline, inputs=text, candidate_labels=labels, **arguments)
    return dict(zip(result["labels"], result["scores"], strict=True))


def entailed_against_contradicted(
    inference: dict[TaskName, AnyPipeline], text: str, hypothesis: str
) -> dict[str, float]:
    """The logits of the same model when it classifies the pair."""
    pair = {"text": text, "text_pair": hypothesis}
    request = TextClassificationRequest.parse({"inputs": pair, "top_k": None, "function_to_apply": "none"})
    answers: list[list[Any]] = inference[TaskName.TEXT_CLASSIFICATION].answer([request])
    ((result,),) = answers
    return {entry["label"]: entry["score"] for entry in result}


def test_a_model_of_inference_classifies_pairs_too_and_is_compiled_once(
    inference: dict[TaskName, AnyPipeline],
) -> None:
    assert inference.keys() == {TaskName.ZERO_SHOT_CLASSIFICATION, TaskName.TEXT_CLASSIFICATION}
    assert len({id(pipeline.engine) for pipeline in inference.values()}) == 1


@pytest.mark.parametrize(
    ("text", "labels", "best"),
    [
        (MATCH, TOPICS, "sports"),
        (SOUP, TOPICS, "food"),
        (SOUP, ["praise", "complaint"], "praise"),
        (PARCEL, ["praise", "complaint"], "complaint"),
    ],
)
@pytest.mark.parametrize("multi_label", [False, True])
def test_the_best_label_of_a_clear_text_is_the_right_one(
    zero_shot: AnyPipeline, text: str, labels: list[str], best: str, multi_label: bool
) -> None:
    (result,) = ask(zero_shot, inputs=text, candidate_labels=labels, multi_label=multi_label)
    assert result["labels"][0] == best


@pytest.mark.parametrize("multi_label", [False, True])
def test_a_result_has_the_text_and_every_label_best_first(zero_shot: AnyPipeline, multi_label: bool) -> None:
    (result,) = ask(zero_shot, inputs=MATCH, candidate_labels=TOPICS, multi_label=multi_label)
    assert result.keys() == {"sequence", "labels", "scores"}
    assert result["sequence"] == MATCH
    assert sorted(result["labels"]) == sorted(TOPICS)
    assert result["scores"] == sorted(result["scores"], reverse=True)
    assert all(0 < score < 1 for score in result["scores"])


@pytest.mark.parametrize("multi_label", [False, True])
def test_labels_in_one_string_are_those_of_a_list(zero_shot: AnyPipeline, multi_label: bool) -> None:
    listed, joined = (
        ask(zero_shot, inputs=MATCH, candidate_labels=labels, multi_label=multi_label)
        for labels in (["business", "public health", "sports"], "business, public health ,, sports,")
    )
    assert joined == listed


def test_the_scores_of_one_choice_sum_to_one_and_are_the_softmax_of_how_much_each_label_is_entailed(
    zero_shot: AnyPipeline, inference: dict[TaskName, AnyPipeline]
) -> None:
    given_scores = scores(zero_shot, MATCH, TOPICS)
    assert sum(given_scores.values()) == pytest.approx(1.0)
    powers = {
        label: math.exp(entailed_against_contradicted(inference, MATCH, f"This example is {label}.")["entailment"])
        for label in TOPICS
    }
    wanted = {label: power / sum(powers.values()) for label, power in powers.items()}
    assert given_scores == pytest.approx(wanted, abs=1e-3)


def test_with_several_true_labels_each_is_scored_without_the_others(zero_shot: AnyPipeline) -> None:
    together = scores(zero_shot, SOUP, [*TOPICS, "praise"], multi_label=True)
    for label, score in together.items():
        others = [label, "a label that is much longer than all of the others", "x"]
        assert scores(zero_shot, SOUP, others, multi_label=True)[label] == pytest.approx(score, abs=1e-3)
    assert sum(together.values()) != pytest.approx(1.0, abs=0.05)


@pytest.mark.parametrize("label", [TOPICS[1], "boring"])
def test_one_label_alone_is_scored_as_one_of_several_true_ones(zero_shot: AnyPipeline, label: str) -> None:
    alone = scores(zero_shot, MATCH, [label])
    assert alone == scores(zero_shot, MATCH, [label], multi_label=True) == scores(zero_shot, MATCH, label)
    assert alone[label] != pytest.approx(1.0, abs=1e-3)


@pytest.mark.parametrize("template", TEMPLATES)
def test_the_template_is_what_the_model_reads_of_a_label(
    zero_shot: AnyPipeline, inference: dict[TaskName, AnyPipeline], template: str
) -> None:
    given_scores = scores(zero_shot, MATCH, TOPICS, hypothesis_template=template, multi_label=True)
    for label, score in given_scores.items():
        logits = entailed_against_contradicted(inference, MATCH, template.format(label))
        wanted = 1 / (1 + math.exp(logits["contradiction"] - logits["entailment"]))
        assert score == pytest.approx(wanted, abs=1e-3)


def test_another_template_gives_other_scores(zero_shot: AnyPipeline) -> None:
    found = [scores(zero_shot, MATCH, ["sports"], hypothesis_template=template)["sports"] for template in TEMPLATES]
    assert len({round(score, 3) for score in found}) == len(TEMPLATES)


@pytest.mark.parametrize("multi_label", [False, True])
def test_a_label_given_twice_is_answered_twice_with_one_score(zero_shot: AnyPipeline, multi_label: bool) -> None:
    (result,) = ask(zero_shot, inputs=MATCH, candidate_labels=["food", "sports", "food"], multi_label=multi_label)
    assert result["labels"] == ["sports", "food", "food"]
    assert result["scores"][1] == pytest.approx(result["scores"][2])
    assert (sum(result["scores"]) == pytest.approx(1.0)) is not multi_label


def test_the_texts_of_one_request_are_answered_in_their_order_and_as_each_alone(zero_shot: AnyPipeline) -> None:
    texts = [MATCH, SOUP, "x", MATCH, "word " * 300, PARCEL]
    together = ask(zero_shot, inputs=texts, candidate_labels=TOPICS)
    assert [result["sequence"] for result in together] == texts
    for text, result in zip(texts, together, strict=True):
        both = dict(zip(result["labels"], result["scores"], strict=True))
        assert both == pytest.approx(scores(zero_shot, text, TOPICS), abs=1e-3)


def test_a_list_of_one_text_is_answered_as_the_text(zero_shot: AnyPipeline) -> None:
    assert ask(zero_shot, inputs=[SOUP], candidate_labels=TOPICS) == ask(
        zero_shot, inputs=SOUP, candidate_labels=TOPICS
    )


@settings(max_examples=20, deadline=None)
@given(
    text=st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), min_size=1, max_size=40),
    labels=st.lists(
        st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), min_size=1, max_size=10),
        min_size=1,
        max_size=4,
    ),
    multi_label=st.booleans(),
)
def test_whatever_the_text_and_the_labels_are_there_is_an_answer(
    zero_shot: AnyPipeline, text: str, labels: list[str], multi_label: bool
) -> None:
    (result,) = ask(zero_shot, inputs=text, candidate_labels=labels, multi_label=multi_label)
    assert sorted(result["labels"]) == sorted(labels)
    assert all(0 <= score <= 1 for score in result["scores"])
    if len(labels) > 1 and not multi_label:
        assert sum(result["scores"]) == pytest.approx(1.0)


def hypothesis_of(tokens: int) -> dict[str, Any]:
    """Arguments with one hypothesis of this many tokens; a label alone can have 250 at most."""
    return {"candidate_labels": ["a " * 125], "hypothesis_template": "{0}{0}{0}{0}" + " b" * (tokens - 500)}


def test_a_hypothesis_that_leaves_no_room_is_an_error_of_its_request_and_the_others_are_answered(
    zero_shot: AnyPipeline,
) -> None:
    arguments = [
        {"inputs": SOUP, "candidate_labels": TOPICS},
        {"inputs": [SOUP, MATCH], **hypothesis_of(ROOM)},
        {"inputs": MATCH, "candidate_labels": TOPICS},
    ]
    answers: list[list[Any]] = zero_shot.answer([ZeroShotClassificationRequest.parse(one) for one in arguments])
    (soup,), errors, (match,) = answers
    assert [soup["labels"][0], match["labels"][0]] == ["food", "sports"]
    assert len(errors) == 2
    for error in errors:
        assert isinstance(error, InvalidRequest)
        assert (error.code, error.field) == (ErrorCode.TOO_MANY_TOKENS, "candidate_labels")
        assert error.limit == ROOM - 1
        assert str(ROOM - 1) in error.message


def test_a_hypothesis_of_as_many_tokens_as_the_limit_says_is_answered(zero_shot: AnyPipeline) -> None:
    (result,) = ask(zero_shot, inputs=MATCH * 50, **hypothesis_of(ROOM - 1))
    assert len(result["scores"]) == 1


def test_one_label_that_is_too_long_is_an_error_also_beside_short_ones(zero_shot: AnyPipeline) -> None:
    long = hypothesis_of(ROOM)
    for labels in (["b", *long["candidate_labels"]], [*long["candidate_labels"], "b"]):
        (error,) = ask(zero_shot, inputs=MATCH, **{**long, "candidate_labels": labels})
        assert isinstance(error, InvalidRequest)
        assert error.field == "candidate_labels"


@pytest.mark.parametrize("label", ["a", "a " * 60])
def test_of_a_text_of_ten_thousand_words_as_much_is_read_as_the_label_leaves_room_for(
    zero_shot: AnyPipeline, label: str
) -> None:
    tokens = len(label.split())
    long, cut, shorter = "good " * 10_000, "good " * (ROOM - tokens), "good " * (ROOM - tokens - 40)
    read = scores(zero_shot, long, [label], hypothesis_template="{}")
    assert read == scores(zero_shot, cut, [label], hypothesis_template="{}")
    assert read != scores(zero_shot, shorter, [label], hypothesis_template="{}")


def test_each_label_of_a_long_text_fills_what_the_model_reads_and_stands_at_the_end(zero_shot: AnyPipeline) -> None:
    labels = ["a", "a " * 60, "public health"]
    request = {"inputs": f"{SOUP} " * 1_200, "candidate_labels": labels, "hypothesis_template": "{}"}
    ((item,),) = zero_shot.preprocess([ZeroShotClassificationRequest.parse(request)])
    assert isinstance(item, EncodedItem)
    for label, sequence in zip(labels, item.sequences, strict=True):
        _, *hypothesis = zero_shot.tokenizer.encode(label).ids
        assert len(sequence.ids) == len(sequence.type_ids) == zero_shot.max_length
        assert sequence.ids[-len(hypothesis) :] == hypothesis
        assert sum(sequence.type_ids) == len(hypothesis)


def test_of_a_long_text_with_a_long_label_the_label_is_read_to_its_end(zero_shot: AnyPipeline) -> None:
    long = f"{SOUP} " * 1_200
    start = "it is said by everyone who was there that " * 9
    ends = [scores(zero_shot, long, [f"{start}this is {end}"])[f"{start}this is {end}"] for end in ("food", "not food")]
    assert abs(ends[0] - ends[1]) > 0.02


def test_a_text_of_spaces_alone_is_answered(zero_shot: AnyPipeline) -> None:
    assert sum(scores(zero_shot, " \t\n", TOPICS).values()) == pytest.approx(1.0)


def test_labels_of_another_order_change_what_is_taken_for_entailment(
    nli: StoredModel, zero_shot: AnyPipeline, tmp_path: Path
) -> None:
    names = {"0": "contradiction", "1": "neutral", "2": "entailment"}
    model = with_config(nli, tmp_path, id2label=names)
    turned = ZeroShotClassificationPipeline(model, engine_options(), zero_shot.engine)
    before, after = (scores(pipeline, SOUP, TOPICS, multi_label=True) for pipeline in (zero_shot, turned))
    assert after == pytest.approx({label: 1 - score for label, score in before.items()}, abs=1e-3)
