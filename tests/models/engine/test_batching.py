"""Sequences are divided into batches, whatever their lengths are."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from models.engine.batching import BatchingOptions, BatchPlan, plan_batches

MAX_LENGTH = 512
LENGTHS = st.lists(st.integers(1, MAX_LENGTH), max_size=80)
OPTIONS = st.builds(BatchingOptions, max_tokens=st.integers(1, 2048), length_multiple=st.integers(1, 64))


@given(LENGTHS, OPTIONS)
def test_every_sequence_is_in_exactly_one_batch(lengths: list[int], options: BatchingOptions) -> None:
    plans = plan_batches(lengths, MAX_LENGTH, options)
    assert sorted(index for plan in plans for index in plan.indices) == list(range(len(lengths)))
    assert all(plan.indices for plan in plans)


@given(LENGTHS, OPTIONS)
def test_only_a_sequence_that_is_alone_may_pass_the_budget(lengths: list[int], options: BatchingOptions) -> None:
    for plan in plan_batches(lengths, MAX_LENGTH, options):
        assert plan.rows == 1 or plan.rows * plan.padded_length <= options.max_tokens


@given(LENGTHS, OPTIONS)
@example([289], BatchingOptions(max_tokens=512, length_multiple=3))
def test_rows_hold_their_sequences_and_are_a_multiple_long_or_as_long_as_the_model_reads(
    lengths: list[int], options: BatchingOptions
) -> None:
    for plan in plan_batches(lengths, MAX_LENGTH, options):
        longest = max(lengths[index] for index in plan.indices)
        assert longest <= plan.padded_length <= MAX_LENGTH
        # A step is less than twice a sixteenth of the next power of two.
        assert plan.padded_length < longest + max(options.length_multiple, longest / 4)
        if options.length_multiple.bit_count() == 1:
            # As the default is: then the steps begin at a power of two.
            assert plan.padded_length < longest + options.length_multiple + longest / 8
        assert plan.padded_length % options.length_multiple == 0 or plan.padded_length == MAX_LENGTH


@given(LENGTHS, OPTIONS)
def test_batches_go_from_short_to_long_and_keep_the_order_of_equal_lengths(
    lengths: list[int], options: BatchingOptions
) -> None:
    order = [index for plan in plan_batches(lengths, MAX_LENGTH, options) for index in plan.indices]
    assert order == sorted(range(len(lengths)), key=lambda index: (lengths[index], index))


@given(LENGTHS, OPTIONS)
def test_a_sequence_has_the_shape_that_it_has_alone(lengths: list[int], options: BatchingOptions) -> None:
    for plan in plan_batches(lengths, MAX_LENGTH, options):
        for index in plan.indices:
            (alone,) = plan_batches([lengths[index]], MAX_LENGTH, options)
            assert alone.padded_length == plan.padded_length


@given(LENGTHS, OPTIONS)
def test_few_rows_are_empty(lengths: list[int], options: BatchingOptions) -> None:
    for plan in plan_batches(lengths, MAX_LENGTH, options):
        assert 0 <= (plan.rows - len(plan.indices)) * plan.padded_length <= 32


@given(st.integers(1, MAX_LENGTH), st.integers(1, 200), OPTIONS)
def test_sequences_of_one_length_take_few_batches(length: int, count: int, options: BatchingOptions) -> None:
    plans = plan_batches([length] * count, MAX_LENGTH, options)
    most = max(1, options.max_tokens // plans[0].padded_length)
    # A batch may be a fifth smaller than the budget, and the last rows are cut once or twice more.
    assert len(plans) <= count / (0.8 * most) + 3


@given(st.integers(1, 2048))
def test_there_are_few_numbers_of_rows(max_tokens: int) -> None:
    options = BatchingOptions(max_tokens=max_tokens, length_multiple=8)
    seen = {plan.rows for count in range(1, 70) for plan in plan_batches([8] * count, MAX_LENGTH, options)}
    assert len(seen) <= 4 * 5 + 1
    assert all(rows >> max(0, rows.bit_length() - 3) << max(0, rows.bit_length() - 3) == rows for rows in seen)


@pytest.mark.parametrize(
    ("lengths", "plans"),
    [
        ([], []),
        ([5], [BatchPlan([0], 8, 1)]),
        ([30, 3, 9, 1], [BatchPlan([3, 1], 4, 2), BatchPlan([2], 12, 1), BatchPlan([0], 32, 1)]),
        ([100], [BatchPlan([0], 104, 1)]),
        ([100, 100], [BatchPlan([0], 104, 1), BatchPlan([1], 104, 1)]),
        ([1] * 9, [BatchPlan([*range(8)], 4, 8), BatchPlan([8], 4, 1)]),
    ],
)
def test_plans_of_a_budget_of_32_tokens(lengths: list[int], plans: list[BatchPlan]) -> None:
    assert plan_batches(lengths, MAX_LENGTH, BatchingOptions(max_tokens=32, length_multiple=4)) == plans


@pytest.mark.parametrize(
    ("length", "padded"), [(1, 4), (61, 64), (65, 72), (128, 128), (129, 144), (257, 288), (385, 416), (512, 512)]
)
def test_long_sequences_are_rounded_to_coarser_lengths(length: int, padded: int) -> None:
    (plan,) = plan_batches([length], 512, BatchingOptions(max_tokens=512, length_multiple=4))
    assert plan.padded_length == padded


@given(st.integers(1, 64))
def test_there_are_few_lengths(multiple: int) -> None:
    options = BatchingOptions(max_tokens=512, length_multiple=multiple)
    lengths = [plan_batches([length], 512, options)[0].padded_length for length in range(1, 513)]
    assert lengths == sorted(lengths)
    assert len(set(lengths)) <= 64 // multiple + 3 * 8 + 1


def test_a_length_is_not_rounded_up_past_what_the_model_reads() -> None:
    (plan,) = plan_batches([509], 510, BatchingOptions(max_tokens=512, length_multiple=4))
    assert plan.padded_length == 510
