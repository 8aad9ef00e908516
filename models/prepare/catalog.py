"""The models that the project knows by name, and how each is quantized."""

from __future__ import annotations

from dataclasses import dataclass

from models.prepare.quantize.recipe import QuantizationRecipe
from producer.contract import TaskName

__all__ = ["CATALOG", "CatalogEntry"]


_DEFAULT_RECIPE = QuantizationRecipe()


@dataclass(frozen=True)
class CatalogEntry:
    """One known model.

    Attributes:
        name: the name that requests use.
        task: the task that it is made for.
        summary: one line about it, for its card.
        licence: used if the checkpoint's card names none.
        recipe: the first recipe that is tried.
        note: what its card says after the recipe.
    """

    name: str
    task: TaskName
    summary: str
    licence: str
    recipe: QuantizationRecipe = _DEFAULT_RECIPE
    note: str = ""


CATALOG: dict[str, CatalogEntry] = {
    entry.name: entry
    for entry in (
        CatalogEntry(
            name="sentiment",
            task=TaskName.TEXT_CLASSIFICATION,
            summary="English sentiment, NEGATIVE or POSITIVE: MiniLM-L6 fine-tuned on SST-2",
            licence="Apache-2.0",
            note=(
                "Six recipes were compared on the evaluation data named below (presets mixed and performance, "
                "SmoothQuant 0.95, 0.5 and none): 778 to 782 of 872 correct. This one gave 782."
            ),
        ),
        CatalogEntry(
            name="nli",
            task=TaskName.ZERO_SHOT_CLASSIFICATION,
            summary="English zero-shot classification: MiniLM-L6 fine-tuned on natural language inference",
            licence="Apache-2.0",
            recipe=QuantizationRecipe(smooth_quant_alpha=0.95),
            note=(
                "Three recipes were compared: without SmoothQuant 0.42 (mixed) and 0.69 points (performance) of MNLI "
                "are lost and AG News moves by 2; with SmoothQuant 0.95 next to nothing changes."
            ),
        ),
        CatalogEntry(
            name="qa",
            task=TaskName.QUESTION_ANSWERING,
            summary="English extractive question answering: MiniLM-L6 fine-tuned on SQuAD v1.1",
            licence="Apache-2.0",
            recipe=QuantizationRecipe(smooth_quant_alpha=0.95),
            note=(
                "Three recipes were compared on the first 1,500 questions: without SmoothQuant 0.8 (mixed) and 0.9 "
                "points (performance) of F1 are lost, with SmoothQuant 0.95 none."
            ),
        ),
    )
}
