"""Which recipes are tried for a model, and which of them wins."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from models.errors import AccuracyError
from models.store.catalog import QuantizationMethod, QuantizationRecipe

__all__ = ["SMOOTH_QUANT_ALPHA", "Attempt", "choose", "recipes_from"]

#: nncf's own default for transformers.
SMOOTH_QUANT_ALPHA = 0.95
Result = TypeVar("Result")
_OTHER_PRESET = {"mixed": "performance", "performance": "mixed"}


@dataclass(frozen=True)
class Attempt:
    """One recipe and what it cost.

    Attributes:
        drop_points: the most that it lost on any of the evaluation data, in points; None if that was not measured.
    """

    recipe: QuantizationRecipe
    drop_points: float | None

    def __str__(self) -> str:
        lost = "not measured" if self.drop_points is None else f"{self.drop_points:.2f} points lost"
        return f"{self.recipe}: {lost}"


def recipes_from(first: QuantizationRecipe) -> list[QuantizationRecipe]:
    """``first``, then others in the order of what they cost in speed.

    The other preset costs next to nothing, products that stay in FP32 some, and with weights alone in INT8 the
    arithmetic is FP32's.
    """
    alpha = first.smooth_quant_alpha if first.smooth_quant_alpha >= 0 else SMOOTH_QUANT_ALPHA
    smooth = replace(first, smooth_quant_alpha=alpha)
    ladder = [
        first,
        replace(smooth, preset=_OTHER_PRESET[first.preset]),
        replace(smooth, preset="mixed", keeps_products_after_activations=True),
        QuantizationRecipe(method=QuantizationMethod.WEIGHTS, calibration_rows=0),
    ]
    return list(dict.fromkeys(ladder))


def choose(
    recipes: Sequence[QuantizationRecipe],
    attempt: Callable[[QuantizationRecipe], tuple[Result, float | None]],
    max_drop_points: float,
    report: Callable[[Attempt], None],
) -> tuple[Result, list[Attempt]]:
    """Try recipes in order until one loses no more than allowed.

    Args:
        recipes: in the order of preference.
        attempt: makes a model by a recipe; gives it, and the points that it lost or None where none can be measured.
        max_drop_points: how much may be lost.
        report: told of every attempt.

    Returns:
        What the winner gave, and all attempts, the winner's last. What was not measured wins at once.

    Raises:
        AccuracyError: each of them loses more.
    """
    attempts: list[Attempt] = []
    for recipe in recipes:
        result, drop_points = attempt(recipe)
        attempts.append(Attempt(recipe, drop_points))
        report(attempts[-1])
        if drop_points is None or drop_points <= max_drop_points:
            return result, attempts
    tried = "; ".join(map(str, attempts))
    raise AccuracyError(f"every recipe loses more than {max_drop_points:g} points (--max-drop): {tried}")
