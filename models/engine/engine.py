"""One compiled OpenVINO model on the cores of this process: token ids in, logits out.

The caller has pinned the process before this module is imported: OpenVINO's threads take the mask that they find
when the library is loaded, and one thread keeps the old mask if it changes later (seen with 2026.4.1).
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import openvino as ov

from models.engine.batching import BatchingOptions, BatchPlan, plan_batches
from models.engine.compiled_cache import Blob, compiled_file
from models.engine.cpu import SPARSE_SHARE, runs_sparse_weights
from models.engine.openvino_core import shared_core
from models.engine.usage import Usage

__all__ = ["BatchOutput", "Engine", "EngineOptions", "SequenceOutput", "TokenSequence"]

logger = logging.getLogger(__name__)

#: What the model gave for one sequence: one array per output.
SequenceOutput = tuple[npt.NDArray[np.float32], ...]


@dataclass(frozen=True)
class EngineOptions:
    """How a model is compiled.

    Attributes:
        threads: threads that compute; the number of cores of the process.
        precision: arithmetic of what is not quantized, ``f32`` or ``bf16``. OpenVINO's own default is bf16 where
            the CPU has it, which is 5e-3 away from f32.
        batching: how sequences are put together.
        cache_dir: where compiled models are kept, for the next process; None for nowhere.
    """

    threads: int = 1
    precision: str = "f32"
    batching: BatchingOptions = field(default_factory=BatchingOptions)
    cache_dir: Path | None = None


class TokenSequence(NamedTuple):
    """What the model reads at once: token ids, and which part of a pair each belongs to; lists of equal length."""

    ids: Sequence[int]
    type_ids: Sequence[int]


@dataclass(frozen=True)
class BatchOutput:
    """What the model gave for one batch.

    Attributes:
        indices: which sequences, by index.
        outputs: one array per output of the model; axis 0 follows ``indices``. Valid until the next batch.
    """

    indices: list[int]
    outputs: list[npt.NDArray[np.float32]]


def _properties(options: EngineOptions, zero_weights: float) -> dict[str, Any]:
    # OpenVINO takes the option everywhere, as the share from which on a layer is kept compressed.
    is_sparse = zero_weights >= SPARSE_SHARE and runs_sparse_weights()
    return {
        "INFERENCE_NUM_THREADS": options.threads,
        "NUM_STREAMS": 1,
        # OpenVINO would pin every process to the first cores (openvino#32444); the process mask does it.
        "ENABLE_CPU_PINNING": False,
        "INFERENCE_PRECISION_HINT": options.precision,
        **({"CPU_SPARSE_WEIGHTS_DECOMPRESSION_RATE": SPARSE_SHARE} if is_sparse else {}),
    }


def _compile(
    model_path: Path, properties: dict[str, Any], cache_dir: Path | None, revision: str | None
) -> tuple[ov.CompiledModel, Blob | None]:
    """The compiled model, and the memory that it reads its weights from, if they are in the cache."""

    def compile_here() -> ov.CompiledModel:
        return shared_core().compile_model(model_path, "CPU", properties)

    if cache_dir is not None and revision is not None:
        place = compiled_file(cache_dir, revision, ov.get_version(), properties)
        blob = place.read_or_fill(lambda: compile_here().export_model().getbuffer())
        if blob is not None:
            try:
                return shared_core().import_model(ov.Tensor(blob, shared_memory=True), "CPU", properties), blob
            except RuntimeError:
                logger.warning("OpenVINO does not take %s: the model is compiled again", place.path, exc_info=True)
                place.discard()
    return compile_here(), None


class Engine:
    """A compiled model and its one inference request; for one thread.

    Args:
        model_path: the IR (``.xml``) or ONNX file.
        max_length: longest sequence that the model reads, in tokens.
        options: threads, precision, batching and cache.
        zero_weights: share of the weights that are zero; they stay compressed where the CPU has kernels for that.
        revision: names exactly the model's files; without it nothing is kept in the cache.
    """

    def __init__(
        self,
        model_path: Path,
        max_length: int,
        options: EngineOptions,
        *,
        zero_weights: float = 0.0,
        revision: str | None = None,
    ) -> None:
        self.max_length = max_length
        self._batching = options.batching
        properties = _properties(options, zero_weights)
        compiled, self._blob = _compile(model_path, properties, options.cache_dir, revision)
        #: Share of zeros from which on a layer's weights stay compressed; 1 for never.
        self.sparse_rate = float(compiled.get_property("CPU_SPARSE_WEIGHTS_DECOMPRESSION_RATE"))
        self._inputs = [port.any_name for port in compiled.inputs]
        #: Names of the model's outputs, in the order of :attr:`BatchOutput.outputs`.
        self.output_names = [port.any_name if port.names else "" for port in compiled.outputs]
        self._request = compiled.create_infer_request()
        self._usage = Usage()

    def warm_up(self) -> None:
        """Run the shapes that lone requests have most, so that the first of them finds its kernels ready."""
        multiple = self._batching.length_multiple
        for length in {min(multiple * steps, self.max_length) for steps in (1, 2, 4, 8)}:
            ids = [0] * length
            for _ in self.run([TokenSequence(ids, ids)]):
                pass
        self.take_usage()

    def take_usage(self) -> Usage:
        """What was computed since the last call, or since the model was warm."""
        taken, self._usage = self._usage, Usage()
        return taken

    def compute(self, sequences: Sequence[TokenSequence]) -> list[SequenceOutput]:
        """Compute all sequences.

        Returns:
            For each sequence, in order, one array per output of the model, without the batch's axis; where the model
            gives a value per token, the padding's values are there too.

        Raises:
            RuntimeError: OpenVINO could not compute a batch.
        """
        computed: list[SequenceOutput] = [()] * len(sequences)
        for batch in self.run(sequences):
            kept = [output.copy() for output in batch.outputs]
            for row, index in enumerate(batch.indices):
                computed[index] = tuple(output[row] for output in kept)
        return computed

    def run(self, sequences: Sequence[TokenSequence]) -> Iterator[BatchOutput]:
        """Compute all sequences, batch by batch, in an order of the engine's own.

        Raises:
            RuntimeError: OpenVINO could not compute a batch.
        """
        lengths = [len(sequence.ids) for sequence in sequences]
        for plan in plan_batches(lengths, self.max_length, self._batching):
            inputs = self._pack(sequences, lengths, plan)
            started_s = time.perf_counter()
            results = self._request.infer(inputs, share_inputs=True, share_outputs=True)
            self._count(sum(lengths[index] for index in plan.indices), plan, time.perf_counter() - started_s)
            used = len(plan.indices)
            yield BatchOutput(plan.indices, [results[index][:used] for index in range(len(results))])

    def _count(self, tokens: int, plan: BatchPlan, seconds: float) -> None:
        before, padding = self._usage, plan.rows * plan.padded_length - tokens
        self._usage = Usage(
            before.inferences + 1, before.tokens + tokens, before.padding_tokens + padding, before.seconds + seconds
        )

    def _pack(
        self, sequences: Sequence[TokenSequence], lengths: Sequence[int], plan: BatchPlan
    ) -> dict[str, npt.NDArray[np.int64]]:
        shape = (plan.rows, plan.padded_length)
        arrays = {name: np.zeros(shape, dtype=np.int64) for name in self._inputs}
        for row, index in enumerate(plan.indices):
            length = lengths[index]
            arrays["input_ids"][row, :length] = sequences[index].ids
            arrays["attention_mask"][row, :length] = 1
            if "token_type_ids" in arrays:
                arrays["token_type_ids"][row, :length] = sequences[index].type_ids
        # An empty row may divide by zero, and numbers that are none may be slow.
        arrays["attention_mask"][len(plan.indices) :, 0] = 1
        return arrays
