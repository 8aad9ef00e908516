"""What the engine answers to a probe, through the project's own pipelines, and what it read and computed for it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from models import pipelines
from models.engine.engine import EngineOptions, SequenceOutput, TokenSequence
from models.pipelines.base import EncodedItem
from models.prepare.check.probes import Probe
from models.store import StoredModel
from producer.contract import RequestError

__all__ = ["Answered", "ServedModel"]


@dataclass(frozen=True)
class Answered:
    """What the engine answers to one request.

    Attributes:
        result: in the shape of its task, or what is wrong with the request; None if it was not computed.
        sequences: what the model read.
        outputs: what it computed for each sequence; none if it was not computed.
    """

    result: Any
    sequences: Sequence[TokenSequence]
    outputs: Sequence[SequenceOutput]


class ServedModel:
    """A model as a worker serves it.

    Args:
        model: the model.
        options: how it is compiled.

    Raises:
        RuntimeError: OpenVINO cannot compile the model.
    """

    def __init__(self, model: StoredModel, options: EngineOptions) -> None:
        self._pipelines = pipelines.load_all(model, options)
        self._engine = next(iter(self._pipelines.values())).engine

    @property
    def output_names(self) -> list[str]:
        """Names of the outputs of the graph."""
        return self._engine.output_names

    def warm_up(self) -> None:
        """Compute what a worker computes before its first request.

        Raises:
            RuntimeError: OpenVINO failed to compute.
        """
        self._engine.warm_up()

    def answer(self, probe: Probe) -> list[Answered]:
        """What the engine answers to each request of a probe, in order.

        Raises:
            RuntimeError: OpenVINO failed to compute.
        """
        pipeline = self._pipelines[probe.requests[0].task]
        # The steps of Pipeline.answer, so as to see what is between them.
        encoded = [item for items in pipeline.preprocess(list(probe.requests)) for item in items]
        valid = [item for item in encoded if not isinstance(item, RequestError)]
        if not probe.is_computed:
            return [Answered(None, item.sequences if isinstance(item, EncodedItem) else [], []) for item in encoded]
        computed = iter(self._engine.compute([sequence for item in valid for sequence in item.sequences]))
        outputs = [list(islice(computed, len(item.sequences))) for item in valid]
        results = iter(zip(pipeline.postprocess(valid, outputs), outputs, strict=True))
        answered = []
        for item in encoded:
            if isinstance(item, RequestError):
                answered.append(Answered(item, [], []))
            else:
                result, own_outputs = next(results)
                answered.append(Answered(result, item.sequences, own_outputs))
        return answered

    def compute_alone(self, sequence: TokenSequence) -> SequenceOutput:
        """What is computed for one sequence in a batch of its own, padded as always.

        Raises:
            RuntimeError: OpenVINO failed to compute.
        """
        (output,) = self._engine.compute([sequence])
        return output

    def compute_unpadded(self, sequence: TokenSequence) -> SequenceOutput:
        """What the same graph computes for one sequence in one row without padding.

        Raises:
            RuntimeError: OpenVINO failed to compute.
        """
        return self._engine.compute_unpadded(sequence)
