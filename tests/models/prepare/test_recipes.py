"""The ladder of recipes, and who wins on it."""

from __future__ import annotations

import pytest

from models.errors import AccuracyError
from models.prepare.quantize.recipes import Attempt, choose, recipes_from
from models.store.catalog import CATALOG, QuantizationMethod, QuantizationRecipe

SMOOTH = QuantizationRecipe(smooth_quant_alpha=0.95)


def test_every_ladder_begins_with_what_was_asked_for_and_ends_with_weights_alone() -> None:
    for first in [SMOOTH, QuantizationRecipe(), *(entry.recipe for entry in CATALOG.values())]:
        ladder = recipes_from(first)
        assert ladder[0] == first
        assert ladder[-1].method is QuantizationMethod.WEIGHTS
        assert len(set(ladder)) == len(ladder) == 4


def test_a_step_of_the_ladder_says_what_it_is() -> None:
    assert [str(recipe) for recipe in recipes_from(SMOOTH)] == [
        "mixed, SmoothQuant 0.95",
        "performance, SmoothQuant 0.95",
        "mixed, SmoothQuant 0.95, FP32 after activation functions",
        "weights alone",
    ]


@pytest.mark.parametrize(("allowed", "winner"), [(3.0, 0), (2.9, 1), (1.0, 2), (0.1, 3)])
def test_the_first_recipe_that_loses_no_more_than_allowed_wins(allowed: float, winner: int) -> None:
    ladder = recipes_from(SMOOTH)
    drops = dict(zip(ladder, (3.0, 2.0, 1.0, 0.0), strict=True))
    reported: list[Attempt] = []
    result, attempts = choose(ladder, lambda recipe: (str(recipe), drops[recipe]), allowed, reported.append)
    assert result == str(ladder[winner])
    assert attempts == reported == [Attempt(recipe, drops[recipe]) for recipe in ladder[: winner + 1]]


def test_what_gains_accuracy_wins_at_once() -> None:
    result, _ = choose(recipes_from(SMOOTH), lambda recipe: (recipe, -0.5), 0.0, lambda _: None)
    assert result == SMOOTH


def test_without_a_measurement_the_first_recipe_is_the_only_one() -> None:
    result, attempts = choose(recipes_from(SMOOTH), lambda recipe: (recipe, None), 0.5, lambda _: None)
    assert result == SMOOTH
    assert [str(attempt) for attempt in attempts] == ["mixed, SmoothQuant 0.95: not measured"]


def test_when_every_recipe_loses_too_much_the_error_has_what_each_lost() -> None:
    with pytest.raises(
        AccuracyError, match=r"more than 0.5 points \(--max-drop\): mixed, .*: 1.25 points lost; .*alone"
    ):
        choose(recipes_from(SMOOTH), lambda recipe: (recipe, 1.25), 0.5, lambda _: None)
