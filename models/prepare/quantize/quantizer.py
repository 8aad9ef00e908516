"""From an FP32 graph to INT8."""

from __future__ import annotations

import contextlib
import logging
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import nncf
import numpy as np
import openvino as ov

from models.engine.engine import TokenSequence
from models.engine.openvino_core import shared_core
from models.errors import PreparationError
from models.prepare.graph.graph_file import write_graph
from models.prepare.quantize.recipe import QuantizationMethod, QuantizationRecipe
from models.store import CONFIG_NAME, MODEL_NAME

__all__ = ["products_after_activations", "quantize"]

_ACTIVATIONS = frozenset({"Gelu", "Relu", "Swish", "HSwish", "Mish", "PRelu", "Elu"})


def quantize(fp32: Path, target: Path, sequences: Sequence[TokenSequence], recipe: QuantizationRecipe) -> None:
    """Write the INT8 graph and its configuration into ``target``.

    Args:
        fp32: the directory of the FP32 graph.
        target: an existing directory.
        sequences: what the model reads for calibration.
        recipe: what is quantized, and how.

    Raises:
        PreparationError: nncf cannot quantize this graph, or it cannot be written.
    """
    # nncf logs to standard output, which is reserved for the command's own output.
    # nncf.set_log_level would change the log handlers of the whole process.
    logging.getLogger("nncf").setLevel(logging.ERROR)
    model = shared_core().read_model(fp32 / MODEL_NAME)
    try:
        # Its progress bars go to standard output too.
        with contextlib.redirect_stdout(sys.stderr):
            quantized = _quantize(model, sequences, recipe)
    except (nncf.errors.InternalError, nncf.errors.ValidationError, RuntimeError, ValueError) as error:
        problem = f"{type(error).__name__}: {error}".splitlines()[0]
        raise PreparationError(f"the model cannot be quantized ({recipe}): {problem}") from error
    write_graph(quantized, target, in_fp16=True)
    shutil.copyfile(fp32 / CONFIG_NAME, target / CONFIG_NAME)


def _quantize(model: ov.Model, sequences: Sequence[TokenSequence], recipe: QuantizationRecipe) -> ov.Model:
    if recipe.method is QuantizationMethod.WEIGHTS:
        compressed = nncf.compress_weights(model, mode=nncf.CompressWeightsMode.INT8_ASYM)
        # Otherwise the CPU plugin quantizes activations dynamically, which is what loses accuracy.
        compressed.set_rt_info(0, ["runtime_options", "DYNAMIC_QUANTIZATION_GROUP_SIZE"])
        return compressed
    kept = products_after_activations(model) if recipe.keeps_products_after_activations else []
    return nncf.quantize(
        model,
        nncf.Dataset(sequences, _to_inputs([port.any_name for port in model.inputs])),
        preset=nncf.QuantizationPreset(recipe.preset),
        model_type=nncf.ModelType.TRANSFORMER,
        subset_size=len(sequences),
        ignored_scope=nncf.IgnoredScope(names=kept) if kept else None,
        advanced_parameters=nncf.AdvancedQuantizationParameters(
            smooth_quant_alphas=nncf.AdvancedSmoothQuantParameters(matmul=recipe.smooth_quant_alpha)
        ),
    )


def products_after_activations(model: ov.Model) -> list[str]:
    """Names of the matrix products whose input comes from an activation function, as in feed-forward layers."""
    return [
        node.friendly_name
        for node in model.get_ops()
        if node.get_type_name() == "MatMul" and node.input_value(0).get_node().get_type_name() in _ACTIVATIONS
    ]


def _to_inputs(names: Sequence[str]) -> Any:
    def to_inputs(sequence: TokenSequence) -> dict[str, np.ndarray[tuple[int, ...], np.dtype[np.int64]]]:
        values = {
            "input_ids": sequence.ids,
            "attention_mask": [1] * len(sequence.ids),
            "token_type_ids": sequence.type_ids,
        }
        return {name: np.array([values[name]], dtype=np.int64) for name in names}

    return to_inputs
