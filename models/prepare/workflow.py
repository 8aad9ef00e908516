"""Preparation from end to end. A run that fails leaves nothing behind."""

from __future__ import annotations

import shutil
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from models.engine.batching import BatchingOptions
from models.errors import PreparationError
from models.evaluation.data_sets import read_data_set
from models.pipelines.entailment import NO_LABELS, InferenceLabels
from models.prepare.catalog import CATALOG
from models.prepare.quantize.calibration import built_in_rows, split_rows
from models.prepare.quantize.distance import default_limit
from models.prepare.source.checkpoint import Checkpoint, read_checkpoint
from models.prepare.source.licence import UNKNOWN_LICENCE, read_licence
from models.prepare.source.locate import locate
from models.prepare.source.source import Source
from models.prepare.workspace import move_to_target, open_workspace
from models.progress import report
from models.store import StoredModel
from models.store.manifest import Manifest, digest_of_all
from producer.contract import TaskName

__all__ = ["PreparationOptions", "prepare"]

_TOOLS = ("openvino", "optimum-intel", "torch", "transformers")
#: Disk space per byte of the published weights: the FP32 export, INT8, and temporary files.
_DISK_BYTES_PER_BYTE = 3


@dataclass(frozen=True)
class PreparationOptions:
    """What to prepare, and how.

    Attributes:
        origin: a hub id, or a local directory.
        name: the name that requests will use.
        target: the directory to make; an existing one is replaced.
        batching: how sequences are batched while models are measured.
        max_distance: how far from FP32 the answers may be, as :attr:`Fp32Distance.value`; the task's default if None.
        max_points_lost: most accuracy that INT8 may lose on any of the evaluations, in percentage points.
        revision: branch, tag or commit of the hub's repository; its main branch if None.
        task: the task of the model, if its architecture does not tell.
        calibration: JSON Lines with the columns of the task's requests: ``text``; ``premise`` and ``hypothesis``;
            ``question`` and ``context``. The built-in rows if None.
        held_back: more such rows, to measure the distance from FP32 on; half of the calibration rows or more if None.
        evaluations: labelled files to measure FP32 and INT8 on.
        labels: which labels of a model for natural language inference mean what, if their names do not say it.
        source: what the card and the manifest say about where the model comes from; ``origin`` if None.
    """

    origin: str
    name: str
    target: Path
    batching: BatchingOptions
    max_points_lost: float
    max_distance: float | None = None
    revision: str | None = None
    task: TaskName | None = None
    calibration: Path | None = None
    held_back: Path | None = None
    evaluations: tuple[Path, ...] = ()
    labels: InferenceLabels = NO_LABELS
    source: str | None = None


def prepare(options: PreparationOptions) -> StoredModel:
    """Fetch a model, convert it to OpenVINO, quantize it, measure it, and move it to its target in one step.

    Raises:
        PreparationError: the model cannot be prepared; its subclasses name the reasons.
        InvalidDataError: the calibration or evaluation data does not fit the task.
    """
    with _system_errors_as_preparation_errors():
        _check_tools()

        def read(directory: Path, names: Collection[str] | None = None) -> Checkpoint:
            return read_checkpoint(directory, options.task, labels=options.labels, names=names, source=options.origin)

        source = locate(options.origin, options.revision, check=read)
        checkpoint = read(source.directory)
        calibration_path = options.calibration or built_in_rows(checkpoint.task)
        calibration = read_data_set(calibration_path, checkpoint.task, labelled=False)
        held_back = read_data_set(options.held_back, checkpoint.task, labelled=False) if options.held_back else None
        rows = split_rows(calibration, held_back)
        evaluations = [read_data_set(path, checkpoint.task) for path in options.evaluations]
        from models.engine.engine import EngineOptions
        from models.prepare.build import ModelBuilder

        with open_workspace(options.target) as workspace:
            _check_space(checkpoint, workspace)
            report(f"{source.name}: {checkpoint.layout.value}, for {checkpoint.task.value}")
            model = ModelBuilder(
                checkpoint=checkpoint,
                draft=_draft(options, source, checkpoint),
                rows=rows,
                evaluations=evaluations,
                max_distance=options.max_distance or default_limit(checkpoint.task),
                max_points_lost=options.max_points_lost,
                options=EngineOptions(threads=1, precision="f32", batching=options.batching),
                workspace=workspace,
            ).build()
            move_to_target(model.directory, options.target)
        return StoredModel(options.target, model.manifest)


def _draft(options: PreparationOptions, source: Source, checkpoint: Checkpoint) -> Manifest:
    """The manifest as far as it is known before any file is made."""
    entry = CATALOG.get(options.name)
    licence = read_licence(source.directory)
    return Manifest(
        name=options.name,
        task=checkpoint.task,
        source=options.source or source.name,
        source_sha256=digest_of_all(checkpoint.weight_files),
        source_revision=source.revision,
        source_layout=checkpoint.layout.value,
        licence=entry.licence if entry and licence == UNKNOWN_LICENCE else licence,
        max_length_tokens=checkpoint.max_length_tokens,
        entailment_label=checkpoint.labels.entailment,
        contradiction_label=checkpoint.labels.contradiction,
        recipe={},
        versions={tool: version(tool) for tool in _TOOLS},
        files={},
    )


def _check_tools() -> None:
    try:
        for tool in _TOOLS:
            version(tool)
    except ModuleNotFoundError as error:
        raise PreparationError(f"{error}: preparation requires pip install 'celeriac-worker[prepare]'") from error


def _check_space(checkpoint: Checkpoint, workspace: Path) -> None:
    needed_bytes = sum(path.stat().st_size for path in checkpoint.weight_files) * _DISK_BYTES_PER_BYTE
    free_bytes = shutil.disk_usage(workspace).free
    if free_bytes < needed_bytes:
        raise PreparationError(
            f"{workspace.parent} has {free_bytes / 1e6:.0f} MB free, and preparing this model takes up to "
            f"{needed_bytes / 1e6:.0f} MB; use --models-dir for another directory"
        )


@contextmanager
def _system_errors_as_preparation_errors() -> Iterator[None]:
    """Turn what the operating system refuses, such as writing to a full disk, into an error of this package."""
    try:
        yield
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        raise PreparationError(f"{where}{error.strerror or error}") from error
    except MemoryError as error:
        raise PreparationError("not enough memory to prepare this model") from error
