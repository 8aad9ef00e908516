"""A quantized graph without the quantization of its activations.

What remains are the INT8 weights, in front of each the multiplication that makes floating-point numbers of them, and
SmoothQuant's multiplications, which cancel out. OpenVINO computes the products of such a graph in floating point. No
second file is needed, and the answers are closer to those of the model before quantization.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import openvino as ov
from openvino import opset13

from models.engine.arithmetic import Arithmetic

__all__ = ["VERSION", "dequantize"]

#: To be raised with every change here that changes the graph, since compiled graphs are kept on disk.
VERSION = 1

_QUANTIZER = "FakeQuantize"
_PRODUCT = "MatMul"
_INTEGERS = frozenset({ov.Type.u8, ov.Type.i8, ov.Type.u16, ov.Type.i16})
#: Operations without negative results.
_NON_NEGATIVE = frozenset({"Relu", "Softmax", "Sigmoid", "Abs", "Sqrt"})
_MATRIX_AXES = 2
_Array = npt.NDArray[np.float32]


def dequantize(model: ov.Model, arithmetic: Arithmetic) -> None:
    """Remove the quantization of activations from a graph, that of attention's included.

    Both forms are known: FakeQuantize alone, as our quantizer and nncf write it, and with the conversions to integers
    and back that the ONNX frontend makes of QuantizeLinear and DequantizeLinear. A FakeQuantize that also changes the
    scale stays.

    Args:
        model: the graph, which is changed.
        arithmetic: in which the products will be computed, F32 or BF16.
    """
    _Dequantization(model, arithmetic).run()


class _Dequantization:
    def __init__(self, model: ov.Model, arithmetic: Arithmetic) -> None:
        self._model = model
        self._arithmetic = arithmetic
        #: Names of the nodes that do not depend on the inputs of the model.
        self._constant: set[str] = set()
        for node in model.get_ordered_ops():
            is_source = not node.get_input_size()
            if node.get_type_name() == "Constant" or (not is_source and self._has_constant_inputs(node)):
                self._constant.add(node.get_name())

    def run(self) -> None:
        nodes = self._model.get_ordered_ops()
        for quantizer in (node for node in nodes if node.get_type_name() == _QUANTIZER):
            if self._is_constant(quantizer.input_value(0)):
                quantizer.output(0).replace(_folded(quantizer.output(0)))
            else:
                self._bypass(quantizer)
        for product in (node for node in nodes if node.get_type_name() == _PRODUCT):
            if self._is_faster_unpacked(product):
                product.input(1).replace_source_output(_folded(product.input_value(1)))
        self._model.validate_nodes_and_infer_types()

    def _bypass(self, quantizer: ov.Node) -> None:
        """Connect what reads the dequantized values to the values before quantization."""
        lows, highs, out_lows, out_highs = (_evaluate(quantizer.input_value(index)) for index in range(1, 5))
        # Rounding moves a value by half a step at most, so a range that moves no further is the same range.
        tolerance = (highs - lows) / (quantizer.get_attributes()["levels"] - 1) / 2
        for end, zero_point, scale in self._ends(quantizer.output(0)):
            moved = (out_lows - zero_point) * scale - lows, (out_highs - zero_point) * scale - highs
            if all(np.all(np.abs(by) <= tolerance) for by in moved):
                end.replace(_source_of(quantizer, removes_negative=bool(np.all(lows >= -tolerance))))

    def _ends(self, quantized: ov.Output) -> Iterator[tuple[ov.Output, _Array, _Array]]:
        """Where the values of a quantizer are floating-point numbers again, with the zero point and scale until there.

        That is its own output, unless this is converted to an integer type.
        """
        converted = [node for node in self._readers(quantized, "Convert") if node.get_element_type() in _INTEGERS]
        if not converted:
            yield quantized, np.zeros(1, np.float32), np.ones(1, np.float32)
        for integers in converted:
            for numbers in self._readers(integers.output(0), "Convert"):
                yield from self._scaled(numbers, np.zeros(1, np.float32))
                for shifted in self._readers(numbers.output(0), "Subtract"):
                    yield from self._scaled(shifted, _evaluate(shifted.input_value(1)))

    def _scaled(self, node: ov.Node, zero_point: _Array) -> Iterator[tuple[ov.Output, _Array, _Array]]:
        for product in self._readers(node.output(0), "Multiply"):
            yield product.output(0), zero_point, _evaluate(product.input_value(1))

    def _readers(self, output: ov.Output, kind: str) -> list[ov.Node]:
        """The nodes of a type whose first input is this output and whose other inputs are constant."""
        nodes = [port.get_node() for port in output.get_target_inputs() if port.get_index() == 0]
        return [
            node
            for node in nodes
            if node.get_type_name() == kind and all(map(self._is_constant, node.input_values()[1:]))
        ]

    def _is_faster_unpacked(self, product: ov.Node) -> bool:
        """Whether to store the weights of a product as floating-point numbers.

        OpenVINO (2026.4.1) needs more time for a product with INT8 weights. In f32 the difference is large only where
        the sums are longer than the result, as in the second half of a feed-forward layer: unpacking these weights
        alone makes a graph as fast as the FP32 export (``python -m benchmarks.arithmetic``). In bf16 all weights
        together take less memory than that.
        """
        weights = product.input_value(1)
        is_packed = self._is_constant(weights) and weights.get_node().get_type_name() != "Constant"
        if not is_packed or len(weights.get_shape()) != _MATRIX_AXES:
            return False
        rows, columns = weights.get_shape()
        is_reducing = columns > rows if product.get_attributes()["transpose_b"] else rows > columns
        return is_reducing or self._arithmetic is Arithmetic.BF16

    def _has_constant_inputs(self, node: ov.Node) -> bool:
        return all(map(self._is_constant, node.input_values()))

    def _is_constant(self, output: ov.Output) -> bool:
        return output.get_node().get_name() in self._constant


def _source_of(quantizer: ov.Node, *, removes_negative: bool) -> ov.Output:
    """The quantizer's input, without its negative values if the quantizer removes them.

    ONNX Runtime leaves out a Relu whose result it quantizes with zero as the lowest value, since quantization does the
    same.
    """
    source = quantizer.input_value(0)
    if not removes_negative or source.get_node().get_type_name() in _NON_NEGATIVE:
        return source
    return opset13.relu(source).output(0)


def _folded(output: ov.Output) -> ov.Output:
    return opset13.constant(_evaluate(output)).output(0)


def _evaluate(output: ov.Output) -> _Array:
    """The value of an output that does not depend on the inputs of the model."""
    if output.get_element_type() != ov.Type.f32:
        output = opset13.convert(output, ov.Type.f32).output(0)
    value = ov.Tensor(ov.Type.f32, ov.Shape(list(output.get_shape())))
    ov.Model([output], []).evaluate([value], [])
    return np.array(value.data)
