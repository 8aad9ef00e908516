"""Models that are refused by their configuration and the names of their files, before any weight is fetched."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from models.errors import PreparationError
from models.prepare.source.families import name_problem
from models.prepare.source.layout import Layout
from models.prepare.source.source import is_hub_id
from producer.contract import TaskName

__all__ = ["LAYOUTS_WITH_GRAPH", "check_is_served", "check_is_whole_model"]

#: Formats with a graph, which need no export.
LAYOUTS_WITH_GRAPH = frozenset({Layout.OPENVINO, Layout.ONNX})
#: Endings of the ids of repositories with quantized weights, whose sibling without it has the model itself.
_QUANTIZED_ENDINGS = ("-inc", "-gptq", "-awq", "-bnb-4bit", "-bnb-8bit", "-4bit", "-8bit", "-int4", "-int8", "-fp8")


def check_is_served(config: Mapping[str, Any], layout: Layout, task: TaskName, source: str) -> None:
    """Check what can be known of a model without its weights.

    Args:
        config: its ``config.json``.
        layout: its format.
        task: what it is to be served for.
        source: the hub id or directory that it was asked for by, for messages.

    Raises:
        PreparationError: its weights cannot be read, or its family is not served.
    """
    if layout is Layout.INC:
        advice = _sibling_advice(
            source, "prepare an ONNX export of it, or the FP32 model that it was made from", "ONNX "
        )
        raise PreparationError(
            f"{source} is a PyTorch checkpoint quantized by Intel Neural Compressor, a format that neither OpenVINO "
            f"nor transformers can read; {advice}"
        )
    if layout in LAYOUTS_WITH_GRAPH:
        return
    quantization = config.get("quantization_config")
    if isinstance(quantization, Mapping):
        method = quantization.get("quant_method", "an unnamed method")
        advice = _sibling_advice(source, "prepare the model that it was made from")
        raise PreparationError(
            f"{source} has weights quantized by {method} (quantization_config in config.json), which only kernels of "
            f"that method read; {advice}"
        )
    problem = name_problem(config, task)
    if problem:
        raise PreparationError(f"{source}: {problem}")


def check_is_whole_model(names: Collection[str], config: Mapping[str, Any], source: str) -> None:
    """Check that the files are a model with a head of its own.

    Args:
        names: names of all files.
        config: ``config.json``.
        source: the hub id or directory, for messages.

    Raises:
        PreparationError: the files belong to a model that makes embeddings, or whose head is kept elsewhere.
    """
    architecture = next(iter(config.get("architectures") or [""]))
    if architecture.endswith(("ForSequenceClassification", "ForQuestionAnswering")):
        return
    if "model_head.pkl" in names or "config_setfit.json" in names:
        raise PreparationError(f"{source} is a SetFit model, whose head is a pickle of scikit-learn and is not read")
    if "modules.json" in names:
        raise PreparationError(
            f"{source} is a pipeline of sentence-transformers (modules.json), which makes embeddings; there is no task "
            "for them, and only its cross-encoders are served"
        )


def _sibling_advice(source: str, otherwise: str, kind: str = "") -> str:
    ending = next((ending for ending in _QUANTIZED_ENDINGS if source.lower().endswith(ending)), "")
    if not ending or not is_hub_id(source):
        return otherwise
    sibling = source[: -len(ending)]
    return f"its {kind}sibling can be served: python -m models prepare {sibling}"
