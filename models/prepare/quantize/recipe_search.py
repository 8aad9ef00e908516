"""Which recipes are tried for a model, and which one is used."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from models.errors import AccuracyError
from models.prepare.quantize.recipe import QuantizationMethod, QuantizationRecipe

__all__ = ["SMOOTH_QUANT_ALPHA", "Trial", "recipes_from", "search_recipe"]

#: nncf's own default for transformers.
SMOOTH_QUANT_ALPHA = 0.95
Quantized = TypeVar("Quantized")
_OTHER_PRESET = {"mixed": "performance", "performance": "mixed"}


@dataclass(frozen=True)
class Trial:
    """One recipe that was tried.

    Attributes:
        recipe: what was tried.
        points_lost: the most accuracy that it lost on any of the evaluation data, in percentage points; None if it was
            not measured.
    """

    recipe: QuantizationRecipe
    points_lost: float | None

    def __str__(self) -> str:
        lost = "not measured" if self.points_lost is None else f"{self.points_lost:.2f} points lost"
        return f"{self.recipe}: {lost}"


def recipes_from(first: QuantizationRecipe) -> list[QuantizationRecipe]:
    """``first``, then others by what they cost in speed, cheapest first.

    The other preset costs next to nothing, products that stay in FP32 some speed, and quantizing the weights alone
    leaves all arithmetic in FP32.
    """
    alpha = first.smooth_quant_alpha if first.smooth_quant_alpha >= 0 else SMOOTH_QUANT_ALPHA
    smooth = replace(first, smooth_quant_alpha=alpha)
    recipes = [
        first,
        replace(smooth, preset=_OTHER_PRESET[first.preset]),
        replace(smooth, preset="mixed", keeps_products_after_activations=True),
        QuantizationRecipe(method=QuantizationMethod.WEIGHTS, calibration_rows=0),
    ]
    return list(dict.fromkeys(recipes))


def search_recipe(
    recipes: Sequence[QuantizationRecipe],
    quantize: Callable[[QuantizationRecipe], tuple[Quantized, float | None]],
    max_points_lost: float,
    report: Callable[[Trial], None],
) -> tuple[Quantized, list[Trial]]:
    """Try recipes in order until one loses no more accuracy than allowed. One that is not measured is accepted.

    Args:
        recipes: in order of preference.
        quantize: quantizes a model by a recipe; returns it with the points that it lost, None if not measured.
        max_points_lost: most accuracy that may be lost, in percentage points.
        report: called with each trial.

    Returns:
        What ``quantize`` returned for the accepted recipe, and all trials, the accepted one last.

    Raises:
        AccuracyError: every recipe loses more.
    """
    trials: list[Trial] = []
    for recipe in recipes:
        quantized, points_lost = quantize(recipe)
        trials.append(Trial(recipe, points_lost))
        report(trials[-1])
        if points_lost is None or points_lost <= max_points_lost:
            return quantized, trials
    tried = "; ".join(map(str, trials))
    raise AccuracyError(f"every recipe loses more than {max_points_lost:g} points (--max-drop): {tried}")
