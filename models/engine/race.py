"""Times compiled models against each other, for about a second with a model of ordinary size."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from statistics import geometric_mean
from typing import Generic, TypeVar

import numpy as np
import numpy.typing as npt
import openvino as ov

from models.engine.arithmetic import CLOSEST_FIRST, Arithmetic
from models.engine.feeding import Feeding, pack

__all__ = ["Milliseconds", "Winner", "race", "time_inferences", "times_faster"]

logger = logging.getLogger(__name__)

#: The time of one inference for each candidate, by the shape of its input such as ``1x16``.
Milliseconds = Mapping[Arithmetic, Mapping[str, float]]
Compiled = TypeVar("Compiled")
Name = TypeVar("Name")

#: How much faster a candidate must be than one whose answers are closer to those of the published model.
_LEAST_GAIN = 1.05

#: Rows and tokens: a short and a longer text on their own, and a batch of short texts.
_SHAPES = ((1, 16), (1, 64), (4, 32))
#: For each shape, rounds end when they have taken this long, but not before the fewest are done.
_BUDGET_S = 0.15
_FEWEST_ROUNDS, _MOST_ROUNDS = 3, 20


@dataclass(frozen=True)
class Winner(Generic[Compiled]):
    """The outcome of a race.

    Attributes:
        arithmetic: the winner's.
        compiled: the winner.
        milliseconds: times of all that took part, the winner included.
        is_decided: False if the time was over before all had taken part.
    """

    arithmetic: Arithmetic
    compiled: Compiled
    milliseconds: Milliseconds
    is_decided: bool = True


def race(
    candidates: Iterable[Arithmetic],
    compile_candidate: Callable[[Arithmetic], Compiled],
    time_candidates: Callable[[Mapping[Arithmetic, Compiled]], Milliseconds],
    until_s: float = math.inf,
) -> Winner[Compiled]:
    """Find the fastest candidate.

    Of two candidates the one whose answers are closer to those of the published model wins, unless the other is at
    least 5 % faster. No more than two are in memory at a time. The first is compiled even if the time is over.

    Args:
        candidates: at least one.
        compile_candidate: compiles one; a candidate for which it raises RuntimeError takes no part.
        time_candidates: times one or two of them.
        until_s: when to end, on the monotonic clock.

    Raises:
        RuntimeError: no candidate can be compiled.
    """
    champion: Winner[Compiled] | None = None
    problem: RuntimeError | None = None
    slowest_s = 0.0
    for arithmetic in sorted(candidates, key=CLOSEST_FIRST.index):
        started_s = time.monotonic()
        # The next one takes about as long to compile as those before it, and as long again to time.
        if champion is not None and started_s + 2 * slowest_s > until_s:
            return replace(champion, is_decided=False)
        try:
            challenger = Winner(arithmetic, compile_candidate(arithmetic), {})
        except RuntimeError as error:
            logger.warning("%s takes no part: %s", arithmetic, str(error).strip().splitlines()[-1])
            problem = error
            continue
        slowest_s = max(slowest_s, time.monotonic() - started_s)
        champion = _duel(champion, challenger, time_candidates) if champion else challenger
        # Otherwise the loser would be in memory while the next one is compiled.
        del challenger
    if champion is None:
        raise RuntimeError("no arithmetic can be compiled") from problem
    if champion.milliseconds:
        return champion
    return replace(champion, milliseconds=time_candidates({champion.arithmetic: champion.compiled}))


def _duel(
    champion: Winner[Compiled],
    challenger: Winner[Compiled],
    time_candidates: Callable[[Mapping[Arithmetic, Compiled]], Milliseconds],
) -> Winner[Compiled]:
    pair = time_candidates({one.arithmetic: one.compiled for one in (champion, challenger)})
    is_faster = times_faster(pair[challenger.arithmetic], pair[champion.arithmetic]) >= _LEAST_GAIN
    return replace(challenger if is_faster else champion, milliseconds={**champion.milliseconds, **pair})


def time_inferences(
    candidates: Mapping[Name, ov.CompiledModel], max_length: int, feeding: Feeding
) -> dict[Name, dict[str, float]]:
    """Time one inference of each candidate.

    The candidates take turns, and the fastest turn counts: what else the machine does only makes turns slower.

    Args:
        candidates: the compiled models by name.
        max_length: longest sequence that the model reads, in tokens.
        feeding: how rows are made.

    Returns:
        Milliseconds of one inference by name, and by the shape of its input such as ``1x16``.

    Raises:
        RuntimeError: OpenVINO failed to compute.
    """
    requests = {name: compiled.create_infer_request() for name, compiled in candidates.items()}
    names = [port.any_name for port in next(iter(candidates.values())).inputs]
    milliseconds: dict[Name, dict[str, float]] = {name: {} for name in candidates}
    for rows, tokens in _SHAPES:
        sequence = feeding.sample.of_length(min(tokens, max_length))
        inputs = pack(names, [sequence], (rows, len(sequence.ids)), feeding)
        for name, seconds in _fastest_turns(requests, inputs).items():
            milliseconds[name][f"{rows}x{tokens}"] = round(seconds * 1000, 3)
    return milliseconds


def _fastest_turns(
    requests: Mapping[Name, ov.InferRequest], inputs: dict[str, npt.NDArray[np.int64]]
) -> dict[Name, float]:
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


def times_faster(times: Mapping[str, float], others: Mapping[str, float]) -> float:
    """How many times as fast something is as another, as the geometric mean over the shapes.

    Args:
        times: of one inference, by the shape of its input.
        others: of the other, for the same shapes.
    """
    return geometric_mean(others[shape] / times[shape] for shape in times)
