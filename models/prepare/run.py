"""Preparation from end to end; a run that breaks leaves nothing half-made."""

from __future__ import annotations

import shutil
import sys
import tempfile
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from models.catalog import CATALOG, CatalogEntry, QuantizationRecipe
from models.engine import EngineOptions
from models.errors import PreparationError
from models.evaluation.data_sets import DataSet, read_data_set
from models.evaluation.run import answer_here, evaluate
from models.manifest import Manifest, Measurement, digest, record_files
from models.prepare.card import model_card
from models.prepare.checkpoint import Checkpoint, read_checkpoint
from models.store import CONFIG_NAME, MODEL_NAME, TOKENIZER_NAME, StoredModel

__all__ = ["PreparationOptions", "prepare"]

CARD_NAME = "README.md"
_FILES = [CONFIG_NAME, MODEL_NAME, Path(MODEL_NAME).with_suffix(".bin").name, TOKENIZER_NAME]
_TOOLS = ("nncf", "openvino", "optimum-intel", "torch", "transformers")
_RATE_DIGITS, _SHARE_DIGITS = 1, 4


@dataclass(frozen=True)
class PreparationOptions:
    """What to prepare, and how.

    Attributes:
        checkpoint: a directory in the layout of ``transformers``.
        name: the name that requests will use.
        target: the directory to make; one of that name is replaced.
        calibration: JSON Lines with the columns of the task's requests: ``text``; ``premise`` and ``hypothesis``;
            ``question`` and ``context``.
        evaluations: labelled rows to measure FP32 and INT8 on, if any.
        source: what the card and the manifest say of where it comes from.
    """

    checkpoint: Path
    name: str
    target: Path
    calibration: Path
    evaluations: tuple[Path, ...]
    source: str


def prepare(options: PreparationOptions) -> StoredModel:
    """Export, quantize, measure, and put the result in place in one step.

    Raises:
        PreparationError: the checkpoint cannot be prepared.
        WrongDataError: the calibration or evaluation data does not fit.
    """
    checkpoint = read_checkpoint(options.checkpoint)
    entry = CATALOG.get(options.name)
    recipe = entry.recipe if entry else QuantizationRecipe()
    calibration = read_data_set(options.calibration, checkpoint.task, labelled=False, limit=recipe.calibration_rows)
    evaluations = [read_data_set(path, checkpoint.task) for path in options.evaluations]
    options.target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=options.target.parent, prefix=f".{options.name}-") as room:
        draft = _draft(options, checkpoint, entry, recipe)
        fp32 = _export(checkpoint, Path(room) / "fp32", draft)
        int8 = _quantize(fp32, Path(room) / "int8", calibration, recipe)
        measurements = [_measure(fp32, int8, data) for data in evaluations]
        manifest = int8.manifest.model_copy(update={"measurements": measurements})
        manifest.write(int8.directory)
        (int8.directory / CARD_NAME).write_text(model_card(manifest, entry), encoding="utf-8")
        _put_in_place(int8.directory, options.target)
    return StoredModel(options.target, manifest)


def _draft(
    options: PreparationOptions, checkpoint: Checkpoint, entry: CatalogEntry | None, recipe: QuantizationRecipe
) -> Manifest:
    """The manifest before there are files."""
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
        versions={tool: _version(tool) for tool in _TOOLS},
        files={},
    )


def _version(tool: str) -> str:
    try:
        return version(tool)
    except ModuleNotFoundError as error:
        raise _needs_extra(error) from error


def _needs_extra(error: ImportError) -> PreparationError:
    return PreparationError(f"{error}: preparation needs pip install 'celeriac[prepare]'")


def _export(checkpoint: Checkpoint, directory: Path, draft: Manifest) -> StoredModel:
    try:
        from models.prepare.quantize import export
    except ImportError as error:
        raise _needs_extra(error) from error
    _say("exporting to OpenVINO (about 10 s)")
    directory.mkdir()
    export(checkpoint, directory)
    files = record_files(directory, _FILES)
    return StoredModel(directory, draft.model_copy(update={"files": files, "name": f"{draft.name} FP32"}))


def _quantize(fp32: StoredModel, directory: Path, data: DataSet, recipe: QuantizationRecipe) -> StoredModel:
    from models.prepare.calibration import calibration_sequences
    from models.prepare.quantize import quantize

    sequences = calibration_sequences(fp32, data)
    _say(f"quantizing to INT8 with {len(sequences)} calibration rows")
    directory.mkdir()
    quantize(fp32.directory, directory, sequences, recipe)
    name = fp32.manifest.name.removesuffix(" FP32")
    manifest = fp32.manifest.model_copy(update={"files": record_files(directory, _FILES), "name": name})
    return StoredModel(directory, manifest)


def _measure(fp32: StoredModel, int8: StoredModel, data: DataSet) -> Measurement:
    reports = {}
    for name, model, precision in (("fp32", fp32, "f32"), ("int8", int8, "f32"), ("int8_bf16", int8, "bf16")):
        options = EngineOptions(precision=precision)
        reports[name] = evaluate(model, data, answer_here(model, data, options), options=options)
    return Measurement(
        metric=reports["int8"].metric,
        data=data.name,
        rows=len(data.rows),
        rows_per_second={name: round(report.rows_per_second, _RATE_DIGITS) for name, report in reports.items()},
        **{name: round(report.value, _SHARE_DIGITS) for name, report in reports.items()},
    )


def _put_in_place(made: Path, target: Path) -> None:
    if target.exists():
        old = made.parent / "old"
        target.rename(old)
    made.rename(target)
    shutil.rmtree(made.parent / "old", ignore_errors=True)


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
