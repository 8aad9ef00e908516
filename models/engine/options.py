"""How a model is compiled and batched."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

from models.engine.arithmetic import Arithmetic
from models.engine.batching import BatchingOptions

__all__ = ["EngineOptions"]


@dataclass(frozen=True)
class EngineOptions:
    """How a model is compiled.

    Attributes:
        threads: number of compute threads: the cores of the process.
        precision: arithmetic of the operations that are not quantized, ``f32`` or ``bf16``, if the matrix products are
            computed in INT8 or the model is not quantized. OpenVINO's own default is bf16 if the CPU supports it,
            whose results are up to 5e-3 away from those of f32.
        batching: how sequences are batched.
        cache_dir: directory of the compiled models, for the next process; None to keep none.
        arithmetic: type of the matrix products of a quantized model; None for the fastest on this CPU. It is measured
            if there is a directory to keep the outcome in, and otherwise follows from the CPU's instructions.
        measure_until_s: when to stop measuring the fastest arithmetic, on the monotonic clock, and to let the CPU's
            instructions decide; the next process measures again.
    """

    threads: int
    precision: str
    batching: BatchingOptions
    cache_dir: Path | None = None
    arithmetic: Arithmetic | None = Arithmetic.INT8
    measure_until_s: float = math.inf
