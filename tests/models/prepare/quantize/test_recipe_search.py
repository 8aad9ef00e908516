"""Which recipe is chosen, and how many are tried for that."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.errors import AccuracyError
from models.prepare.quantize.distance import Fp32Distance
from models.prepare.quantize.recipe import QuantizationRecipe, recipes_for
from models.prepare.quantize.recipe_search import Trial, most_trials, search_recipe

CHAIN = recipes_for([32] * 24, attention_rank=3)


def distance(mean: float, other_spans: float | None = None) -> Fp32Distance:
    """A distance of which one number counts."""
    return Fp32Distance(rows=100, mean=mean, p999=0.1, largest=0.2, logits=0.3, other_spans=other_spans)


def search(values: Sequence[float], limit: float) -> tuple[int, list[int]]:
    """Search recipes of these distances; returns the index of the chosen one, and of all that were tried, in turn."""
    recipes = CHAIN[: len(values)]
    tried: list[int] = []

    def try_recipe(recipe: QuantizationRecipe) -> Trial:
        tried.append(recipes.index(recipe))
        return Trial(recipe, distance(values[tried[-1]]), speed=2.0)

    chosen, trials = search_recipe(recipes, try_recipe, limit)
    assert [recipes.index(trial.recipe) for trial in trials] == sorted(tried)
    return recipes.index(chosen.recipe), tried


def test_the_chain_is_long_enough_to_search() -> None:
    assert len(CHAIN) > 10


def test_a_fastest_recipe_that_is_close_enough_is_the_only_one_that_is_tried() -> None:
    assert search([0.008, 0.004, 0.001], 0.008) == (0, [0])


@given(st.lists(st.floats(0.0, 1.0), min_size=1, max_size=len(CHAIN)).map(sorted), st.floats(0.0, 1.0))
def test_the_fastest_within_the_limit_is_found_in_few_trials(ascending: list[float], limit: float) -> None:
    values = ascending[::-1]
    if values[-1] > limit:
        with pytest.raises(AccuracyError):
            search(values, limit)
        return
    chosen, tried = search(values, limit)
    assert chosen == next(index for index, value in enumerate(values) if value <= limit)
    assert len(tried) == len(set(tried)) <= most_trials(len(values))


@given(st.lists(st.floats(0.0, 1.0), min_size=1, max_size=len(CHAIN)), st.floats(0.0, 1.0))
def test_what_is_chosen_was_tried_and_found_within_the_limit_whatever_the_order(
    values: list[float], limit: float
) -> None:
    try:
        chosen, tried = search(values, limit)
    except AccuracyError:
        assert values[-1] > limit
    else:
        assert chosen in tried
        assert values[chosen] <= limit


def test_answers_that_are_no_numbers_are_never_within_the_limit() -> None:
    with pytest.raises(AccuracyError):
        search([float("nan")] * 3, 1.0)


def test_for_questions_the_share_of_other_spans_counts() -> None:
    trial = Trial(CHAIN[0], distance(0.5, other_spans=0.03), 2.0)
    assert search_recipe(CHAIN, lambda _: trial, 0.03)[0] is trial


def test_if_no_recipe_is_within_the_limit_the_error_says_by_how_much_and_what_to_do() -> None:
    with pytest.raises(AccuracyError) as caught:
        search([0.05, 0.03, 0.012], 0.008)
    message = str(caught.value)
    assert (
        f"no recipe is within --max-distance 0.008 of FP32. The closest one, {CHAIN[2]}, exceeds it by 0.004" in message
    )
    assert "mean distance 0.0120" in message
    assert "(--calibration)" in message


def test_a_trial_is_one_line_with_distance_and_speed() -> None:
    line = str(Trial(CHAIN[-1], distance(0.01234, other_spans=0.025), 1.256))
    assert line == (
        "weights alone: other spans for 2.50% of the rows, mean distance 0.0123, 99.9th percentile 0.1000, "
        "largest 0.200, 1.26 times as fast as FP32"
    )
