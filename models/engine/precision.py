"""Which arithmetic a prepared model was made for, as its graph shows."""

from __future__ import annotations

import mmap
from enum import StrEnum
from pathlib import Path

from models.store import StoredModel

__all__ = ["Precision", "precision_of"]

_ACTIVATIONS = (b'type="FakeQuantize"', b"QuantizeLinear")
_WEIGHTS = (b'element_type="i8"', b'element_type="u8"', b'element_type="i4"', b'element_type="u4"')


class Precision(StrEnum):
    """Of the matrix products: of both factors, of the weights alone, or of none."""

    INT8 = "INT8"
    INT8_WEIGHTS = "INT8 weights"
    FP32 = "FP32"


def precision_of(model: StoredModel) -> Precision | None:
    """What the graph file shows; None where it cannot be read."""
    graphs = [name for name in model.manifest.files if Path(name).suffix in {".xml", ".onnx"}]
    try:
        with (
            (model.directory / graphs[0]).open("rb") as file,
            mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as graph,
        ):
            if any(graph.find(mark) >= 0 for mark in _ACTIVATIONS):
                return Precision.INT8
            return Precision.INT8_WEIGHTS if any(graph.find(mark) >= 0 for mark in _WEIGHTS) else Precision.FP32
    except (OSError, ValueError, IndexError):
        return None
