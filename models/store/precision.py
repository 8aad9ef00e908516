"""The precision of a prepared model, as its graph file shows it."""

from __future__ import annotations

import mmap
from enum import StrEnum
from pathlib import Path

from models.store.contents import GRAPH_SUFFIXES
from models.store.lookup import StoredModel

__all__ = ["Precision", "precision_of"]

_QUANTIZED_ACTIVATIONS = (b'type="FakeQuantize"', b"QuantizeLinear")
_QUANTIZED_WEIGHTS = (b'element_type="i8"', b'element_type="u8"', b'element_type="i4"', b'element_type="u4"')


class Precision(StrEnum):
    """What is quantized in the matrix products: both factors, the weights alone, or neither."""

    INT8 = "INT8"
    INT8_WEIGHTS = "INT8 weights"
    FP32 = "FP32"


def precision_of(model: StoredModel) -> Precision | None:
    """The precision of a model; None if its graph file cannot be read."""
    graphs = [name for name in model.manifest.files if Path(name).suffix in GRAPH_SUFFIXES]
    try:
        with (
            (model.directory / graphs[0]).open("rb") as file,
            mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as graph,
        ):
            if any(graph.find(mark) >= 0 for mark in _QUANTIZED_ACTIVATIONS):
                return Precision.INT8
            if any(graph.find(mark) >= 0 for mark in _QUANTIZED_WEIGHTS):
                return Precision.INT8_WEIGHTS
            return Precision.FP32
    except (OSError, ValueError, IndexError):
        return None
