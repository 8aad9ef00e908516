"""Options to compile models with in tests."""

from __future__ import annotations

import math
from pathlib import Path

from models.engine.arithmetic import Arithmetic
from models.engine.batching import BatchingOptions
from models.engine.engine import EngineOptions

__all__ = ["engine_options"]


def engine_options(
    *,
    threads: int = 1,
    precision: str = "f32",
    max_tokens: int = 512,
    length_multiple: int = 8,
    cache_dir: Path | None = None,
    arithmetic: Arithmetic | None = Arithmetic.INT8,
    measure_until_s: float = math.inf,
) -> EngineOptions:
    """Options that resemble those of a worker's process, except that the arithmetic is the same on every CPU."""
    batching = BatchingOptions(max_tokens, length_multiple)
    return EngineOptions(threads, precision, batching, cache_dir, arithmetic, measure_until_s)
