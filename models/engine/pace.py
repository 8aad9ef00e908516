"""How fast an engine computes on this core."""

from __future__ import annotations

import time

from models.engine.engine import Engine

__all__ = ["measure_token_s"]

#: Long enough that the layers' products take most of the time, short enough for a start.
_TOKENS = 64


def measure_token_s(engine: Engine) -> float:
    """Time one sequence of moderate length, after a first run that makes its kernels.

    Returns:
        Seconds per token.
    """
    sequence = engine.feeding.sample.of_length(min(_TOKENS, engine.max_length))
    engine.compute([sequence])
    started_s = time.perf_counter()
    engine.compute([sequence])
    seconds = time.perf_counter() - started_s
    engine.take_usage()
    return seconds / len(sequence.ids)
