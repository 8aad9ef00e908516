"""The compiled model: outputs belong to their sequences, whatever the batches were."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.engine.engine import Engine, TokenSequence
from models.engine.usage import Usage
from models.pipelines.base import AnyPipeline
from models.store import MODEL_NAME, StoredModel
from tests.models.options import engine_options

MAX_LENGTH = 512
CLS, SEP = 101, 102


@pytest.fixture(scope="module")
def engine(sentiment: StoredModel) -> Engine:
    """An engine with batches so small that most requests need several."""
    options = engine_options(threads=2, max_tokens=64, length_multiple=4)
    return Engine(sentiment.directory / MODEL_NAME, MAX_LENGTH, options)


def sequences(lengths: list[int]) -> list[TokenSequence]:
    """Sequences that differ, even if they have the same length."""
    ids = [[CLS, *(2000 + (7 * n + 13 * i) % 9000 for i in range(size - 2)), SEP] for n, size in enumerate(lengths)]
    return [TokenSequence(row, [0] * len(row)) for row in ids]


def logits(engine: Engine, lengths: list[int]) -> npt.NDArray[np.float32]:
    """Logits in the order of the sequences, of shape (sequences, labels)."""
    rows: dict[int, npt.NDArray[np.float32]] = {}
    for batch in engine.run(sequences(lengths)):
        (output,) = batch.outputs
        assert output.shape == (len(batch.indices), 2)
        rows.update(zip(batch.indices, output.copy(), strict=True))
    assert sorted(rows) == list(range(len(lengths)))
    return np.array([rows[index] for index in range(len(lengths))])


@settings(max_examples=10, deadline=None)
@given(st.lists(st.integers(3, 60), min_size=1, max_size=10))
def test_sequences_computed_together_give_what_they_give_alone(engine: Engine, lengths: list[int]) -> None:
    together = logits(engine, lengths)
    for index in range(len(lengths)):
        everything = sequences(lengths)
        (alone,) = engine.run([everything[index]])
        assert alone.outputs[0][0] == pytest.approx(together[index], abs=0.02)


def test_what_pads_a_row_is_not_read(engine: Engine, sentiment: StoredModel) -> None:
    lengths = [3, 11, 30, 63]
    options = engine_options(threads=2, max_tokens=512, length_multiple=128)
    padded = Engine(sentiment.directory / MODEL_NAME, MAX_LENGTH, options)
    assert logits(padded, lengths) == pytest.approx(logits(engine, lengths), abs=0.1)
    assert np.ptp(logits(padded, lengths), axis=0).max() > 0.5


def test_the_longest_sequence_that_the_model_reads_is_computed(engine: Engine) -> None:
    assert np.isfinite(logits(engine, [MAX_LENGTH, 3])).all()


def test_no_sequences_give_no_batches(engine: Engine) -> None:
    assert list(engine.run([])) == []


def test_the_parts_of_a_pair_are_told_apart(engine: Engine) -> None:
    ids = [CLS, 2003, SEP, 3000, SEP]
    ((one,), (two,)) = [
        [batch.outputs[0].copy() for batch in engine.run([TokenSequence(ids, types)])]
        for types in ([0, 0, 0, 0, 0], [0, 0, 0, 1, 1])
    ]
    assert np.abs(one - two).max() > 1e-3


def test_warming_up_leaves_the_answers_as_they_are(pipeline: AnyPipeline) -> None:
    before = logits(pipeline.engine, [5, 9])
    pipeline.warm_up()
    assert logits(pipeline.engine, [5, 9]) == pytest.approx(before)


def test_usage_is_what_was_computed_since_it_was_last_taken(engine: Engine) -> None:
    engine.take_usage()
    lengths = [3, 5, 30, 31, 60]

    logits(engine, lengths)

    usage = engine.take_usage()
    # 3 and 5 are computed as 4 and 8, 30 and 31 as 32 each, 60 as it is.
    assert (usage.tokens, usage.padding_tokens) == (sum(lengths), 1 + 3 + 2 + 1)
    assert usage.inferences == 4
    assert usage.seconds > 0
    assert engine.take_usage() == Usage()


def test_warming_up_is_no_usage(engine: Engine) -> None:
    engine.warm_up()

    assert engine.take_usage() == Usage()
