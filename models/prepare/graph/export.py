"""A PyTorch checkpoint → an FP32 graph of OpenVINO."""

from __future__ import annotations

import logging
import shutil
import warnings
from pathlib import Path
from typing import Any

import torch
from optimum.intel import OVModelForQuestionAnswering, OVModelForSequenceClassification
from tqdm import tqdm
from transformers import AutoModelForQuestionAnswering, AutoModelForSequenceClassification

from models.errors import PreparationError
from models.prepare.graph.graph_file import write_graph
from models.prepare.graph.pytorch_weights import write_safetensors
from models.prepare.progress import bar
from models.prepare.source.checkpoint import Checkpoint
from models.prepare.source.layout import Layout, weights_of
from models.store import CONFIG_NAME
from producer.contract import TaskName

__all__ = ["export"]

_CLASSIFIERS = (AutoModelForSequenceClassification, OVModelForSequenceClassification)
_CLASSES = {
    TaskName.TEXT_CLASSIFICATION: _CLASSIFIERS,
    TaskName.ZERO_SHOT_CLASSIFICATION: _CLASSIFIERS,
    TaskName.QUESTION_ANSWERING: (AutoModelForQuestionAnswering, OVModelForQuestionAnswering),
}


def export(checkpoint: Checkpoint, target: Path) -> None:
    """Write the FP32 graph and its configuration into ``target``.

    Raises:
        UnsafeWeightsError: the weights are a pickle with more than tensors in it.
        PreparationError: transformers or optimum-intel cannot read or export the checkpoint.
    """
    room = target / "checkpoint"
    room.mkdir()
    with bar(3, "export", "step") as steps:
        _lay_out(checkpoint, room)
        steps.update()
        _convert(checkpoint, room, target, steps)
    shutil.rmtree(room)
    shutil.copyfile(checkpoint.directory / CONFIG_NAME, target / CONFIG_NAME)


def _lay_out(checkpoint: Checkpoint, room: Path) -> None:
    """Configuration and safetensors and nothing else: what is read from here can run no code of the publisher's."""
    shutil.copyfile(checkpoint.directory / CONFIG_NAME, room / CONFIG_NAME)
    safe = room / weights_of(Layout.SAFETENSORS)
    if checkpoint.layout is Layout.PICKLE:
        write_safetensors(checkpoint.weights, safe)
    else:
        safe.symlink_to(checkpoint.weights.resolve())


def _convert(checkpoint: Checkpoint, room: Path, target: Path, steps: tqdm[Any]) -> None:
    original, exporter = _CLASSES[checkpoint.task]
    logging.getLogger("transformers").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        # Notes of torch's tracer on lines of transformers that are constant for every input.
        warnings.simplefilter("ignore")
        try:
            _, report = original.from_pretrained(
                room,
                use_safetensors=True,
                output_loading_info=True,
                dtype=torch.float32,
                local_files_only=True,
                trust_remote_code=False,
            )
            steps.update()
            _check_complete(checkpoint, report)
            # With local_files_only optimum-intel looks for a directory in the hub's cache, and complains.
            exported = exporter.from_pretrained(
                str(room), export=True, load_in_8bit=False, compile=False, trust_remote_code=False
            )
            write_graph(exported.model, target)
        except PreparationError:
            raise
        except Exception as error:
            problem = f"{type(error).__name__}: {error}".splitlines()[0]
            raise PreparationError(f"{checkpoint.directory} cannot be exported: {problem}") from error
        steps.update()


def _check_complete(checkpoint: Checkpoint, report: dict[str, Any]) -> None:
    """Transformers fills what a checkpoint does not have with random numbers, and says so in a log."""
    missing = sorted(report["missing_keys"]) + sorted(str(key) for key, *_ in report["mismatched_keys"])
    if missing:
        raise PreparationError(
            f"{checkpoint.weights} does not hold all that a model for {checkpoint.task.value} needs: "
            f"{', '.join(missing[:3])}{' and more' if len(missing) > 3 else ''}"  # noqa: PLR2004 - as many are shown
        )
