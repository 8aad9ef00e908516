"""Weights as 8-bit integers: the steps between them, and how they are rounded."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

__all__ = ["Floats", "IntegerWeights", "round_to_correlations", "round_to_nearest"]

_LEVELS = 255
_SYMMETRIC_LIMIT = 127
#: Share of the mean correlation that is added to the diagonal, so that the matrix can be inverted.
_DAMPING = 0.01
#: Columns after which the remaining weights are corrected in one product.
_BLOCK = 128
Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class IntegerWeights:
    """Quantized weights: ``(levels - zero_points) * steps``.

    Attributes:
        levels: u8, or i8 if symmetric, of shape (results, width).
        steps: of shape (results, 1); each is a number of FP16, in which graphs are stored.
        zero_points: u8, of shape (results, 1); None if symmetric.
    """

    levels: npt.NDArray[np.uint8] | npt.NDArray[np.int8]
    steps: Floats
    zero_points: npt.NDArray[np.uint8] | None

    @property
    def values(self) -> Floats:
        """The numbers that the levels stand for, of shape (results, width)."""
        shift = 0 if self.zero_points is None else self.zero_points.astype(np.float32)
        values: Floats = (self.levels.astype(np.float32) - shift) * self.steps
        return values


@dataclass(frozen=True)
class _Grid:
    """The numbers that a row's weights can become."""

    steps: Floats
    zero_points: Floats
    lowest: int
    highest: int

    @classmethod
    def of(cls, weights: Floats, *, is_symmetric: bool) -> _Grid:
        if is_symmetric:
            steps = _storable(np.abs(weights).max(axis=1, keepdims=True) / _SYMMETRIC_LIMIT)
            return cls(steps, np.zeros_like(steps), -_SYMMETRIC_LIMIT, _SYMMETRIC_LIMIT)
        low = np.minimum(weights.min(axis=1, keepdims=True), 0)
        high = np.maximum(weights.max(axis=1, keepdims=True), 0)
        steps = _storable((high - low) / _LEVELS)
        return cls(steps, np.clip(np.round(-low / steps), 0, _LEVELS), 0, _LEVELS)

    def round(self, weights: Floats) -> Floats:
        """The nearest levels, as floats."""
        return np.clip(np.round(weights / self.steps) + self.zero_points, self.lowest, self.highest)

    def values(self, levels: Floats) -> Floats:
        return (levels - self.zero_points) * self.steps

    def finished(self, levels: Floats) -> IntegerWeights:
        if self.lowest < 0:
            return IntegerWeights(levels.astype(np.int8), self.steps, None)
        return IntegerWeights(levels.astype(np.uint8), self.steps, self.zero_points.astype(np.uint8))


def round_to_nearest(weights: Floats, *, is_symmetric: bool) -> IntegerWeights:
    """Round each weight by itself.

    Args:
        weights: of shape (results, width).
        is_symmetric: the form that static quantization needs; otherwise the steps are finer.
    """
    grid = _Grid.of(weights, is_symmetric=is_symmetric)
    return grid.finished(grid.round(weights))


def round_to_correlations(weights: Floats, correlations: Floats, *, is_symmetric: bool) -> IntegerWeights:
    """Round the weights one input channel after another, and let the channels that follow make up for the error.

    This is GPTQ (https://arxiv.org/abs/2210.17323) with channels in the order of their energy.

    Args:
        weights: of shape (results, width).
        correlations: of the inputs, of shape (width, width).
        is_symmetric: as for :func:`round_to_nearest`.
    """
    grid = _Grid.of(weights, is_symmetric=is_symmetric)
    energy = np.diag(correlations)
    order = np.argsort(-energy, kind="stable")
    remaining = weights[:, order].astype(np.float32)
    factors = _inverse_factors(correlations[np.ix_(order, order)])
    levels = np.empty_like(remaining)
    for start in range(0, len(order), _BLOCK):
        end = min(start + _BLOCK, len(order))
        errors = np.empty((len(remaining), end - start), np.float32)
        for column in range(start, end):
            levels[:, column] = grid.round(remaining[:, column : column + 1])[:, 0]
            rounded = grid.values(levels[:, column : column + 1])[:, 0]
            error = (remaining[:, column] - rounded) / factors[column, column]
            remaining[:, column + 1 : end] -= np.outer(error, factors[column, column + 1 : end])
            errors[:, column - start] = error
        remaining[:, end:] -= errors @ factors[start:end, end:]
    restored = np.empty_like(levels)
    restored[:, order] = levels
    return grid.finished(restored)


def _inverse_factors(correlations: Floats) -> Floats:
    """The upper Cholesky factor of the inverse."""
    damped = correlations.astype(np.float64)
    diagonal = np.diag(damped).copy()
    # A channel that is always zero has no say, whatever its weights become.
    diagonal[diagonal == 0] = 1.0
    np.fill_diagonal(damped, diagonal + _DAMPING * diagonal.mean())
    factors: Floats = np.linalg.cholesky(np.linalg.inv(damped)).T.astype(np.float32)
    return factors


def _storable(steps: Floats) -> Floats:
    """Steps as FP16 stores them. A row of zeros has any step but zero."""
    stored: Floats = np.maximum(steps, np.finfo(np.float16).tiny).astype(np.float16).astype(np.float32)
    return stored
