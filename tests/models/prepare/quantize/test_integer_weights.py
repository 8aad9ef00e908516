"""Weights as 8-bit integers."""

from __future__ import annotations

import numpy as np
import pytest

from models.prepare.quantize.integer_weights import (
    Floats,
    IntegerWeights,
    round_to_correlations,
    round_to_nearest,
)

WIDTH, RESULTS, TOKENS = 96, 24, 400


def some_weights() -> Floats:
    weights: Floats = np.random.default_rng(1).normal(0.02, 0.1, (RESULTS, WIDTH)).astype(np.float32)
    return weights


def some_tokens() -> Floats:
    """Tokens whose channels go together, as those of real layers do."""
    random = np.random.default_rng(2)
    tokens: Floats = (random.normal(size=(TOKENS, 12)) @ random.normal(size=(12, WIDTH))).astype(np.float32)
    return tokens


def error(rounded: IntegerWeights, weights: Floats, tokens: Floats) -> float:
    return float(np.square(tokens @ (rounded.values - weights).T).mean())


@pytest.mark.parametrize("is_symmetric", [False, True])
def test_rounding_to_nearest_moves_no_weight_by_more_than_half_a_step(is_symmetric: bool) -> None:
    weights = some_weights()
    rounded = round_to_nearest(weights, is_symmetric=is_symmetric)
    # Steps are stored in FP16, so the ends of the range may be a little further away.
    assert np.all(np.abs(rounded.values - weights) <= 0.56 * rounded.steps)
    assert rounded.levels.dtype == (np.int8 if is_symmetric else np.uint8)
    assert (rounded.zero_points is None) == is_symmetric
    assert np.array_equal(rounded.steps, rounded.steps.astype(np.float16))


@pytest.mark.parametrize("is_symmetric", [False, True])
def test_rounding_by_correlations_keeps_the_products_closer(is_symmetric: bool) -> None:
    weights, tokens = some_weights(), some_tokens()
    nearest = round_to_nearest(weights, is_symmetric=is_symmetric)
    better = round_to_correlations(weights, tokens.T @ tokens, is_symmetric=is_symmetric)
    assert error(better, weights, tokens) < 0.5 * error(nearest, weights, tokens)
    assert np.array_equal(better.steps, nearest.steps)


def test_without_correlations_both_round_alike() -> None:
    weights = some_weights()
    by_correlations = round_to_correlations(weights, np.eye(WIDTH, dtype=np.float32), is_symmetric=False)
    assert np.array_equal(by_correlations.levels, round_to_nearest(weights, is_symmetric=False).levels)


def test_zeros_stay_zeros_and_silent_channels_do_no_harm() -> None:
    weights, tokens = some_weights(), some_tokens()
    weights[3] = 0
    tokens[:, 5] = 0
    for rounded in (
        round_to_nearest(weights, is_symmetric=False),
        round_to_correlations(weights, tokens.T @ tokens, is_symmetric=True),
    ):
        assert np.all(rounded.values[3] == 0)
        assert np.all(np.isfinite(rounded.values))
