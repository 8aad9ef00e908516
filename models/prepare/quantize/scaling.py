"""By what the input channels of a group are divided, and its weights multiplied, before both are quantized.

SmoothQuant (https://arxiv.org/abs/2211.10438) moves outliers of activations into the weights, by one strength for all
products. Here each group has its own strength: the one with which its products of sampled tokens err least.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from models.prepare.quantize.integer_weights import Floats, round_to_nearest
from models.prepare.quantize.statistics import InputStatistics

__all__ = ["Scaling", "ValueRange", "scale_for_dynamic", "scale_for_static"]

#: A strong scaling makes activations easy to round and weights hard. Dynamic inputs need less of it, and keep the
#: weights closer for a CPU that computes in floating point.
_STATIC_STRENGTHS = (0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
_DYNAMIC_STRENGTHS = (0.3, 0.4, 0.5, 0.6)
#: Parts of the range of all values seen. Values beyond the range are clipped, and the others have finer steps.
_RANGE_PARTS = (1.0, 0.85, 0.7, 0.55, 0.4)
_LEVELS = 255
_SYMMETRIC_LIMIT = 127
_SMALLEST, _LARGEST = 0.01, 100.0
_TINY = 1e-6


@dataclass(frozen=True)
class ValueRange:
    """The range of u8 activations. Zero is one of its 256 values."""

    low: float
    high: float

    @classmethod
    def around(cls, low: float, high: float) -> ValueRange:
        """The range that includes ``low``, ``high`` and zero, as far as whole steps allow."""
        low, high = min(low, 0.0), max(high, _TINY)
        step = (high - low) / _LEVELS
        below = round(-low / step)
        return cls(-below * step, (_LEVELS - below) * step)

    def quantized(self, values: Floats) -> Floats:
        """The values as quantization represents them."""
        step = (self.high - self.low) / _LEVELS
        clipped = np.clip(values, self.low, self.high)
        rounded: Floats = (np.round((clipped - self.low) / step) * step + self.low).astype(np.float32)
        return rounded


@dataclass(frozen=True)
class Scaling:
    """How a group is quantized.

    Attributes:
        divisors: of the input channels, of shape (width,); None for no scaling.
        error: of the group's products on the sampled tokens, relative to their mean square.
        range: of the scaled input; None if its activations are quantized as they come.
    """

    divisors: Floats | None
    error: float
    range: ValueRange | None = None


def scale_for_static(inputs: InputStatistics, weights: Sequence[Floats]) -> Scaling:
    """The best scaling where activations have one range for all tokens.

    Args:
        inputs: what the group reads.
        weights: of its products, each of shape (results, width).
    """
    trial = _Trial(inputs, weights)
    scalings = []
    for divisors in trial.divisors(_STATIC_STRENGTHS):
        results = trial.rounded_weights(divisors, is_symmetric=True)
        tokens, low, high = (values / divisors for values in (inputs.tokens, inputs.low, inputs.high))
        for part in _RANGE_PARTS:
            values = ValueRange.around(part * float(low.min()), part * float(high.max()))
            scalings.append(Scaling(divisors, trial.error(values.quantized(tokens), results), values))
    return min(scalings, key=lambda scaling: scaling.error)


def scale_for_dynamic(inputs: InputStatistics, weights: Sequence[Floats], group_values: int) -> Scaling:
    """The best scaling where each token's activations are quantized as they come.

    Args:
        inputs: what the group reads.
        weights: of its products, each of shape (results, width).
        group_values: neighbouring channels that share a step.
    """
    trial = _Trial(inputs, weights)
    scalings = []
    for divisors in trial.divisors(_DYNAMIC_STRENGTHS):
        results = trial.rounded_weights(divisors, is_symmetric=False)
        tokens = _quantized_by_token(inputs.tokens / divisors, group_values)
        scalings.append(Scaling(divisors, trial.error(tokens, results)))
    return min(scalings, key=lambda scaling: scaling.error)


class _Trial:
    """Compares the products of quantized factors with those of the original ones."""

    def __init__(self, inputs: InputStatistics, weights: Sequence[Floats]) -> None:
        self._inputs = inputs
        self._weights = np.concatenate(weights)
        self._wanted = inputs.tokens @ self._weights.T
        self._square = float(np.square(self._wanted).mean()) or 1.0

    def divisors(self, strengths: Sequence[float]) -> Iterator[Floats]:
        """The candidates: none, then one for each strength."""
        yield np.ones(self._weights.shape[1], np.float32)
        activations = np.maximum(np.abs(self._inputs.low), np.abs(self._inputs.high)) + _TINY
        weights = np.abs(self._weights).max(axis=0) + _TINY
        for strength in strengths:
            divisors = activations**strength / weights ** (1 - strength)
            divisors /= np.exp(np.log(divisors).mean())
            yield np.clip(divisors, _SMALLEST, _LARGEST).astype(np.float16).astype(np.float32)

    def rounded_weights(self, divisors: Floats, *, is_symmetric: bool) -> Floats:
        return round_to_nearest(self._weights * divisors, is_symmetric=is_symmetric).values

    def error(self, tokens: Floats, weights: Floats) -> float:
        return float(np.square(tokens @ weights.T - self._wanted).mean()) / self._square


def _quantized_by_token(tokens: Floats, group_values: int) -> Floats:
    count, width = tokens.shape
    size = group_values if width % group_values == 0 else width
    groups = tokens.reshape(count, width // size, size)
    steps = np.maximum(np.abs(groups).max(axis=2, keepdims=True) / _SYMMETRIC_LIMIT, np.finfo(np.float32).tiny)
    quantized: Floats = (np.round(groups / steps) * steps).reshape(count, width)
    return quantized
