"""What a graph file says of the quantization of its activations."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import openvino as ov
import pytest
from openvino import opset13

from models.store.graph_quantization import ActivationQuantization, has_integer_weights, quantization_of

STATIC, MIXED = ActivationQuantization.STATIC, ActivationQuantization.MIXED
DYNAMIC, NONE = ActivationQuantization.DYNAMIC, ActivationQuantization.NONE


def write(directory: Path, *, integers: bool = False, quantizer: bool = False, group_values: int | None = None) -> Path:
    """One product as a graph file."""
    tokens = opset13.parameter([-1, 32], ov.Type.f32)
    weights = opset13.constant(np.ones((16, 32), np.uint8 if integers else np.float32))
    numbers = opset13.multiply(opset13.convert(weights, ov.Type.f32), opset13.constant(np.ones((16, 1), np.float32)))
    low, high = (opset13.constant(np.float32(end)) for end in (-1, 1))
    read = opset13.fake_quantize(tokens, low, high, low, high, 256) if quantizer else tokens
    model = ov.Model([opset13.matmul(read, numbers if integers else weights, False, True)], [tokens])
    if group_values is not None:
        model.set_rt_info(group_values, ["runtime_options", "DYNAMIC_QUANTIZATION_GROUP_SIZE"])
    ov.save_model(model, directory / "graph.xml", compress_to_fp16=False)
    return directory / "graph.xml"


@pytest.mark.parametrize(
    ("integers", "quantizer", "group_values", "expected"),
    [
        (False, False, None, NONE),
        (True, False, None, DYNAMIC),
        (True, False, 384, DYNAMIC),
        (True, False, 0, NONE),
        (True, True, 0, STATIC),
        (True, True, 384, MIXED),
    ],
)
def test_quantizers_integer_weights_and_the_group_decide(
    tmp_path: Path, integers: bool, quantizer: bool, group_values: int | None, expected: ActivationQuantization
) -> None:
    path = write(tmp_path, integers=integers, quantizer=quantizer, group_values=group_values)
    assert quantization_of(path) is expected
    assert has_integer_weights(path) == integers


def test_a_file_that_is_missing_or_empty_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "empty.xml").touch()
    with pytest.raises(ValueError, match="empty"):
        quantization_of(tmp_path / "empty.xml")
    with pytest.raises(OSError, match="No such file"):
        quantization_of(tmp_path / "missing.xml")
