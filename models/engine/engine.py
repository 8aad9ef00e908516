"""One compiled OpenVINO model on the cores of this process: token ids in, logits out.

The caller pins the process before this module is imported: OpenVINO's threads take the CPU mask that is set when the
library is loaded, and if it changes later one of them keeps the old mask (seen with 2026.4.1).
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
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

#: What the model computed for one sequence: one array per output, without the batch axis.
SequenceOutput = tuple[npt.NDArray[np.float32], ...]


@dataclass(frozen=True)
class EngineOptions:
    """How a model is compiled.

    Attributes:
        threads: number of compute threads: the cores of the process.
        precision: arithmetic of the operations that are not quantized, ``f32`` or ``bf16``. OpenVINO's own default is
            bf16 if the CPU supports it, whose results are up to 5e-3 away from those of f32.
        batching: how sequences are batched.
        cache_dir: directory of the compiled models, for the next process; None to keep none.
    """

    threads: int
    precision: str
    batching: BatchingOptions
    cache_dir: Path | None = None


class TokenSequence(NamedTuple):
    """One input of the model, of shape (tokens,).

    Attributes:
        ids: the token ids.
        type_ids: which part of a pair each token belongs to, 0 or 1.
    """

    ids: Sequence[int]
    type_ids: Sequence[int]


@dataclass(frozen=True)
class BatchOutput:
    """What the model computed for one batch.

    Attributes:
        indices: the sequences of the batch, by index.
        outputs: one array per output of the model, of shape (sequences, ...) in the order of ``indices``. Valid only
            until the next batch.
    """

    indices: list[int]
    outputs: list[npt.NDArray[np.float32]]


def _properties(options: EngineOptions, zero_weights: float) -> dict[str, Any]:
    # OpenVINO accepts the option on every CPU: the share of zeros from which on a layer stays compressed.
    is_sparse = zero_weights >= SPARSE_SHARE and runs_sparse_weights()
    return {
        "INFERENCE_NUM_THREADS": options.threads,
        "NUM_STREAMS": 1,
        # OpenVINO would pin every process to the first cores (openvino#32444); the mask of the process does it right.
        "ENABLE_CPU_PINNING": False,
        "INFERENCE_PRECISION_HINT": options.precision,
        **({"CPU_SPARSE_WEIGHTS_DECOMPRESSION_RATE": SPARSE_SHARE} if is_sparse else {}),
    }


def _compile(
    model_path: Path, properties: dict[str, Any], cache_dir: Path | None, revision: str | None
) -> tuple[ov.CompiledModel, Blob | None]:
    """The compiled model, and the mapped memory that holds its weights if it came from the cache."""

    def compile_model() -> ov.CompiledModel:
        return shared_core().compile_model(model_path, "CPU", properties)

    if cache_dir is not None and revision is not None:
        cached = compiled_file(cache_dir, revision, ov.get_version(), properties)
        blob = cached.read_or_compile(lambda: compile_model().export_model().getbuffer())
        if blob is not None:
            try:
                return shared_core().import_model(ov.Tensor(blob, shared_memory=True), "CPU", properties), blob
            except RuntimeError:
                logger.warning("OpenVINO rejects %s: compiling the model again", cached.path, exc_info=True)
                cached.discard()
    return compile_model(), None


class Engine:
    """A compiled model and its one inference request. Not thread-safe.

    Args:
        model_path: the IR (``.xml``) or ONNX file.
        max_length: longest sequence that the model reads, in tokens.
        options: threads, precision, batching and cache.
        zero_weights: share of the weights that are zero, from 0 to 1; sparse weights stay compressed if the CPU has
            kernels for that.
        revision: identifies the exact model files; without it the cache is not used.

    Attributes:
        max_length: longest sequence that the model reads, in tokens.
        output_names: names of the model's outputs, in the order of :attr:`BatchOutput.outputs`.
        sparse_rate: share of zeros from which on a layer's weights stay compressed; 1 for never.

    Raises:
        RuntimeError: OpenVINO cannot read or compile the model.
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
        self.sparse_rate = float(compiled.get_property("CPU_SPARSE_WEIGHTS_DECOMPRESSION_RATE"))
        self._inputs = [port.any_name for port in compiled.inputs]
        self.output_names = [port.any_name if port.names else "" for port in compiled.outputs]
        self._request = compiled.create_infer_request()
        self._usage = Usage()

    def warm_up(self) -> None:
        """Run the most common shapes of single requests once, so that the first requests find their kernels ready."""
        multiple = self._batching.length_multiple
        for length in {min(multiple * steps, self.max_length) for steps in (1, 2, 4, 8)}:
            ids = [0] * length
            for _ in self.run([TokenSequence(ids, ids)]):
                pass
        self.take_usage()

    def take_usage(self) -> Usage:
        """Return what was computed since the last call or since the warm-up, and start counting again."""
        usage, self._usage = self._usage, Usage()
        return usage

    def compute(self, sequences: Sequence[TokenSequence]) -> list[SequenceOutput]:
        """Compute all sequences.

        Args:
            sequences: none longer than ``max_length``.

        Returns:
            For each sequence, in order, one array per output of the model, without the batch axis: of shape (labels,)
            for a classification head, (padded tokens,) for each logit of a question-answering head.

        Raises:
            RuntimeError: OpenVINO failed to compute a batch.
        """
        outputs: list[SequenceOutput] = [()] * len(sequences)
        for batch in self.run(sequences):
            copies = [output.copy() for output in batch.outputs]
            for row, index in enumerate(batch.indices):
                outputs[index] = tuple(output[row] for output in copies)
        return outputs

    def run(self, sequences: Sequence[TokenSequence]) -> Iterator[BatchOutput]:
        """Compute all sequences batch by batch, in the order of :func:`plan_batches`.

        Args:
            sequences: none longer than ``max_length``.

        Raises:
            RuntimeError: OpenVINO failed to compute a batch.
        """
        lengths = [len(sequence.ids) for sequence in sequences]
        for plan in plan_batches(lengths, self.max_length, self._batching):
            inputs = self._pack(sequences, lengths, plan)
            started_s = time.perf_counter()
            results = self._request.infer(inputs, share_inputs=True, share_outputs=True)
            self._count(sum(lengths[index] for index in plan.indices), plan, time.perf_counter() - started_s)
            filled = len(plan.indices)
            yield BatchOutput(plan.indices, [results[index][:filled] for index in range(len(results))])

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
        # Attention over no token would divide by zero, and computing with NaN may be slow.
        arrays["attention_mask"][len(plan.indices) :, 0] = 1
        return arrays
