"""How the activations of a graph file are quantized, as its text says."""

from __future__ import annotations

import mmap
import re
from enum import StrEnum
from pathlib import Path

__all__ = ["ActivationQuantization", "has_integer_weights", "quantization_of"]

#: What OpenVINO and ONNX call the quantization of activations.
_QUANTIZERS = re.compile(rb'type="FakeQuantize"|QuantizeLinear')
_INTEGER_WEIGHTS = re.compile(rb'element_type="(i8|u8|i4|u4)"')
#: The option by which a graph asks that OpenVINO quantizes activations as they come where it has no range for them.
_DYNAMIC_QUANTIZATION = re.compile(rb'<DYNAMIC_QUANTIZATION_GROUP_SIZE value="[1-9]')
#: The option by which a graph forbids that OpenVINO quantizes activations as they come.
_NO_DYNAMIC_QUANTIZATION = re.compile(rb'<DYNAMIC_QUANTIZATION_GROUP_SIZE value="0"')


class ActivationQuantization(StrEnum):
    """How the activations are quantized that matrix products read."""

    #: With ranges that the graph has.
    STATIC = "static"
    #: Some with ranges that the graph has, the others as they come.
    MIXED = "mixed"
    #: As they come: OpenVINO does so for products with integer weights, on a CPU that multiplies bytes.
    DYNAMIC = "dynamic"
    NONE = "none"


def quantization_of(path: Path) -> ActivationQuantization:
    """How a graph file, in OpenVINO's format or ONNX, quantizes activations.

    Raises:
        OSError: the file cannot be read.
        ValueError: the file is empty.
    """
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as graph:
        if _QUANTIZERS.search(graph):
            is_mixed = _DYNAMIC_QUANTIZATION.search(graph)
            return ActivationQuantization.MIXED if is_mixed else ActivationQuantization.STATIC
        is_dynamic = _INTEGER_WEIGHTS.search(graph) and not _NO_DYNAMIC_QUANTIZATION.search(graph)
        return ActivationQuantization.DYNAMIC if is_dynamic else ActivationQuantization.NONE


def has_integer_weights(path: Path) -> bool:
    """Whether a graph file in OpenVINO's format has integers for weights.

    Raises:
        OSError: the file cannot be read.
        ValueError: the file is empty.
    """
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as graph:
        return _INTEGER_WEIGHTS.search(graph) is not None
