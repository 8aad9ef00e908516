"""Preparation from end to end; a run that breaks leaves nothing half-made."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from models.errors import PreparationError
from models.evaluation.data_sets import read_data_set
from models.prepare.progress import say
from models.prepare.quantize.calibration import built_in
from models.prepare.source.checkpoint import Checkpoint, read_checkpoint
from models.prepare.source.layout import Layout
from models.prepare.source.licence import UNKNOWN_LICENCE, read_licence
from models.prepare.source.source import Source, is_hub_id, locate
from models.prepare.workspace import put_in_place, working_room
from models.store import StoredModel
from models.store.catalog import CATALOG
from models.store.manifest import Manifest, digest
from producer.contract import TaskName

__all__ = ["PreparationOptions", "prepare"]

_TOOLS = ("nncf", "openvino", "optimum-intel", "torch", "transformers")
#: Room on the disk for each byte of the source's weights: the export in FP32, INT8, and what is made on the way.
_ROOM_PER_BYTE = 3


@dataclass(frozen=True)
class PreparationOptions:
    """What to prepare, and how.

    Attributes:
        origin: a hub id, or a directory.
        name: the name that requests will use.
        target: the directory to make; one of that name is replaced.
        revision: branch, tag or commit of the hub's repository.
        task: what the model is for, where its architecture does not say.
        calibration: JSON Lines with the columns of the task's requests: ``text``; ``premise`` and ``hypothesis``;
            ``question`` and ``context``. The built-in rows if None.
        evaluations: labelled rows to measure FP32 and INT8 on, if any.
        max_drop_points: how much accuracy INT8 may lose on any of them.
        source: what the card and the manifest say of where it comes from.
    """

    origin: str
    name: str
    target: Path
    revision: str | None = None
    task: TaskName | None = None
    calibration: Path | None = None
    evaluations: tuple[Path, ...] = ()
    max_drop_points: float = 0.5
    source: str | None = None


def prepare(options: PreparationOptions) -> StoredModel:
    """Fetch, make fit for OpenVINO, quantize, measure, and put the result in place in one step.

    Raises:
        PreparationError: the model cannot be prepared, for one of the reasons that its subclasses name.
        WrongDataError: the calibration or evaluation data does not fit.
    """
    with _typed_failures():
        _check_extra()
        source = locate(options.origin, options.revision)
        checkpoint = read_checkpoint(source.directory, options.task)
        if checkpoint.layout is Layout.INC:
            raise _unreadable_int8(options.origin)
        calibration = read_data_set(options.calibration or built_in(checkpoint.task), checkpoint.task, labelled=False)
        evaluations = [read_data_set(path, checkpoint.task) for path in options.evaluations]
        from models.prepare.build import Maker

        with working_room(options.target) as room:
            _check_space(checkpoint, room)
            say(f"{source.name}: {checkpoint.layout.value}, for {checkpoint.task.value}")
            made = Maker(
                checkpoint=checkpoint,
                draft=_draft(options, source, checkpoint),
                calibration=calibration,
                evaluations=evaluations,
                max_drop_points=options.max_drop_points,
                room=room,
            ).make()
            put_in_place(made.directory, options.target)
        return StoredModel(options.target, made.manifest)


def _draft(options: PreparationOptions, source: Source, checkpoint: Checkpoint) -> Manifest:
    """The manifest before there are files."""
    entry = CATALOG.get(options.name)
    licence = read_licence(source.directory)
    return Manifest(
        name=options.name,
        task=checkpoint.task,
        source=options.source or source.name,
        source_sha256=digest(checkpoint.weights),
        source_revision=source.revision,
        source_layout=checkpoint.layout.value,
        licence=entry.licence if entry and licence == UNKNOWN_LICENCE else licence,
        max_length_tokens=checkpoint.max_length_tokens,
        recipe={},
        versions={tool: version(tool) for tool in _TOOLS},
        files={},
    )


def _check_extra() -> None:
    try:
        for tool in _TOOLS:
            version(tool)
    except ModuleNotFoundError as error:
        raise PreparationError(f"{error}: preparation needs pip install 'celeriac[prepare]'") from error


def _check_space(checkpoint: Checkpoint, room: Path) -> None:
    needed, free = checkpoint.weights.stat().st_size * _ROOM_PER_BYTE, shutil.disk_usage(room).free
    if free < needed:
        raise PreparationError(
            f"{room.parent} has {free / 1e6:.0f} MB free, and preparing this model takes up to {needed / 1e6:.0f} MB; "
            "--models-dir names another place"
        )


def _unreadable_int8(origin: str) -> PreparationError:
    sibling = origin.removesuffix("-inc")
    known = is_hub_id(origin) and sibling != origin
    advice = (
        f"its ONNX sibling can be served: python -m models prepare {sibling}"
        if known
        else "prepare an ONNX export of it, or the FP32 model that it was made from"
    )
    return PreparationError(
        f"{origin} is a PyTorch checkpoint that Intel Neural Compressor has quantized, a format that OpenVINO and "
        f"transformers cannot read; {advice}"
    )


@contextmanager
def _typed_failures() -> Iterator[None]:
    """What the system refuses, a full disk above all, as an error of this package."""
    try:
        yield
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        raise PreparationError(f"{where}{error.strerror or error}") from error
    except MemoryError as error:
        raise PreparationError("there is not enough memory to prepare this model") from error
