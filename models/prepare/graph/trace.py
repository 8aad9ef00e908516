"""From a torch model to a graph by OpenVINO's own tracing, for families that optimum-intel does not know."""

from __future__ import annotations

import inspect
from typing import Any

import openvino as ov
import torch

from producer.contract import TaskName

__all__ = ["trace"]

_SPANS = ("start_logits", "end_logits")
_TYPES = "token_type_ids"
#: What the model is traced with: two rows, the second of which is padded.
_ROWS, _TOKENS, _PADDING = 2, 16, 4


class _Head(torch.nn.Module):
    """A model as a function of its inputs by position, with its logits alone as outputs.

    Args:
        model: a model of ``transformers``.
        names: its inputs.
        outputs: the names of its logits.
    """

    def __init__(self, model: torch.nn.Module, names: tuple[str, ...], outputs: tuple[str, ...]) -> None:
        super().__init__()
        self._model, self._names, self._outputs = model, names, outputs

    def forward(self, *inputs: torch.Tensor) -> tuple[torch.Tensor, ...]:
        output = self._model(**dict(zip(self._names, inputs, strict=True)), return_dict=True)
        return tuple(output[name] for name in self._outputs)


def trace(model: Any, task: TaskName) -> ov.Model:
    """Trace a model.

    Args:
        model: a model of ``transformers`` with FP32 weights and the head of its task.
        task: what it is made for.

    Returns:
        A graph with int64 inputs ``input_ids``, ``attention_mask`` and, if the model reads them, ``token_type_ids``, of
        any shape (rows, tokens), and with the outputs of the same head that optimum-intel exports.

    Raises:
        RuntimeError: torch cannot trace it, or OpenVINO does not know one of its operations.
    """
    # ModernBERT would compile itself otherwise, which cannot be traced.
    model.config.reference_compile = False
    example = _example(model)
    outputs = _SPANS if task is TaskName.QUESTION_ANSWERING else ("logits",)
    head = _Head(model.eval(), tuple(example), outputs)
    with torch.no_grad():
        graph = ov.convert_model(head, example_input=tuple(example.values()))
    for ports, names in ((graph.inputs, tuple(example)), (graph.outputs, outputs)):
        for port, name in zip(ports, names, strict=True):
            port.get_tensor().set_names({name})
    for port in graph.inputs:
        port.get_node().set_partial_shape(ov.PartialShape([-1, -1]))
        port.get_node().set_element_type(ov.Type.i64)
    graph.validate_nodes_and_infer_types()
    return graph


def _example(model: Any) -> dict[str, torch.Tensor]:
    """Two different rows, so that no part of the model is traced for a special case."""
    generator = torch.Generator().manual_seed(0)
    ids = torch.randint(model.config.vocab_size, (_ROWS, _TOKENS), generator=generator)
    mask = torch.ones_like(ids)
    padding = slice(_TOKENS - _PADDING, None)
    ids[-1, padding] = model.config.pad_token_id or 0
    mask[-1, padding] = 0
    example = {"input_ids": ids, "attention_mask": mask}
    if _TYPES in inspect.signature(model.forward).parameters:
        example[_TYPES] = torch.zeros_like(ids)
    return example
