"""Families that are fed unlike BERT: how, and that their answers are then those of the published models."""

from __future__ import annotations

import pytest

from models import pipelines
from models.errors import CheckError, FeedingError
from models.store.feeding_record import FeedingRecord, Side
from producer.contract import Request, TaskName, TextClassificationRequest
from tests.models.options import engine_options
from tests.models.prepare.check.conftest import Export
from tests.models.prepare.check.families import POSITIONS

pytestmark = pytest.mark.prepare
FED = {
    "bert": FeedingRecord(),
    "qwen2": FeedingRecord(pad_id=3),
    "qwen2-left": FeedingRecord(pad_id=3, padding_side=Side.LEFT, truncation_side=Side.LEFT),
    "opt": FeedingRecord(pad_id=1),
    "bart": FeedingRecord(pad_id=1, counted_id=2),
    # Their tokenizers pad and cut as they like; the heads take the first token.
    "roberta": FeedingRecord(pad_id=1, truncation_side=Side.LEFT),
    "data2vec": FeedingRecord(pad_id=1),
    "convbert": FeedingRecord(pad_id=1, is_padded=False),
}


@pytest.mark.parametrize("family", FED)
def test_a_family_is_fed_as_it_was_trained_and_answers_as_it_was_published(exported: Export, family: str) -> None:
    one = exported(family)
    assert one.model.manifest.feeding == FED[family]
    seen = one.check()
    assert seen.reference.startswith("transformers 4.")
    assert max(seen.largest_score_difference, seen.largest_logit_difference) < 5e-4
    assert seen.score_range > 0.5
    assert seen.probes >= 30
    assert seen.texts >= 60
    assert seen.sequences >= seen.texts
    assert seen.shortest_tokens <= 5
    assert seen.longest_tokens == one.model.manifest.max_length_tokens
    if family != "bert":
        # Of the table of RoBERTa's relatives, two positions are never used.
        assert one.model.manifest.max_length_tokens == POSITIONS


@pytest.mark.parametrize("name", ["inference", "questions"])
def test_pairs_labels_and_spans_are_those_that_were_published(exported: Export, name: str) -> None:
    seen = exported(name).check()
    assert seen.probes >= 25
    assert max(seen.largest_score_difference, seen.largest_logit_difference) < 1e-4


@pytest.mark.parametrize("family", ["bart", "qwen2", "qwen2-left", "convbert"])
def test_answers_are_equal_to_the_last_bit_alone_and_in_a_batch(exported: Export, family: str) -> None:
    pipeline = pipelines.load_all(exported(family).model, engine_options(length_multiple=16))[
        TaskName.TEXT_CLASSIFICATION
    ]
    texts = ["it was " * count + "good" for count in range(1, 12)] + ["the film </s> was good", "a film <pad>"]
    requests: list[Request] = [TextClassificationRequest.parse({"inputs": text, "top_k": None}) for text in texts]
    requests += [
        TextClassificationRequest.parse({"inputs": {"text": text, "text_pair": "a film"}, "top_k": None})
        for text in texts
    ]
    together = pipeline.answer(requests)
    assert together == [pipeline.answer([request])[0] for request in requests]
    assert len({str(answer) for answer in together}) > len(texts)


def test_a_tokenizer_that_pads_on_the_left_is_refused_for_questions(exported: Export) -> None:
    from dataclasses import replace

    from models.prepare.feeding import with_feeding

    one = exported("qwen2-left")
    checkpoint = replace(one.checkpoint, task=TaskName.QUESTION_ANSWERING)
    with pytest.raises(FeedingError, match="pads or truncates on the left, and then questions come after"):
        with_feeding(one.model.manifest, checkpoint)


def test_a_graph_taken_as_published_is_compared_with_itself_row_by_row(exported: Export) -> None:
    seen = exported("qwen2").check(is_published=True)
    assert seen.reference == "the published graph in f32, row by row"
    assert seen.largest_score_difference < 1e-4
    with pytest.raises(CheckError, match="padding changes its answers"):
        exported("qwen2").with_facts(feeding={"pad_id": 5}).check(is_published=True)
