"""Writing an OpenVINO graph."""

from __future__ import annotations

from pathlib import Path

import openvino as ov

from models.errors import PreparationError
from models.store import MODEL_NAME

__all__ = ["write_graph"]


def write_graph(model: ov.Model, directory: Path, *, in_fp16: bool = False) -> None:
    """Write a graph into ``directory``.

    Args:
        model: the graph.
        directory: an existing directory.
        in_fp16: store FP32 weights as FP16, in half the space.

    Raises:
        PreparationError: the graph could not be written completely.
    """
    path = directory / MODEL_NAME
    try:
        ov.save_model(model, path, compress_to_fp16=in_fp16)
    except RuntimeError as error:
        problem = str(error).strip().splitlines()[-1]
        raise PreparationError(f"{path} could not be written; is the disk full? ({problem})") from error
