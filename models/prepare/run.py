"""Preparation from end to end; a run that breaks leaves nothing half-made."""

from __future__ import annotations

import shutil
import sys
import tempfile
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from models.catalog import CATALOG, QuantizationRecipe
from models.engine import EngineOptions
from models.errors import PreparationError
from models.evaluate import evaluate
from models.manifest import Accuracy, Manifest, digest, record_files
from models.prepare.card import model_card
from models.prepare.checkpoint import Checkpoint, read_checkpoint
from models.rows import read_rows
from models.store import CONFIG_NAME, MODEL_NAME, TOKENIZER_NAME, StoredModel

__all__ = ["PreparationOptions", "prepare"]

CARD_NAME = "README.md"
_FILES = [CONFIG_NAME, MODEL_NAME, Path(MODEL_NAME).with_suffix(".bin").name, TOKENIZER_NAME]
_TOOLS = ("nncf", "openvino", "optimum-intel", "torch", "transformers")


@dataclass(frozen=True)
class PreparationOptions:
    """What to prepare, and how.

    Attributes:
        checkpoint: a directory in the layout of ``transformers``.
        name: the name that requests will use.
        target: the directory to make; one of that name is replaced.
        calibration: JSON Lines with a column ``text``.
        evaluation: labelled rows to measure FP32 and INT8 on, if any.
        source: what the card and the manifest say of where it comes from.
    """

    checkpoint: Path
    name: str
    target: Path
    calibration: Path
    evaluation: Path | None
    source: str


def prepare(options: PreparationOptions) -> StoredModel:
    """Export, quantize, measure, and put the result in place in one step.

    Raises:
        PreparationError: the checkpoint cannot be prepared.
        WrongDataError: the calibration or evaluation data does not fit.
    """
    checkpoint = read_checkpoint(options.checkpoint)
    texts = [row["text"] for row in read_rows(options.calibration, {"text": str})]
    entry = CATALOG.get(options.name)
    recipe = entry.recipe if entry else QuantizationRecipe()
    options.target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=options.target.parent, prefix=f".{options.name}-") as room:
        fp32, int8 = Path(room) / "fp32", Path(room) / "int8"
        for directory in (fp32, int8):
            directory.mkdir()
        _build(checkpoint, fp32, int8, texts, recipe)
        manifest = _manifest(options, checkpoint, int8, recipe)
        if options.evaluation:
            manifest = _measure(manifest, options, fp32, int8)
        manifest.write(int8)
        (int8 / CARD_NAME).write_text(model_card(manifest, entry), encoding="utf-8")
        _put_in_place(int8, options.target)
    return StoredModel(options.target, manifest)


def _build(checkpoint: Checkpoint, fp32: Path, int8: Path, texts: list[str], recipe: QuantizationRecipe) -> None:
    try:
        from models.prepare.quantize import export, quantize
    except ImportError as error:
        raise PreparationError(f"{error}: preparation needs pip install 'celeriac[prepare]'") from error
    _say("exporting to OpenVINO (about 10 s)")
    export(checkpoint, fp32)
    _say(f"quantizing to INT8 with {min(recipe.calibration_rows, len(texts))} calibration texts")
    quantize(fp32, int8, texts, recipe, checkpoint.max_length_tokens)


def _manifest(
    options: PreparationOptions, checkpoint: Checkpoint, directory: Path, recipe: QuantizationRecipe
) -> Manifest:
    entry = CATALOG.get(options.name)
    return Manifest(
        name=options.name,
        task=checkpoint.task,
        source=options.source,
        source_sha256=digest(checkpoint.weights),
        licence=entry.licence if entry else "unknown",
        max_length_tokens=checkpoint.max_length_tokens,
        recipe={
            "method": "nncf post-training quantization",
            "preset": recipe.preset,
            "smooth_quant_alpha": recipe.smooth_quant_alpha,
            "calibration_rows": recipe.calibration_rows,
            "calibration_data": options.calibration.name,
        },
        versions={tool: version(tool) for tool in _TOOLS},
        files=record_files(directory, _FILES),
    )


def _measure(manifest: Manifest, options: PreparationOptions, fp32: Path, int8: Path) -> Manifest:
    if options.evaluation is None:
        return manifest
    original = manifest.model_copy(update={"files": record_files(fp32, _FILES), "name": f"{manifest.name} FP32"})
    before = evaluate(StoredModel(fp32, original), options.evaluation, EngineOptions())
    after = evaluate(StoredModel(int8, manifest), options.evaluation, EngineOptions())
    accuracy = Accuracy(
        metric=after.metric,
        data=f"{options.evaluation.parent.name}/{after.data}",
        rows=after.rows,
        fp32=round(before.value, 4),
        int8=round(after.value, 4),
    )
    return manifest.model_copy(update={"accuracy": accuracy})


def _put_in_place(made: Path, target: Path) -> None:
    if target.exists():
        old = made.parent / "old"
        target.rename(old)
    made.rename(target)
    shutil.rmtree(made.parent / "old", ignore_errors=True)


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
