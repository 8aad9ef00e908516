"""The precision of a prepared model, as its graph file shows it."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path

from models.store.contents import GRAPH_SUFFIXES
from models.store.graph_quantization import ActivationQuantization, has_integer_weights, quantization_of
from models.store.lookup import StoredModel

__all__ = ["Precision", "precision_of"]


class Precision(StrEnum):
    """What is quantized in the matrix products: both factors, the weights alone, or neither."""

    INT8 = "INT8"
    INT8_WEIGHTS = "INT8 weights"
    FP32 = "FP32"


def precision_of(model: StoredModel) -> Precision | None:
    """The precision of a model; None if its graph file cannot be read."""
    graphs = [model.directory / name for name in model.manifest.files if Path(name).suffix in GRAPH_SUFFIXES]
    try:
        if quantization_of(graphs[0]) is not ActivationQuantization.NONE:
            return Precision.INT8
        return Precision.INT8_WEIGHTS if has_integer_weights(graphs[0]) else Precision.FP32
    except (OSError, ValueError, IndexError):
        return None
