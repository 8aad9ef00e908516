"""From a PyTorch checkpoint to an FP32 graph of OpenVINO."""

from __future__ import annotations

import json
import logging
import shutil
import warnings
from pathlib import Path
from typing import Any

import torch
from optimum.intel import OVModelForQuestionAnswering, OVModelForSequenceClassification
from tqdm import tqdm
from transformers import AutoModelForQuestionAnswering, AutoModelForSequenceClassification

from models.errors import PreparationError, first_line
from models.prepare.graph.graph_file import write_graph
from models.prepare.graph.pytorch_weights import write_safetensors
from models.prepare.graph.trace import trace
from models.prepare.source.checkpoint import Checkpoint
from models.prepare.source.families import Exporter, exporter_of, lacks_padding
from models.prepare.source.layout import Layout, weights_of
from models.progress import progress_bar
from models.store import CONFIG_NAME
from producer.contract import TaskName

__all__ = ["export"]

_NO_TOKEN = -1
#: Most missing weights that a message names.
_MAX_SHOWN = 3

_CLASSIFIERS = (AutoModelForSequenceClassification, OVModelForSequenceClassification)
_CLASSES = {
    TaskName.TEXT_CLASSIFICATION: _CLASSIFIERS,
    TaskName.ZERO_SHOT_CLASSIFICATION: _CLASSIFIERS,
    TaskName.QUESTION_ANSWERING: (AutoModelForQuestionAnswering, OVModelForQuestionAnswering),
}


def export(checkpoint: Checkpoint, target: Path) -> None:
    """Write the FP32 graph and its configuration into ``target``, an existing directory.

    Raises:
        UnsafeWeightsError: the weights are a pickle that contains more than tensors.
        PreparationError: transformers or optimum-intel cannot read or export the checkpoint.
    """
    safe_checkpoint = target / "checkpoint"
    safe_checkpoint.mkdir()
    with progress_bar(3, "export", "step") as steps:
        _write_safe_checkpoint(checkpoint, safe_checkpoint)
        steps.update()
        _convert(checkpoint, safe_checkpoint, target, steps)
    shutil.rmtree(safe_checkpoint)
    shutil.copyfile(checkpoint.directory / CONFIG_NAME, target / CONFIG_NAME)


def _write_safe_checkpoint(checkpoint: Checkpoint, directory: Path) -> None:
    """Only configuration and safetensors: reading these cannot run code of the publisher's."""
    # Weights in fp16 or bf16 are read as what they are, and computed with in FP32.
    config = {**checkpoint.config, "torch_dtype": "float32"}
    config.pop("dtype", None)
    if lacks_padding(config):
        # optimum-intel exports no decoder without one. No token has this id, so the last token still counts.
        config["pad_token_id"] = _NO_TOKEN
    (directory / CONFIG_NAME).write_text(json.dumps(config), encoding="utf-8")
    if checkpoint.layout is Layout.PICKLE:
        write_safetensors(checkpoint.weights, directory / weights_of(Layout.SAFETENSORS))
        return
    for path in checkpoint.weight_files:
        (directory / path.name).symlink_to(path.resolve())
    if checkpoint.layout is Layout.SHARDS:
        shutil.copyfile(checkpoint.weights, directory / checkpoint.weights.name)
        _check_index(checkpoint)


def _check_index(checkpoint: Checkpoint) -> None:
    """Refuse an index that leads to other files than those that are beside it."""
    names = {path.name for path in checkpoint.weight_files}
    try:
        listed = set(json.loads(checkpoint.weights.read_bytes())["weight_map"].values())
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise PreparationError(f"{checkpoint.weights} is not an index of weights: {first_line(error)}") from error
    if not listed <= names:
        raise PreparationError(f"{checkpoint.weights} lists {min(map(str, listed - names))}, which is not beside it")


def _convert(checkpoint: Checkpoint, safe_checkpoint: Path, target: Path, steps: tqdm[Any]) -> None:
    original, exporter = _CLASSES[checkpoint.task]
    logging.getLogger("transformers").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        # torch's tracer warns about lines of transformers whose value is constant for every input.
        warnings.simplefilter("ignore")
        try:
            model, loading_info = original.from_pretrained(
                safe_checkpoint,
                use_safetensors=True,
                output_loading_info=True,
                dtype=torch.float32,
                local_files_only=True,
                trust_remote_code=False,
            )
            steps.update()
            _check_complete(checkpoint, loading_info)
            if exporter_of(checkpoint.config, checkpoint.task) is Exporter.TRACE:
                graph = trace(model, checkpoint.task)
            else:
                del model
                # Without local_files_only: with it, optimum-intel looks for the directory in the hub's cache.
                graph = exporter.from_pretrained(
                    str(safe_checkpoint), export=True, load_in_8bit=False, compile=False, trust_remote_code=False
                ).model
            write_graph(graph, target)
        except PreparationError:
            raise
        except Exception as error:
            problem = f"{type(error).__name__}: {first_line(error)}"
            raise PreparationError(f"{checkpoint.directory} cannot be exported: {problem}") from error
        steps.update()


def _check_complete(checkpoint: Checkpoint, loading_info: dict[str, Any]) -> None:
    """Refuse missing weights, which transformers replaces by random numbers and mentions only in a log line."""
    missing = sorted(loading_info["missing_keys"]) + sorted(str(key) for key, *_ in loading_info["mismatched_keys"])
    if missing:
        raise PreparationError(
            f"{checkpoint.weights} lacks weights that a model for {checkpoint.task.value} needs: "
            f"{', '.join(missing[:_MAX_SHOWN])}{' and more' if len(missing) > _MAX_SHOWN else ''}"
        )
