"""How rows are made of sequences: padding on either side, rows that fill a batch, rows to warm up on."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.engine.batching import BatchingOptions, plan_batches
from models.engine.engine import Engine
from models.engine.feeding import BERT, Feeding, Sample, TokenSequence, pack
from models.pipelines.base import AnyPipeline
from models.store import MODEL_NAME, StoredModel
from models.store.feeding_record import Side
from tests.models.options import engine_options

NAMES = ["input_ids", "attention_mask", "token_type_ids"]
PAIR = TokenSequence([7, 8, 9], [0, 0, 1])
SAMPLE = Sample(TokenSequence([1], [0]), TokenSequence([5, 6], [0, 0]), TokenSequence([2, 3], [0, 1]))


@pytest.mark.parametrize(
    ("side", "ids", "mask", "types"),
    [
        (Side.RIGHT, [7, 8, 9, 4, 4], [1, 1, 1, 0, 0], [0, 0, 1, 3, 3]),
        (Side.LEFT, [4, 4, 7, 8, 9], [0, 0, 1, 1, 1], [3, 3, 0, 0, 1]),
    ],
)
def test_a_row_is_padded_with_the_ids_and_on_the_side_of_the_model(
    side: Side, ids: list[int], mask: list[int], types: list[int]
) -> None:
    rows = pack(NAMES, [PAIR], (1, 5), Feeding(pad_id=4, pad_type_id=3, padding_side=side))
    assert {name: array.tolist() for name, array in rows.items()} == {
        "input_ids": [ids],
        "attention_mask": [mask],
        "token_type_ids": [types],
    }


def test_rows_that_fill_a_batch_are_real_inputs() -> None:
    rows = pack(NAMES[:2], [PAIR, TokenSequence([5], [0])], (4, 3), Feeding(pad_id=4))
    assert rows["input_ids"].tolist() == [[7, 8, 9], [5, 4, 4], [7, 8, 9], [7, 8, 9]]
    assert rows["attention_mask"].tolist() == [[1, 1, 1], [1, 0, 0], [1, 1, 1], [1, 1, 1]]


@pytest.mark.parametrize(("length", "ids"), [(1, [1, 5, 2, 3]), (4, [1, 5, 2, 3]), (7, [1, 5, 6, 5, 6, 2, 3])])
def test_a_sample_is_repeated_between_its_special_tokens(length: int, ids: list[int]) -> None:
    sequence = SAMPLE.of_length(length)
    assert list(sequence.ids) == ids
    assert len(sequence.type_ids) == len(ids)


@given(st.lists(st.tuples(st.integers(1, 60), st.integers(0, 2)), max_size=40))
def test_sequences_of_different_groups_never_share_a_batch(sequences: list[tuple[int, int]]) -> None:
    lengths, groups = [length for length, _ in sequences], [group for _, group in sequences]
    plans = plan_batches(lengths, 60, BatchingOptions(256, 8), groups)
    assert sorted(index for plan in plans for index in plan.indices) == list(range(len(sequences)))
    assert all(len({groups[index] for index in plan.indices}) == 1 for plan in plans)
    padded = {index: plan.padded_length for plan in plans for index in plan.indices}
    alone = [plan_batches([length], 60, BatchingOptions(256, 8))[0].padded_length for length in lengths]
    assert [padded[index] for index in range(len(sequences))] == alone


@given(st.lists(st.integers(1, 60), max_size=40))
def test_exact_lengths_have_no_padding(lengths: list[int]) -> None:
    plans = plan_batches(lengths, 60, BatchingOptions(256, 8), is_exact=True)
    assert sorted(index for plan in plans for index in plan.indices) == list(range(len(lengths)))
    assert all(lengths[index] == plan.padded_length for plan in plans for index in plan.indices)


def test_an_engine_that_must_not_pad_computes_no_padding(sentiment: StoredModel) -> None:
    engine = Engine(sentiment.directory / MODEL_NAME, 512, engine_options(), feeding=Feeding(is_padded=False))
    engine.compute([TokenSequence([101, *[2000] * count, 102], [0] * (count + 2)) for count in (1, 2, 2, 9)])
    usage = engine.take_usage()
    assert (usage.inferences, usage.padding_tokens) == (3, 0)


def test_the_tokens_that_rows_must_hold_equally_often_are_counted() -> None:
    assert Feeding(counted_id=2).group_of(TokenSequence([0, 2, 5, 2], [0] * 4)) == 2
    assert BERT.group_of(TokenSequence([0, 2, 5, 2], [0] * 4)) == 0


def test_a_bundled_model_warms_up_on_a_text_of_its_tokenizer(pipeline: AnyPipeline) -> None:
    sequence = pipeline.engine.feeding.sample.of_length(9)
    assert pipeline.tokenizer.decode(list(sequence.ids), skip_special_tokens=False) == (
        "[CLS] it was good it was good it [SEP]"
    )
    assert np.isfinite(pipeline.engine.compute([sequence])[0][0]).all()
