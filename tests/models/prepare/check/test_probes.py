"""Probes have the lengths that they are meant to have, and the batches."""

from __future__ import annotations

from itertools import pairwise

import pytest

from models.engine.batching import BatchingOptions, plan_batches
from models.prepare.check.probes import MAX_COMPUTED_TOKENS, Probe, step_lengths
from models.prepare.check.task_probes import probes_of
from models.prepare.check.texts import TextMaker
from producer.contract import TaskName

BATCHING = BatchingOptions(512, 8)
SPECIAL = 2


def count_tokens(text: str, pair: str | None = None) -> int:
    """Tokens of a tokenizer with one token a word, and two for words of more than seven letters."""
    words = [*text.split(), *(pair or "").split()]
    return SPECIAL + (pair is not None) + sum(1 + (len(word) > 7) for word in words)


def probes(task: TaskName, max_length: int = 512) -> list[Probe]:
    return probes_of(task, count_tokens, max_length, BATCHING, ["[CLS]", "[SEP]"])


def lengths_of(probe: Probe) -> list[int]:
    items = [item for request in probe.requests for item in request.items]  # type: ignore[attr-defined]
    return [count_tokens(item.text, item.text_pair) for item in items]


@pytest.mark.parametrize("tokens", [*range(3, 40), 100, 511, 512, 1536])
def test_a_text_has_the_wanted_number_of_tokens(tokens: int) -> None:
    texts = TextMaker(count_tokens)
    assert [count_tokens(texts.of_tokens(tokens)) for _ in range(3)] == [tokens] * 3
    assert texts.of_tokens(60) != texts.of_tokens(60)


def test_a_text_is_never_empty() -> None:
    assert TextMaker(count_tokens).of_tokens(1) == "a"


@pytest.mark.parametrize("task", list(TaskName))
@pytest.mark.parametrize("max_length", [40, 512, 8192])
def test_there_are_thirty_probes_of_every_task_and_any_length(task: TaskName, max_length: int) -> None:
    found = probes(task, max_length)
    assert len(found) >= (25 if max_length == 40 else 30)
    assert all(probe.requests for probe in found)
    assert all(len(request.items) == 1 for probe in found for request in probe.requests)  # type: ignore[attr-defined]


@pytest.mark.parametrize("max_length", [512, 514, 8192])
def test_every_rounding_step_of_short_texts_is_probed_on_both_sides_and_longer_ones_in_turn(max_length: int) -> None:
    steps = step_lengths(max_length, BATCHING)
    lengths = {length for probe in probes(TaskName.TEXT_CLASSIFICATION, max_length) for length in lengths_of(probe)}
    short = [step for step in steps if step <= 64]
    assert short == [*range(8, 65, 8)]
    assert {length for step in short for length in (step, step + 1)} <= lengths
    assert {step - 1 for step in short[::4]} <= lengths
    near = [step for step in steps if {step - 1, step, step + 1} & lengths]
    assert {step for step in steps if step <= 128} <= set(near)
    assert len([step for step in near if step > 128]) >= len([step for step in steps if step > 128]) // 3
    assert {SPECIAL + 1, min(max_length, MAX_COMPUTED_TOKENS), max_length + 1, max_length + 2} <= lengths
    # No text is longer than requests may be.
    assert max(lengths) == 3 * max_length if max_length < 1000 else max(lengths) > 2 * max_length


def test_long_rows_are_not_computed() -> None:
    found = probes(TaskName.TEXT_CLASSIFICATION, 8192)
    assert {probe.is_computed for probe in found} == {False, True}
    for probe in found:
        assert not probe.is_computed or max(lengths_of(probe)) <= MAX_COMPUTED_TOKENS, probe.name


def test_one_batch_has_an_empty_row_and_others_have_rows_of_many_lengths() -> None:
    found = {probe.name: lengths_of(probe) for probe in probes(TaskName.TEXT_CLASSIFICATION)}
    (lengths,) = [lengths for name, lengths in found.items() if name == "a batch with an empty row"]
    assert any(plan.rows > len(plan.indices) for plan in plan_batches(lengths, 512, BATCHING))
    mixed = found["texts one token beyond every rounding step up to 64 tokens, together"]
    assert len({plan.padded_length for plan in plan_batches(mixed, 512, BATCHING)}) >= 7


def test_all_texts_together_take_seconds_with_a_model_of_ordinary_size() -> None:
    computed = [probe for probe in probes(TaskName.TEXT_CLASSIFICATION) if probe.is_computed]
    tokens = sum(min(length, 512) for probe in computed for length in lengths_of(probe))
    assert tokens < 5_000


def test_probes_have_names_of_their_own_but_for_texts_alone() -> None:
    names = sorted(probe.name for probe in probes(TaskName.TEXT_CLASSIFICATION) if probe.name != "a text on its own")
    assert all(one != other for one, other in pairwise(names))
