"""Graphs that are published as OpenVINO IR or ONNX: reading, checking and saving them."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import openvino as ov
from openvino.preprocess import PrePostProcessor

from models.engine.openvino_core import shared_core
from models.errors import PreparationError
from models.prepare.graph.graph_file import write_graph
from models.prepare.source.checkpoint import Checkpoint
from models.prepare.source.layout import graph_of
from models.store import CONFIG_NAME
from producer.contract import TaskName

__all__ = ["is_quantized", "quantizes_activations", "read_graph", "save_graph", "zero_share"]

_INPUTS = {"input_ids", "attention_mask", "token_type_ids"}
_SPAN_OUTPUTS = {"start_logits", "end_logits"}
_INTEGERS = {ov.Type.i8, ov.Type.u8, ov.Type.i4, ov.Type.u4}
#: Operations between a matrix product and the constant with its weights.
_BETWEEN_WEIGHTS_AND_PRODUCT = {"Convert", "Multiply", "Subtract", "FakeQuantize", "Transpose", "Reshape"}


def read_graph(checkpoint: Checkpoint) -> ov.Model:
    """Read the graph of a checkpoint and give it int64 inputs of any shape.

    Raises:
        PreparationError: the graph cannot be read, or its inputs or outputs are not those of a model for its task.
    """
    path = checkpoint.directory / graph_of(checkpoint.layout)
    try:
        model = shared_core().read_model(path)
        _check_ports(path, model, checkpoint.task)
        if any(port.partial_shape.is_static for port in model.inputs):
            model.reshape({port: ov.PartialShape([-1, -1]) for port in model.inputs})
        return _with_int64_inputs(model)
    except RuntimeError as error:
        problem = str(error).strip().splitlines()[-1]
        raise PreparationError(f"{path} cannot be read by OpenVINO: {problem}") from error


def _check_ports(path: Path, model: ov.Model, task: TaskName) -> None:
    inputs = {port.any_name for port in model.inputs}
    if not {"input_ids", "attention_mask"} <= inputs <= _INPUTS:
        raise PreparationError(
            f"{path} has the inputs {', '.join(sorted(inputs))}; those of a text model are {', '.join(sorted(_INPUTS))}"
        )
    outputs = {name for port in model.outputs for name in port.names}
    if task is TaskName.QUESTION_ANSWERING and not outputs >= _SPAN_OUTPUTS:
        raise PreparationError(
            f"{path} has the outputs {', '.join(sorted(outputs))}; question answering needs "
            f"{', '.join(sorted(_SPAN_OUTPUTS))}"
        )


def _with_int64_inputs(model: ov.Model) -> ov.Model:
    names = [port.any_name for port in model.inputs if port.element_type != ov.Type.i64]
    if not names:
        return model
    processor = PrePostProcessor(model)
    for name in names:
        processor.input(name).tensor().set_element_type(ov.Type.i64)
    return processor.build()


def save_graph(checkpoint: Checkpoint, model: ov.Model, target: Path) -> None:
    """Write the graph as IR, and the configuration, into ``target``.

    Raises:
        PreparationError: the graph could not be written completely.
    """
    write_graph(model, target)
    shutil.copyfile(checkpoint.directory / CONFIG_NAME, target / CONFIG_NAME)


def is_quantized(model: ov.Model) -> bool:
    """Whether the graph is quantized: its activations (FakeQuantize, into which QDQ nodes are converted) or weights."""
    return quantizes_activations(model) or any(
        node.get_type_name() == "Constant" and node.get_element_type() in _INTEGERS and len(node.shape) > 1
        for node in model.get_ops()
    )


def quantizes_activations(model: ov.Model) -> bool:
    """Whether the activations are quantized, so that matrix products are meant to run in INT8."""
    return any(node.get_type_name() == "FakeQuantize" for node in model.get_ops())


def zero_share(model: ov.Model) -> float:
    """Share of the weights of matrix products that are zero, from 0 to 1."""
    zeros = total = 0
    for node in model.get_ops():
        weights = _weights(node) if node.get_type_name() == "MatMul" else None
        if weights is not None:
            zeros += weights.size - int(np.count_nonzero(weights))
            total += weights.size
    return zeros / total if total else 0.0


def _weights(product: ov.Node) -> np.ndarray[tuple[int, ...], np.dtype[np.generic]] | None:
    """The constant behind the second input of a matrix product and what quantization inserts before it; or None."""
    node = product.input_value(1).get_node()
    while node.get_type_name() in _BETWEEN_WEIGHTS_AND_PRODUCT:
        node = node.input_value(0).get_node()
    return node.data if node.get_type_name() == "Constant" else None
