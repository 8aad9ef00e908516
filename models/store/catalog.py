"""The models that are known by name, and how each is made."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from producer.contract import TaskName

__all__ = ["CATALOG", "CatalogEntry", "QuantizationMethod", "QuantizationRecipe"]


class QuantizationMethod(StrEnum):
    """What is quantized: weights and activations, or weights alone, which computes in FP32."""

    STATIC = "nncf post-training quantization"
    WEIGHTS = "nncf weight compression, INT8 asymmetric"


@dataclass(frozen=True)
class QuantizationRecipe:
    """How a model is quantized to INT8.

    Attributes:
        method: what is quantized; what follows is for activations.
        preset: nncf's preset; ``mixed`` quantizes activations asymmetrically where they are not symmetric.
        smooth_quant_alpha: how much of the activations' outliers moves into the weights, from 0 to 1; -1 for none
            (SmoothQuant, https://arxiv.org/abs/2211.10438).
        keeps_products_after_activations: products whose input comes from an activation function stay in FP32: there
            the outliers are.
        calibration_rows: how many rows of the calibration data are used.
    """

    method: QuantizationMethod = QuantizationMethod.STATIC
    preset: str = "mixed"
    smooth_quant_alpha: float = -1.0
    keeps_products_after_activations: bool = False
    calibration_rows: int = 300

    def __str__(self) -> str:
        if self.method is QuantizationMethod.WEIGHTS:
            return "weights alone"
        smooth = f", SmoothQuant {self.smooth_quant_alpha:g}" if self.smooth_quant_alpha >= 0 else ""
        kept = ", FP32 after activation functions" if self.keeps_products_after_activations else ""
        return f"{self.preset}{smooth}{kept}"

    @property
    def facts(self) -> dict[str, str | int | float]:
        """What the manifest says of it."""
        if self.method is QuantizationMethod.WEIGHTS:
            return {"method": self.method.value}
        kept: dict[str, str | int | float] = {"in_fp32": "products after activation functions"}
        return {
            "method": self.method.value,
            "preset": self.preset,
            "smooth_quant_alpha": self.smooth_quant_alpha,
            **(kept if self.keeps_products_after_activations else {}),
            "calibration_rows": self.calibration_rows,
        }


@dataclass(frozen=True)
class CatalogEntry:
    """One model by name; ``note`` is what its card says beside the recipe."""

    name: str
    task: TaskName
    summary: str
    licence: str
    recipe: QuantizationRecipe = QuantizationRecipe()
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
