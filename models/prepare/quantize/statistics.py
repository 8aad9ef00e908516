"""What the calibration sequences make of the inputs of a graph's products."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import openvino as ov
from tqdm import tqdm

from models.engine.arithmetic import int8_properties
from models.engine.engine import TokenSequence
from models.engine.openvino_core import shared_core
from models.prepare.quantize.integer_weights import Floats
from models.prepare.quantize.products import Port, ProductGroup
from models.progress import is_shown

__all__ = ["CalibrationStatistics", "InputStatistics", "collect_statistics", "logits_of"]

#: Tokens of a sequence that are kept as they are.
_SAMPLED_PER_SEQUENCE = 4
#: Tokens of a sequence whose correlations are summed.
_CORRELATED_PER_SEQUENCE = 64
_SEED = 14


@dataclass(frozen=True)
class InputStatistics:
    """What the inputs of one group were.

    Attributes:
        tokens: some of the input's tokens, of shape (tokens, width).
        correlations: sum of the outer products of tokens with themselves, of shape (width, width).
        low: the lowest value of each channel, of shape (width,).
        high: the highest value of each channel, of shape (width,).
    """

    tokens: Floats
    correlations: Floats
    low: Floats
    high: Floats


@dataclass(frozen=True)
class CalibrationStatistics:
    """What was seen in one graph.

    Attributes:
        inputs: by group.
        largest: the largest absolute value of other outputs, such as attention's inputs.
    """

    inputs: dict[ProductGroup, InputStatistics]
    largest: dict[Port, float]


def collect_statistics(
    path: Path, groups: Sequence[ProductGroup], ports: Sequence[Port], sequences: Sequence[TokenSequence]
) -> CalibrationStatistics:
    """Run a graph on the calibration sequences.

    Args:
        path: the FP32 graph.
        groups: the groups whose inputs are of interest.
        ports: other outputs whose largest value is of interest.
        sequences: at least one.

    Raises:
        RuntimeError: OpenVINO cannot read or run the graph.
    """
    model = shared_core().read_model(path)
    names = [port.any_name for port in model.inputs]
    nodes = {node.get_friendly_name(): node for node in model.get_ops()}
    wanted = list(dict.fromkeys([port for group in groups for port in group.inputs] + list(ports)))
    first = len(model.outputs)
    model.add_outputs([nodes[port.node].output(port.index) for port in wanted])
    request = _request(model)
    collectors = {group: _Collector(group.width) for group in groups}
    largest = dict.fromkeys(ports, 0.0)
    for sequence in tqdm(sequences, desc="calibrate", unit="row", disable=not is_shown()):
        results = list(request.infer(_inputs(names, sequence), share_outputs=True).values())
        values = dict(zip(wanted, results[first:], strict=True))
        for group, collector in collectors.items():
            for port in group.inputs:
                collector.add(values[port].reshape(-1, group.width))
        for port in ports:
            largest[port] = max(largest[port], float(np.abs(values[port]).max()))
    return CalibrationStatistics({group: one.finish() for group, one in collectors.items()}, largest)


def logits_of(model: ov.Model, sequences: Sequence[TokenSequence]) -> list[Floats]:
    """All outputs of a graph for each sequence by itself, of shape (values,).

    Raises:
        RuntimeError: OpenVINO cannot compile or run the graph.
    """
    names = [port.any_name for port in model.inputs]
    request = _request(model)
    return [
        np.concatenate([values.reshape(-1) for values in request.infer(_inputs(names, sequence)).values()])
        for sequence in sequences
    ]


def _request(model: ov.Model) -> ov.InferRequest:
    single = {"INFERENCE_NUM_THREADS": 1, "NUM_STREAMS": 1}
    options = {"INFERENCE_PRECISION_HINT": "f32", **single, **int8_properties()}
    return shared_core().compile_model(model, "CPU", options).create_infer_request()


class _Collector:
    """Sums up the inputs of one group."""

    def __init__(self, width: int) -> None:
        self._random = np.random.default_rng(_SEED)
        self._tokens: list[Floats] = []
        self._correlations = np.zeros((width, width), np.float32)
        self._low = np.zeros(width, np.float32)
        self._high = np.zeros(width, np.float32)

    def add(self, values: Floats) -> None:
        """Add the values of one sequence, of shape (tokens, width)."""
        np.minimum(self._low, values.min(axis=0), out=self._low)
        np.maximum(self._high, values.max(axis=0), out=self._high)
        self._tokens.append(self._choose(values, _SAMPLED_PER_SEQUENCE).copy())
        some = self._choose(values, _CORRELATED_PER_SEQUENCE)
        self._correlations += some.T @ some

    def _choose(self, values: Floats, count: int) -> Floats:
        if len(values) <= count:
            return values
        chosen: Floats = values[self._random.choice(len(values), count, replace=False)]
        return chosen

    def finish(self) -> InputStatistics:
        return InputStatistics(np.concatenate(self._tokens), self._correlations, self._low, self._high)


def _inputs(names: Sequence[str], sequence: TokenSequence) -> dict[str, npt.NDArray[np.int64]]:
    values = {
        "input_ids": sequence.ids,
        "attention_mask": [1] * len(sequence.ids),
        "token_type_ids": sequence.type_ids,
    }
    return {name: np.array([values[name]], dtype=np.int64) for name in names}
