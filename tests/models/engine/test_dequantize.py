"""The quantization of activations is removed from graphs of both forms, and nothing else is."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import openvino as ov
import pytest
from openvino import opset13 as op

from models.engine.arithmetic import Arithmetic, has_int8_products
from models.engine.dequantize import dequantize
from models.engine.openvino_core import shared_core

Array = npt.NDArray[np.float32]
LEVELS = 256
#: From the values before quantization to those after it.
Quantize = Callable[[ov.Output], ov.Output]
ROWS, INPUTS, OUTPUTS = 3, 8, 4
VALUES: Array = np.linspace(-3.0, 3.0, ROWS * INPUTS, dtype=np.float32).reshape(ROWS, INPUTS)
WEIGHTS = (np.arange(OUTPUTS * INPUTS).reshape(OUTPUTS, INPUTS) * 7 % 200 - 100).astype(np.int8)
SCALES: Array = np.full((OUTPUTS, 1), 0.01, np.float32)


def as_nncf_writes_it(low: float, high: float) -> Quantize:
    def quantize(values: ov.Output) -> ov.Output:
        bounds = [op.constant(np.float32(bound)) for bound in (low, high, low, high)]
        return op.fake_quantize(values, *bounds, LEVELS).output(0)

    return quantize


def as_onnx_has_it(low: float, high: float, *, shifts: bool = True) -> Quantize:
    """As the ONNX frontend makes it of QuantizeLinear and DequantizeLinear."""
    scale = (high - low) / (LEVELS - 1)
    zero_point = round(-low / scale)

    def quantize(values: ov.Output) -> ov.Output:
        bounds = [(0 - zero_point) * scale, (LEVELS - 1 - zero_point) * scale, 0.0, LEVELS - 1.0]
        quantized = op.fake_quantize(values, *[op.constant(np.float32(bound)) for bound in bounds], LEVELS)
        numbers = op.convert(op.convert(quantized, ov.Type.u8), ov.Type.f32)
        if shifts:
            numbers = op.subtract(numbers, op.convert(op.constant(np.uint8(zero_point)), ov.Type.f32))
        return op.multiply(numbers, op.constant(np.float32(scale))).output(0)

    return quantize


def not_at_all(values: ov.Output) -> ov.Output:
    return values


def packed_weights(weights: npt.NDArray[np.int8] = WEIGHTS) -> ov.Node:
    """INT8 weights as nncf writes them."""
    return op.multiply(op.convert(op.constant(weights), ov.Type.f32), op.constant(np.float32(SCALES[0, 0])))


def layer(quantize: Quantize, weights: ov.Node, *, is_transposed: bool = True) -> ov.Model:
    """One linear layer whose input and output are quantized."""
    parameter = op.parameter([-1, INPUTS], ov.Type.f32, name="values")
    product = op.matmul(quantize(parameter.output(0)), weights, False, is_transposed)
    result = quantize(op.multiply(product, op.constant(np.float32(0.1))).output(0))
    result.get_tensor().set_names({"logits"})
    return ov.Model([result], [parameter], "layer")


def kinds(model: ov.Model) -> Counter[str]:
    return Counter(node.get_type_name() for node in model.get_ops())


def compute(model: ov.Model, values: Array = VALUES) -> Array:
    compiled = shared_core().compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    return np.array(compiled({0: values})[0])


@pytest.mark.parametrize(
    "quantize",
    [as_nncf_writes_it(-3.0, 3.0), as_onnx_has_it(-3.0, 3.0)],
    ids=["FakeQuantize", "QuantizeLinear and DequantizeLinear"],
)
@pytest.mark.parametrize("arithmetic", [Arithmetic.F32, Arithmetic.BF16])
def test_a_graph_without_its_quantizers_is_the_graph_before_quantization(
    quantize: Quantize, arithmetic: Arithmetic
) -> None:
    model = layer(quantize, packed_weights())
    quantized = compute(model)
    dequantize(model, arithmetic)
    assert kinds(model)["FakeQuantize"] == 0
    assert model.output(0).get_names() == {"logits"}
    expected = compute(layer(not_at_all, packed_weights()))
    np.testing.assert_allclose(compute(model), expected, rtol=1e-5)
    step = 6.0 / (LEVELS - 1)
    difference = np.abs(quantized - expected).max()
    assert difference > 0
    if has_int8_products():
        # Elsewhere sums of products of bytes saturate.
        assert difference < step * np.abs(WEIGHTS * SCALES).sum(axis=1).max()


def test_both_inputs_of_a_product_without_weights_are_dequantized() -> None:
    quantize = as_nncf_writes_it(-3.0, 3.0)
    parameter = op.parameter([-1, INPUTS], ov.Type.f32)
    quantized = quantize(parameter.output(0))
    model = ov.Model([op.matmul(quantized, quantized, False, True).output(0)], [parameter], "attention")
    dequantize(model, Arithmetic.F32)
    assert kinds(model)["FakeQuantize"] == 0
    np.testing.assert_allclose(compute(model), VALUES @ VALUES.T, rtol=1e-5)


def test_what_is_quantized_in_one_way_and_read_in_two_is_dequantized_for_both() -> None:
    parameter = op.parameter([-1, INPUTS], ov.Type.f32)
    bounds = [op.constant(np.float32(bound)) for bound in (-3.0, 3.0, 0.0, 255.0)]
    integers = op.convert(op.fake_quantize(parameter, *bounds, LEVELS), ov.Type.u8)
    scale, zero_point = op.constant(np.float32(6 / 255)), op.constant(np.float32(127.5))
    readers = [op.multiply(op.subtract(op.convert(integers, ov.Type.f32), zero_point), scale) for _ in range(2)]
    model = ov.Model([op.matmul(readers[0], readers[1], False, True).output(0)], [parameter], "two readers")
    dequantize(model, Arithmetic.F32)
    assert kinds(model)["FakeQuantize"] == 0
    np.testing.assert_allclose(compute(model), VALUES @ VALUES.T, rtol=1e-5)


@pytest.mark.parametrize("quantize", [as_nncf_writes_it(0.0, 3.0), as_onnx_has_it(0.0, 3.0, shifts=False)])
def test_a_relu_that_quantization_stood_in_for_is_put_back(quantize: Quantize) -> None:
    parameter = op.parameter([-1, INPUTS], ov.Type.f32)
    model = ov.Model(
        [op.multiply(quantize(parameter.output(0)), op.constant(np.float32(2))).output(0)], [parameter], ""
    )
    dequantize(model, Arithmetic.F32)
    assert kinds(model)["FakeQuantize"] == 0
    np.testing.assert_allclose(compute(model), np.maximum(VALUES, 0) * 2, rtol=1e-6)


def test_what_has_no_negative_values_gets_no_relu() -> None:
    parameter = op.parameter([-1, INPUTS], ov.Type.f32)
    quantized = as_nncf_writes_it(0.0, 1.0)(op.softmax(parameter, 1).output(0))
    model = ov.Model([op.matmul(quantized, packed_weights(), False, True).output(0)], [parameter], "attention")
    dequantize(model, Arithmetic.F32)
    assert kinds(model)["Relu"] == kinds(model)["FakeQuantize"] == 0


def test_a_quantizer_that_changes_the_scale_stays() -> None:
    parameter = op.parameter([-1, INPUTS], ov.Type.f32)
    bounds = [op.constant(np.float32(bound)) for bound in (-3.0, 3.0, -6.0, 6.0)]
    model = ov.Model([op.fake_quantize(parameter, *bounds, LEVELS).output(0)], [parameter], "")
    before = compute(model)
    dequantize(model, Arithmetic.F32)
    assert kinds(model)["FakeQuantize"] == 1
    np.testing.assert_array_equal(compute(model), before)


def test_quantized_weights_keep_their_quantization() -> None:
    weights: Array = (WEIGHTS * SCALES).astype(np.float32) + 0.003
    bounds = [op.constant(np.float32(bound)) for bound in (-1.0, 1.0, -1.0, 1.0)]
    model = layer(as_nncf_writes_it(-3.0, 3.0), op.fake_quantize(op.constant(weights), *bounds, 16))
    dequantize(model, Arithmetic.F32)
    assert kinds(model)["FakeQuantize"] == 0
    rounded = np.round((weights + 1) / 2 * 15) / 15 * 2 - 1
    np.testing.assert_allclose(compute(model), VALUES @ rounded.T * 0.1, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("shape", "is_transposed", "arithmetic", "is_unpacked"),
    [
        # Weights of shape (outputs, inputs), and the other way round.
        ((OUTPUTS, INPUTS), True, Arithmetic.F32, True),
        ((INPUTS, OUTPUTS), False, Arithmetic.F32, True),
        ((INPUTS, INPUTS), True, Arithmetic.F32, False),
        ((2 * INPUTS, INPUTS), True, Arithmetic.F32, False),
        ((INPUTS, 2 * INPUTS), False, Arithmetic.F32, False),
        ((2 * INPUTS, INPUTS), True, Arithmetic.BF16, True),
    ],
)
def test_only_the_weights_of_layers_that_reduce_are_unpacked_for_f32_and_all_for_bf16(
    shape: tuple[int, int], is_transposed: bool, arithmetic: Arithmetic, is_unpacked: bool
) -> None:
    weights = np.resize(WEIGHTS, shape)
    model = layer(as_nncf_writes_it(-3.0, 3.0), packed_weights(weights), is_transposed=is_transposed)
    dequantize(model, arithmetic)
    assert kinds(model)["Convert"] == (0 if is_unpacked else 1)
    matrix = weights.T if is_transposed else weights
    np.testing.assert_allclose(compute(model), VALUES @ (matrix * SCALES[0, 0]) * 0.1, rtol=1e-4, atol=1e-5)
