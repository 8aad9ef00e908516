"""Times compiled models against each other, for a fraction of a second with a model of ordinary size."""

from __future__ import annotations

import time
from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import openvino as ov

from models.engine.arithmetic import Arithmetic
from models.engine.verdict import Milliseconds

__all__ = ["time_inferences"]

#: Rows and tokens: a short and a longer text on their own, and a batch of short texts.
_SHAPES = ((1, 16), (1, 64), (4, 32))
#: For each shape, rounds end when they have taken this long, but not before the fewest are done.
_BUDGET_S = 0.15
_FEWEST_ROUNDS, _MOST_ROUNDS = 3, 20


def time_inferences(candidates: Mapping[Arithmetic, ov.CompiledModel], max_length: int) -> Milliseconds:
    """Time one inference of each candidate.

    The candidates take turns, and the fastest turn counts: what else the machine does only makes turns slower.

    Args:
        candidates: the compiled models.
        max_length: longest sequence that the model reads, in tokens.

    Raises:
        RuntimeError: OpenVINO failed to compute.
    """
    requests = {name: compiled.create_infer_request() for name, compiled in candidates.items()}
    names = [port.any_name for port in next(iter(candidates.values())).inputs]
    milliseconds: dict[Arithmetic, dict[str, float]] = {name: {} for name in candidates}
    for rows, tokens in _SHAPES:
        inputs = _inputs(names, (rows, min(tokens, max_length)))
        for name, seconds in _fastest_turns(requests, inputs).items():
            milliseconds[name][f"{rows}x{tokens}"] = round(seconds * 1000, 3)
    return milliseconds


def _fastest_turns(
    requests: Mapping[Arithmetic, ov.InferRequest], inputs: dict[str, npt.NDArray[np.int64]]
) -> dict[Arithmetic, float]:
    for request in requests.values():
        # The first inference of a shape also compiles its kernels.
        request.infer(inputs)
    fastest = dict.fromkeys(requests, float("inf"))
    started_s = time.perf_counter()
    for number in range(_MOST_ROUNDS):
        for name, request in requests.items():
            turn_s = time.perf_counter()
            request.infer(inputs)
            fastest[name] = min(fastest[name], time.perf_counter() - turn_s)
        if number + 1 >= _FEWEST_ROUNDS and time.perf_counter() - started_s > _BUDGET_S:
            break
    return fastest


def _inputs(names: list[str], shape: tuple[int, int]) -> dict[str, npt.NDArray[np.int64]]:
    return {name: np.full(shape, int(name == "attention_mask"), dtype=np.int64) for name in names}
