"""Which recipe is used: the fastest one whose answers are close enough to those of the model before quantization."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from models.errors import AccuracyError
from models.prepare.quantize.distance import Fp32Distance
from models.prepare.quantize.recipe import QuantizationRecipe

__all__ = ["Trial", "most_trials", "search_recipe"]


@dataclass(frozen=True)
class Trial:
    """One recipe that was tried.

    Attributes:
        recipe: what was tried.
        distance: how far its answers are from those of the model before quantization.
        speed: how many times as fast as that model it is.
    """

    recipe: QuantizationRecipe
    distance: Fp32Distance
    speed: float

    def __str__(self) -> str:
        return f"{self.recipe}: {self.distance}, {self.speed:.2f} times as fast as FP32"


def search_recipe(
    recipes: Sequence[QuantizationRecipe], try_recipe: Callable[[QuantizationRecipe], Trial], max_distance: float
) -> tuple[Trial, list[Trial]]:
    """Find the fastest recipe that is within a limit.

    The fastest recipe is tried first. If it is too far away, the others are bisected, since each is closer than those
    before it. Where two of them are in the wrong order by a little, the outcome may not be the fastest one within the
    limit; it has always been tried and found within it.

    Args:
        recipes: at least one, fastest first, each closer than the one before.
        try_recipe: quantizes by a recipe, and measures the result.
        max_distance: most that :attr:`Fp32Distance.value` may be.

    Returns:
        The trial of the chosen recipe, and all trials in the order of the recipes.

    Raises:
        AccuracyError: the last recipe is not within the limit.
    """
    trials: dict[int, Trial] = {}

    def is_within(index: int) -> bool:
        trials[index] = try_recipe(recipes[index])
        return trials[index].distance.value <= max_distance

    # All recipes before `lowest` are too far away; `highest` is within the limit, or stands for none.
    lowest, highest = (0, 0) if is_within(0) else (1, len(recipes))
    while lowest < highest:
        middle = (lowest + highest) // 2
        if is_within(middle):
            highest = middle
        else:
            lowest = middle + 1
    found = [trial for _, trial in sorted(trials.items())]
    if lowest == len(recipes):
        raise AccuracyError(_too_far(found, max_distance))
    return trials[lowest], found


def most_trials(recipes: int) -> int:
    """The most trials that a search among so many recipes takes."""
    return 1 + (recipes - 1).bit_length()


def _too_far(trials: Sequence[Trial], max_distance: float) -> str:
    closest = min(trials, key=lambda trial: trial.distance.value)
    distance = closest.distance
    return (
        f"no recipe is within --max-distance {max_distance:g} of FP32. The closest one, {closest.recipe}, exceeds it "
        f"by {distance.value - max_distance:.2g} ({distance}). Calibrate on rows like those that the model will "
        f"answer (--calibration), or allow more (--max-distance)"
    )
