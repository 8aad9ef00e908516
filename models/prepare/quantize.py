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
from optimum.intel import OVModelForSequenceClassification
from tokenizers import Tokenizer

from models.catalog import QuantizationRecipe
from models.errors import PreparationError
from models.prepare.checkpoint import Checkpoint
from models.store import CONFIG_NAME, MODEL_NAME, TOKENIZER_NAME

__all__ = ["export", "quantize"]


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
            exported = OVModelForSequenceClassification.from_pretrained(
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


def quantize(fp32: Path, target: Path, texts: Sequence[str], recipe: QuantizationRecipe, max_length: int) -> None:
    """Write the INT8 model beside its configuration and tokenizer into ``target``.

    Args:
        fp32: the directory that :func:`export` wrote.
        target: an existing directory.
        texts: calibration texts; the first ``recipe.calibration_rows`` are used.
        recipe: preset and SmoothQuant.
        max_length: longest sequence, in tokens.
    """
    tokenizer = Tokenizer.from_file(str(fp32 / TOKENIZER_NAME))
    tokenizer.no_padding()
    tokenizer.enable_truncation(max_length)
    model = ov.Core().read_model(fp32 / MODEL_NAME)
    inputs = [port.any_name for port in model.inputs]

    def to_inputs(text: str) -> dict[str, np.ndarray[tuple[int, ...], np.dtype[np.int64]]]:
        encoding = tokenizer.encode(text)
        values = {
            "input_ids": encoding.ids,
            "attention_mask": encoding.attention_mask,
            "token_type_ids": encoding.type_ids,
        }
        return {name: np.array([values[name]], dtype=np.int64) for name in inputs}

    rows = list(texts[: recipe.calibration_rows])
    quantized = nncf.quantize(
        model,
        nncf.Dataset(rows, to_inputs),
        preset=nncf.QuantizationPreset(recipe.preset),
        model_type=nncf.ModelType.TRANSFORMER,
        subset_size=len(rows),
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
