"""From a model's file to a compiled model, in the arithmetic that suits this CPU."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import openvino as ov

from models.engine import dequantize
from models.engine.arithmetic import Arithmetic, has_bf16_products, has_int8_products, int8_properties, likely_fastest
from models.engine.compiled_cache import Blob, CompiledFile, compiled_file
from models.engine.cpu import SPARSE_SHARE, runs_sparse_weights
from models.engine.feeding import BERT, Feeding
from models.engine.openvino_core import shared_core
from models.engine.options import EngineOptions
from models.engine.race import race, time_inferences
from models.engine.verdict import MAX_WAIT_S, Verdict, verdict_file
from models.store.graph_quantization import ActivationQuantization, quantization_of

__all__ = ["Compilation", "ModelFile", "compile_for_this_cpu"]

logger = logging.getLogger(__name__)

_NO_TIME = "%s: this start takes too long to measure the fastest arithmetic; the CPU's instructions decide"


@dataclass(frozen=True)
class ModelFile:
    """A model to compile.

    Attributes:
        path: the IR (``.xml``) or ONNX file.
        max_length: longest sequence that the model reads, in tokens.
        zero_weights: share of the weights that are zero, from 0 to 1.
        revision: identifies the exact model files; None to use no cache.
        allows_bf16: whether the accuracy of the model has been measured in bf16 and is good enough.
        feeding: how its rows are made.
    """

    path: Path
    max_length: int
    zero_weights: float = 0.0
    revision: str | None = None
    allows_bf16: bool = False
    feeding: Feeding = BERT


@dataclass(frozen=True)
class Compilation:
    """A compiled model.

    Attributes:
        compiled: the compiled model.
        blob: the mapped memory that holds its weights; None if it did not come from the cache.
        arithmetic: type of its matrix products.
    """

    compiled: ov.CompiledModel
    blob: Blob | None
    arithmetic: Arithmetic


def compile_for_this_cpu(file: ModelFile, options: EngineOptions) -> Compilation:
    """Compile a model, or take it from the cache.

    Raises:
        RuntimeError: OpenVINO cannot read or compile the model.
    """
    try:
        quantization = quantization_of(file.path)
    except (OSError, ValueError) as error:
        raise RuntimeError(f"{file.path} cannot be read: {error}") from error
    if quantization is ActivationQuantization.NONE:
        # INT8 products would need quantized activations.
        pinned = None if options.arithmetic is Arithmetic.INT8 else options.arithmetic
        return _Compiler(file, options, pinned).compile()
    candidates = _candidates(file, options, quantization)
    arithmetic = candidates[0] if len(candidates) == 1 else _choose(file, options, candidates)
    return _Compiler(file, options, arithmetic).compile()


def _candidates(file: ModelFile, options: EngineOptions, quantization: ActivationQuantization) -> list[Arithmetic]:
    # OpenVINO simulates static ranges on every CPU, and quantizes activations as they come only with such products.
    has_int8 = quantization is ActivationQuantization.STATIC or has_int8_products()
    if options.arithmetic is Arithmetic.INT8 and not has_int8:
        logger.warning("%s is computed in f32: this CPU has no INT8 products for it", file.path)
        return [Arithmetic.F32]
    if options.arithmetic is not None:
        return [options.arithmetic]
    bf16 = [Arithmetic.BF16] if file.allows_bf16 and has_bf16_products() else []
    return [Arithmetic.F32, *bf16, *([Arithmetic.INT8] if has_int8 else [])]


def _choose(file: ModelFile, options: EngineOptions, candidates: Sequence[Arithmetic]) -> Arithmetic:
    """The fastest arithmetic, as measured by the first process that had to choose for this model on this CPU."""
    if options.cache_dir is None or file.revision is None:
        return likely_fastest(candidates)
    facts = {"threads": options.threads, "precision": options.precision, "dequantize": dequantize.VERSION}
    kept = verdict_file(options.cache_dir, file.revision, ov.get_version(), facts, candidates)
    try:
        left_s = max(0.0, options.measure_until_s - time.monotonic())
        verdict = kept.read_or_measure(lambda: _measure(file, options, candidates), min(left_s, MAX_WAIT_S))
    except RuntimeError:
        logger.warning("%s: the fastest arithmetic cannot be measured", file.path, exc_info=True)
        verdict = None
    return verdict.arithmetic if verdict else likely_fastest(candidates)


def _measure(file: ModelFile, options: EngineOptions, candidates: Sequence[Arithmetic]) -> Verdict | None:
    """Compile and time the candidates, and add the fastest to the cache.

    Returns:
        None if there is not enough time.

    Raises:
        RuntimeError: OpenVINO cannot compile or run any candidate.
    """
    if time.monotonic() > options.measure_until_s:
        logger.warning(_NO_TIME, file.path)
        return None
    winner = race(
        candidates,
        lambda arithmetic: _Compiler(file, options, arithmetic).compile_anew(),
        lambda compiled: time_inferences(compiled, file.max_length, file.feeding),
        options.measure_until_s,
    )
    if not winner.is_decided:
        logger.warning(_NO_TIME, file.path)
        if winner.arithmetic is likely_fastest(candidates):
            _Compiler(file, options, winner.arithmetic).keep(winner.compiled)
        return None
    verdict = Verdict.here(winner.arithmetic, winner.milliseconds, options.threads, ov.get_version())
    logger.info("%s: the fastest arithmetic is %s", file.path, verdict)
    _Compiler(file, options, winner.arithmetic).keep(winner.compiled)
    return verdict


class _Compiler:
    """Compiles a model in one arithmetic.

    Args:
        file: the model.
        options: how it is compiled.
        arithmetic: of its matrix products; None for a model without quantized activations whose products are computed
            in the precision of the rest.
    """

    def __init__(self, file: ModelFile, options: EngineOptions, arithmetic: Arithmetic | None) -> None:
        self._file = file
        self._arithmetic = arithmetic
        self._is_dequantized = arithmetic in {Arithmetic.F32, Arithmetic.BF16}
        self._properties = _properties(file, options, arithmetic)
        self._cached: CompiledFile | None = None
        if options.cache_dir is not None and file.revision is not None:
            changes = {"dequantize": dequantize.VERSION} if self._is_dequantized else {}
            depends_on = {**self._properties, **changes}
            self._cached = compiled_file(options.cache_dir, file.revision, ov.get_version(), depends_on)

    def compile(self) -> Compilation:
        """Compile the model, or take it from the cache.

        Raises:
            RuntimeError: OpenVINO cannot read or compile it.
        """
        if self._cached is not None:
            blob = self._cached.read_or_compile(lambda: self.compile_anew().export_model().getbuffer())
            if blob is not None:
                try:
                    tensor = ov.Tensor(blob, shared_memory=True)
                    return self._described(shared_core().import_model(tensor, "CPU", self._properties), blob)
                except RuntimeError:
                    logger.warning("OpenVINO rejects %s: compiling the model again", self._cached.path, exc_info=True)
                    self._cached.discard()
        return self._described(self.compile_anew(), None)

    def compile_anew(self) -> ov.CompiledModel:
        """Compile the model.

        Raises:
            RuntimeError: OpenVINO cannot read or compile it.
        """
        try:
            return self._compile_anew()
        except RuntimeError as error:
            if self._arithmetic is Arithmetic.BF16 and not has_bf16_products():
                raise RuntimeError(f"{self._file.path} cannot be computed in bf16 on this CPU") from error
            raise

    def _compile_anew(self) -> ov.CompiledModel:
        if self._arithmetic is None or not self._is_dequantized:
            return shared_core().compile_model(self._file.path, "CPU", self._properties)
        graph = shared_core().read_model(self._file.path)
        dequantize.dequantize(graph, self._arithmetic)
        return shared_core().compile_model(graph, "CPU", self._properties)

    def keep(self, compiled: ov.CompiledModel) -> None:
        """Add a compiled model to the cache."""
        if self._cached is not None:
            self._cached.read_or_compile(lambda: compiled.export_model().getbuffer())

    def _described(self, compiled: ov.CompiledModel, blob: Blob | None) -> Compilation:
        if self._arithmetic is Arithmetic.INT8:
            return Compilation(compiled, blob, Arithmetic.INT8)
        is_bf16 = compiled.get_property("INFERENCE_PRECISION_HINT") == ov.Type.bf16
        return Compilation(compiled, blob, Arithmetic.BF16 if is_bf16 else Arithmetic.F32)


def _properties(file: ModelFile, options: EngineOptions, arithmetic: Arithmetic | None) -> dict[str, Any]:
    # OpenVINO accepts the option on every CPU: the share of zeros from which on a layer stays compressed.
    is_sparse = file.zero_weights >= SPARSE_SHARE and runs_sparse_weights()
    properties = {
        "INFERENCE_NUM_THREADS": options.threads,
        "NUM_STREAMS": 1,
        # OpenVINO would pin every process to the first cores (openvino#32444); the mask of the process does it right.
        "ENABLE_CPU_PINNING": False,
    }
    if arithmetic in {Arithmetic.F32, Arithmetic.BF16}:
        # Otherwise the CPU plugin quantizes the activations again, on the fly.
        return {**properties, "INFERENCE_PRECISION_HINT": arithmetic.value, "DYNAMIC_QUANTIZATION_GROUP_SIZE": 0}
    sparse = {"CPU_SPARSE_WEIGHTS_DECOMPRESSION_RATE": SPARSE_SHARE} if is_sparse else {}
    return {**properties, "INFERENCE_PRECISION_HINT": options.precision, **int8_properties(), **sparse}
