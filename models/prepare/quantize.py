"""Export to OpenVINO IR and post-training quantization to INT8."""

from __future__ import annotations

import logging
import shutil
import warnings
from collections.abc import Sequence
from pathlib import Path

import nncf
import numpy as np
import openvino as ov
from optimum.intel import OVModelForQuestionAnswering, OVModelForSequenceClassification

from models.catalog import QuantizationRecipe
from models.engine import TokenSequence
from models.errors import PreparationError
from models.prepare.checkpoint import Checkpoint
from models.store import CONFIG_NAME, MODEL_NAME, TOKENIZER_NAME
from producer.contract import TaskName

__all__ = ["export", "quantize"]

_LOADERS = {
    TaskName.TEXT_CLASSIFICATION: OVModelForSequenceClassification,
    TaskName.ZERO_SHOT_CLASSIFICATION: OVModelForSequenceClassification,
    TaskName.QUESTION_ANSWERING: OVModelForQuestionAnswering,
}


def export(checkpoint: Checkpoint, target: Path) -> None:
    """Write the FP32 model, its configuration and its tokenizer into ``target``.

    Raises:
        PreparationError: optimum-intel cannot read or export the checkpoint.
    """
    logging.getLogger("transformers").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        # Notes of torch's tracer on lines of transformers that are constant for every input.
        warnings.simplefilter("ignore")
        try:
            exported = _LOADERS[checkpoint.task].from_pretrained(
                # A Path makes optimum-intel log an error of its own (it calls str.replace on it) and go on.
                str(checkpoint.directory),
                export=True,
                load_in_8bit=False,
                compile=False,
                local_files_only=True,
            )
        except Exception as error:
            problem = f"{type(error).__name__}: {error}".splitlines()[0]
            raise PreparationError(f"{checkpoint.directory} cannot be exported: {problem}") from error
    ov.save_model(exported.model, target / MODEL_NAME, compress_to_fp16=False)
    copy_companions(checkpoint.directory, target)


def quantize(fp32: Path, target: Path, sequences: Sequence[TokenSequence], recipe: QuantizationRecipe) -> None:
    """Write the INT8 model beside its configuration and tokenizer into ``target``.

    Args:
        fp32: the directory that :func:`export` wrote.
        target: an existing directory.
        sequences: what the model shall read for calibration.
        recipe: preset and SmoothQuant.
    """
    model = ov.Core().read_model(fp32 / MODEL_NAME)
    inputs = [port.any_name for port in model.inputs]

    def to_inputs(sequence: TokenSequence) -> dict[str, np.ndarray[tuple[int, ...], np.dtype[np.int64]]]:
        values = {
            "input_ids": sequence.ids,
            "attention_mask": [1] * len(sequence.ids),
            "token_type_ids": sequence.type_ids,
        }
        return {name: np.array([values[name]], dtype=np.int64) for name in inputs}

    quantized = nncf.quantize(
        model,
        nncf.Dataset(sequences, to_inputs),
        preset=nncf.QuantizationPreset(recipe.preset),
        model_type=nncf.ModelType.TRANSFORMER,
        subset_size=len(sequences),
        advanced_parameters=nncf.AdvancedQuantizationParameters(
            smooth_quant_alphas=nncf.AdvancedSmoothQuantParameters(matmul=recipe.smooth_quant_alpha)
        ),
    )
    ov.save_model(quantized, target / MODEL_NAME)
    copy_companions(fp32, target)


def copy_companions(source: Path, target: Path) -> None:
    """Copy what a served model has beside its graph."""
    for name in (CONFIG_NAME, TOKENIZER_NAME):
        shutil.copyfile(source / name, target / name)
