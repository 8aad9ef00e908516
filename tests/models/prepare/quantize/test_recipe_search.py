"""Which recipes are tried, and which one is used."""

from __future__ import annotations

import pytest

from models.errors import AccuracyError
from models.prepare.catalog import CATALOG
from models.prepare.quantize.recipe import QuantizationMethod, QuantizationRecipe
from models.prepare.quantize.recipe_search import Trial, recipes_from, search_recipe

SMOOTH = QuantizationRecipe(smooth_quant_alpha=0.95)


def test_every_search_begins_with_what_was_asked_for_and_ends_with_weights_alone() -> None:
    for first in [SMOOTH, QuantizationRecipe(), *(entry.recipe for entry in CATALOG.values())]:
        recipes = recipes_from(first)
        assert recipes[0] == first
        assert recipes[-1].method is QuantizationMethod.WEIGHTS
        assert len(set(recipes)) == len(recipes) == 4


def test_a_recipe_says_what_it_is() -> None:
    assert [str(recipe) for recipe in recipes_from(SMOOTH)] == [
        "mixed, SmoothQuant 0.95",
        "performance, SmoothQuant 0.95",
        "mixed, SmoothQuant 0.95, FP32 after activation functions",
        "weights alone",
    ]


@pytest.mark.parametrize(("allowed", "winner"), [(3.0, 0), (2.9, 1), (1.0, 2), (0.1, 3)])
def test_the_first_recipe_that_loses_no_more_than_allowed_wins(allowed: float, winner: int) -> None:
    recipes = recipes_from(SMOOTH)
    drops = dict(zip(recipes, (3.0, 2.0, 1.0, 0.0), strict=True))
    reported: list[Trial] = []
    result, trials = search_recipe(recipes, lambda recipe: (str(recipe), drops[recipe]), allowed, reported.append)
    assert result == str(recipes[winner])
    assert trials == reported == [Trial(recipe, drops[recipe]) for recipe in recipes[: winner + 1]]


def test_what_gains_accuracy_wins_at_once() -> None:
    result, _ = search_recipe(recipes_from(SMOOTH), lambda recipe: (recipe, -0.5), 0.0, lambda _: None)
    assert result == SMOOTH


def test_without_a_measurement_the_first_recipe_is_the_only_one() -> None:
    result, trials = search_recipe(recipes_from(SMOOTH), lambda recipe: (recipe, None), 0.5, lambda _: None)
    assert result == SMOOTH
    assert [str(trial) for trial in trials] == ["mixed, SmoothQuant 0.95: not measured"]


def test_when_every_recipe_loses_too_much_the_error_has_what_each_lost() -> None:
    with pytest.raises(
        AccuracyError, match=r"more than 0.5 points \(--max-drop\): mixed, .*: 1.25 points lost; .*alone"
    ):
        search_recipe(recipes_from(SMOOTH), lambda recipe: (recipe, 1.25), 0.5, lambda _: None)
