"""By what channels are divided before they are quantized."""

from __future__ import annotations

import numpy as np
import pytest

from models.prepare.quantize.integer_weights import Floats
from models.prepare.quantize.scaling import ValueRange, scale_for_dynamic, scale_for_static
from models.prepare.quantize.statistics import InputStatistics

WIDTH, TOKENS = 64, 300
LOUD = 7


def inputs(loudness: float) -> InputStatistics:
    """Tokens of which one channel is larger than the others."""
    tokens: Floats = np.random.default_rng(3).normal(size=(TOKENS, WIDTH)).astype(np.float32)
    tokens[:, LOUD] *= loudness
    return InputStatistics(tokens, tokens.T @ tokens, tokens.min(axis=0), tokens.max(axis=0))


def weights() -> list[Floats]:
    random = np.random.default_rng(4)
    return [random.normal(size=(32, WIDTH)).astype(np.float32) for _ in range(2)]


@pytest.mark.parametrize(("low", "high"), [(-1.0, 3.0), (0.0, 5.0), (-0.17, 24.0), (-4.0, 0.0), (2.0, 3.0), (0.0, 0.0)])
def test_a_range_has_zero_among_its_values_and_reaches_as_far_as_it_must(low: float, high: float) -> None:
    values = ValueRange.around(low, high)
    step = (values.high - values.low) / 255
    assert np.isclose(round(-values.low / step) * step, -values.low)
    assert values.low - low <= step
    assert high - values.high <= step
    assert float(values.quantized(np.zeros(1, np.float32))[0]) == pytest.approx(0, abs=step / 100)


def test_a_loud_channel_is_divided_more_than_the_others() -> None:
    for scaling in (scale_for_static(inputs(40), weights()), scale_for_dynamic(inputs(40), weights(), WIDTH)):
        assert scaling.divisors is not None
        assert scaling.divisors[LOUD] > 2 * np.median(scaling.divisors)


def test_scaling_is_never_worse_than_none() -> None:
    for loudness in (1, 40):
        seen = inputs(loudness)
        plain = ValueRange.around(float(seen.low.min()), float(seen.high.max())).quantized(seen.tokens)
        wanted = seen.tokens @ np.concatenate(weights()).T
        unscaled = np.square(plain @ np.concatenate(weights()).T - wanted).mean() / np.square(wanted).mean()
        # Without the error of the weights, so this is a lower bound of no scaling.
        if loudness > 1:
            assert scale_for_static(seen, weights()).error < unscaled


def test_by_token_is_closer_than_one_range_where_tokens_differ_in_size() -> None:
    seen = inputs(1)
    tokens = seen.tokens * np.geomspace(0.01, 1, TOKENS, dtype=np.float32)[:, None]
    seen = InputStatistics(tokens, tokens.T @ tokens, tokens.min(axis=0), tokens.max(axis=0))
    assert scale_for_dynamic(seen, weights(), WIDTH).error < scale_for_static(seen, weights()).error


def test_shorter_groups_are_closer() -> None:
    seen = inputs(40)
    assert scale_for_dynamic(seen, weights(), 16).error < scale_for_dynamic(seen, weights(), WIDTH).error
