"""Puts quantized weights and the quantization of activations into a graph."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import openvino as ov
from openvino import opset13

from models.prepare.quantize.integer_weights import Floats, IntegerWeights, round_to_nearest
from models.prepare.quantize.products import Port, ProductGroup
from models.prepare.quantize.scaling import Scaling, ValueRange

__all__ = ["QuantizedGraph"]

_LEVELS = 256
#: Symmetric i8: one value more below zero than above.
_LOWEST, _HIGHEST = -128, 127
#: Smaller tables of embeddings stay as they are.
_SMALLEST_TABLE = 1 << 16
_MATRIX_AXES = 2


class QuantizedGraph:
    """A graph that is being quantized.

    Args:
        model: the FP32 graph, which is changed.
    """

    def __init__(self, model: ov.Model) -> None:
        self._model = model
        self._nodes = {node.get_friendly_name(): node for node in model.get_ops()}

    def quantize_group(self, group: ProductGroup, scaling: Scaling, weights: Sequence[IntegerWeights]) -> None:
        """Quantize a group's products.

        Args:
            group: the group.
            scaling: its scaling. If this has a range, the inputs are quantized to it.
            weights: of each product, already multiplied by the scaling.
        """
        readers = {port: self._readers(port, group) for port in group.inputs}
        for port, ends in readers.items():
            values = self._scaled(port, scaling.divisors)
            if scaling.range is not None:
                values = _quantizer(values, scaling.range)
            for end in ends:
                end.replace_source_output(values)
        made: dict[int, ov.Output] = {}
        for name, integers in zip(group.products, weights, strict=True):
            product = self._nodes[name]
            is_transposed = bool(product.get_attributes()["transpose_b"])
            if id(integers) not in made:
                made[id(integers)] = _dequantized(integers, is_transposed=is_transposed)
            product.input(1).replace_source_output(made[id(integers)])

    def quantize_output(self, port: Port, largest: float) -> None:
        """Quantize an output to symmetric i8, as OpenVINO needs it for attention.

        Args:
            port: the output.
            largest: its largest absolute value.
        """
        output = self._nodes[port.node].output(port.index)
        readers = list(output.get_target_inputs())
        step = (largest or 1.0) / _HIGHEST
        quantized = _quantizer(output, ValueRange(_LOWEST * step, _HIGHEST * step))
        for reader in readers:
            reader.replace_source_output(quantized)

    def quantize_embeddings(self) -> None:
        """Store large tables of embeddings as 8-bit integers, one step for each row."""
        for node in self._model.get_ordered_ops():
            if node.get_type_name() != "Gather":
                continue
            constant = node.input_value(0).get_node()
            if constant.get_type_name() == "Convert":
                constant = constant.input_value(0).get_node()
            if constant.get_type_name() == "Constant" and constant.get_element_type().is_real():
                table = np.asarray(constant.data, dtype=np.float32)
                if table.ndim == _MATRIX_AXES and table.size >= _SMALLEST_TABLE:
                    integers = round_to_nearest(table, is_symmetric=False)
                    node.input(0).replace_source_output(_dequantized(integers, is_transposed=True))

    def finish(self, group_values: int) -> ov.Model:
        """The quantized graph.

        Args:
            group_values: values of a token that share a step where activations are quantized as they come; 0 for none.
        """
        self._model.set_rt_info(group_values, ["runtime_options", "DYNAMIC_QUANTIZATION_GROUP_SIZE"])
        self._model.validate_nodes_and_infer_types()
        return self._model

    def _readers(self, port: Port, group: ProductGroup) -> list[ov.Input]:
        source = self._nodes[port.node].output(port.index)
        products = set(group.products)
        return [
            end
            for end in source.get_target_inputs()
            if end.get_node().get_friendly_name() in products and not end.get_index()
        ]

    def _scaled(self, port: Port, divisors: Floats | None) -> ov.Output:
        source: ov.Output = self._nodes[port.node].output(port.index)
        if divisors is None:
            return source
        axes = source.get_partial_shape().rank.get_length()
        factors = (1 / divisors).reshape((1,) * (axes - 1) + (-1,))
        scaled: ov.Output = opset13.multiply(source, opset13.constant(factors)).output(0)
        return scaled


def _quantizer(values: ov.Output, limits: ValueRange) -> ov.Output:
    axes = values.get_partial_shape().rank.get_length()
    low, high = (opset13.constant(np.full((1,) * axes, end, np.float32)) for end in (limits.low, limits.high))
    quantized: ov.Output = opset13.fake_quantize(values, low, high, low, high, _LEVELS).output(0)
    return quantized


def _dequantized(integers: IntegerWeights, *, is_transposed: bool) -> ov.Output:
    """Weights in integers with what makes floating-point numbers of them, as OpenVINO recognizes it."""

    def laid_out(values: npt.NDArray[np.generic]) -> npt.NDArray[np.generic]:
        return np.ascontiguousarray(values if is_transposed else values.T)

    numbers = opset13.convert(opset13.constant(laid_out(integers.levels)), ov.Type.f32)
    if integers.zero_points is not None:
        shift = opset13.convert(opset13.constant(laid_out(integers.zero_points)), ov.Type.f32)
        numbers = opset13.subtract(numbers, shift)
    values: ov.Output = opset13.multiply(numbers, opset13.constant(laid_out(integers.steps))).output(0)
    return values
