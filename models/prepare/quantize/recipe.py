"""How a model is quantized to INT8."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

__all__ = ["QuantizationMethod", "QuantizationRecipe"]


class QuantizationMethod(StrEnum):
    """What is quantized: weights and activations, or the weights alone, which computes in FP32."""

    STATIC = "nncf post-training quantization"
    WEIGHTS = "nncf weight compression, INT8 asymmetric"


@dataclass(frozen=True)
class QuantizationRecipe:
    """One way to quantize a model. All attributes but ``method`` concern activations.

    Attributes:
        method: what is quantized.
        preset: nncf's preset; ``mixed`` quantizes asymmetrically the activations that are not symmetric.
        smooth_quant_alpha: how much of the activations' outliers is moved into the weights, from 0 to 1; -1 for none
            (SmoothQuant, https://arxiv.org/abs/2211.10438).
        keeps_products_after_activations: matrix products whose input comes from an activation function stay in FP32,
            since their inputs have the largest outliers.
        calibration_rows: most rows of the calibration data that are used.
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
        """The recipe as the manifest records it."""
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
