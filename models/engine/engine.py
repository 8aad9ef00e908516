"""One compiled OpenVINO model on the cores of this process: token ids in, logits out.

The caller pins the process before this module is imported: OpenVINO's threads take the CPU mask that is set when the
library is loaded, and if it changes later one of them keeps the old mask (seen with 2026.4.1).
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from models.engine.batching import BatchPlan, plan_batches
from models.engine.compilation import ModelFile, compile_for_this_cpu
from models.engine.feeding import BERT, Feeding, TokenSequence, pack
from models.engine.options import EngineOptions
from models.engine.usage import Usage
from models.errors import BrokenEngineError

__all__ = ["BatchOutput", "Engine", "EngineOptions", "SequenceOutput", "TokenSequence"]

#: What the model computed for one sequence: one array per output, without the batch axis.
SequenceOutput = tuple[npt.NDArray[np.float32], ...]

#: A number that no model computes.
_NOTHING = np.float32(-2.9e38)


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


class Engine:
    """A compiled model and its one inference request. Not thread-safe.

    Args:
        model_path: the IR (``.xml``) or ONNX file.
        max_length: longest sequence that the model reads, in tokens.
        options: threads, arithmetic, batching and cache.
        zero_weights: share of the weights that are zero, from 0 to 1; sparse weights stay compressed if the CPU has
            kernels for that.
        revision: identifies the exact model files; without it the cache is not used.
        allows_bf16: whether bf16 may be chosen if it is the fastest: the accuracy has been measured and is good enough.
        compiled: the model as OpenVINO has compiled it, to be timed.
        feeding: how rows are padded and filled; by default as BERT's are.

    Attributes:
        arithmetic: type of the matrix products.
        feeding: how rows are padded and filled.
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
        allows_bf16: bool = False,
        feeding: Feeding = BERT,
    ) -> None:
        self.max_length = max_length
        self.feeding = feeding
        self._batching = options.batching
        file = ModelFile(model_path, max_length, zero_weights, revision, allows_bf16, feeding)
        compilation = compile_for_this_cpu(file, options)
        self.arithmetic = compilation.arithmetic
        # Holds the weights, which OpenVINO does not copy.
        self._blob = compilation.blob
        self.compiled = compiled = compilation.compiled
        self.sparse_rate = float(compiled.get_property("CPU_SPARSE_WEIGHTS_DECOMPRESSION_RATE"))
        self._inputs = [port.any_name for port in compiled.inputs]
        self.output_names = [port.any_name if port.names else "" for port in compiled.outputs]
        self._request = compiled.create_infer_request()
        #: What was computed last, in OpenVINO's own memory.
        self._outputs: list[npt.NDArray[np.float32]] = []
        self._is_broken = False
        self._usage = Usage()

    def warm_up(self) -> None:
        """Run the most common shapes of single requests once, so that the first requests find their kernels ready."""
        multiple = self._batching.length_multiple
        for length in {min(multiple * steps, self.max_length) for steps in (1, 2, 4, 8)}:
            for _ in self.run([self.feeding.sample.of_length(length)]):
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
            RuntimeError: OpenVINO failed to compute a batch. A :class:`BrokenEngineError` if this process has to end.
        """
        outputs: list[SequenceOutput] = [()] * len(sequences)
        for batch in self.run(sequences):
            copies = [output.copy() for output in batch.outputs]
            for row, index in enumerate(batch.indices):
                outputs[index] = tuple(output[row] for output in copies)
        return outputs

    def compute_unpadded(self, sequence: TokenSequence) -> SequenceOutput:
        """Compute a sequence in a row of its own and of its own length; not how requests are computed.

        Raises:
            RuntimeError: OpenVINO failed to compute it.
        """
        inputs = pack(self._inputs, [sequence], (1, len(sequence.ids)), self.feeding)
        return tuple(output[0].copy() for output in self._infer(inputs, rows=1))

    def run(self, sequences: Sequence[TokenSequence]) -> Iterator[BatchOutput]:
        """Compute all sequences batch by batch, in the order of :func:`plan_batches`.

        Args:
            sequences: none longer than ``max_length``.

        Raises:
            RuntimeError: OpenVINO failed to compute a batch. A :class:`BrokenEngineError` if this process has to end.
        """
        lengths = [len(sequence.ids) for sequence in sequences]
        groups = [self.feeding.group_of(sequence) for sequence in sequences]
        is_exact = not self.feeding.is_padded
        for plan in plan_batches(lengths, self.max_length, self._batching, groups, is_exact=is_exact):
            rows = [sequences[index] for index in plan.indices]
            inputs = pack(self._inputs, rows, (plan.rows, plan.padded_length), self.feeding)
            started_s = time.perf_counter()
            outputs = self._infer(inputs, plan.rows)
            self._count(sum(lengths[index] for index in plan.indices), plan, time.perf_counter() - started_s)
            filled = len(plan.indices)
            yield BatchOutput(plan.indices, [output[:filled] for output in outputs])

    def _infer(self, inputs: dict[str, npt.NDArray[np.int64]], rows: int) -> list[npt.NDArray[np.float32]]:
        """Compute one batch.

        If OpenVINO cannot allocate memory, ``infer`` raises nothing and returns what it computed last: the answers to
        other requests. It goes on to do so while requests have the last shape, even when there is memory again (seen
        with 2026.4.1). So what it computed last is overwritten before.

        Raises:
            BrokenEngineError: OpenVINO has not computed it, and cannot be relied on any more.
        """
        if self._is_broken:
            raise BrokenEngineError
        for output in self._outputs:
            output.fill(_NOTHING)
        results = self._request.infer(inputs, share_inputs=True, share_outputs=True)
        self._outputs = [results[index] for index in range(len(results))]
        if any(len(output) != rows or bool((output == _NOTHING).any()) for output in self._outputs):
            self._is_broken = True
            raise BrokenEngineError
        return self._outputs

    def _count(self, tokens: int, plan: BatchPlan, seconds: float) -> None:
        before, padding = self._usage, plan.rows * plan.padded_length - tokens
        self._usage = Usage(
            before.inferences + 1, before.tokens + tokens, before.padding_tokens + padding, before.seconds + seconds
        )
