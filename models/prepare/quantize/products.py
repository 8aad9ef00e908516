"""The matrix products of a graph that are quantized, in groups that must be scaled together."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import openvino as ov

__all__ = ["Port", "ProductGroup", "attention_inputs", "product_groups", "source_of", "weights_of"]

#: Products with fewer results, such as the last one of a head, cost next to nothing in floating point.
_FEWEST_RESULTS = 16
#: OpenVINO quantizes activations as they come in groups of this many values or a multiple of it.
_WIDTH_MULTIPLE = 16
_MATRIX_AXES = 2
#: Operations that only arrange the values of attention's inputs.
_ARRANGING = frozenset({"Reshape", "Transpose"})
#: Queries and keys, whose products OpenVINO computes in INT8 (with VNNI). It has no such kernel for the values.
_INT8_INPUTS_OF_ATTENTION = (0, 1)


@dataclass(frozen=True, order=True)
class Port:
    """An output of a node, by the names that stay when a graph is written and read."""

    node: str
    index: int


@dataclass(frozen=True)
class ProductGroup:
    """Products that share inputs or weights, so that one scale per channel must suit them all.

    Attributes:
        inputs: what they read; each has shape (..., width).
        products: names of the products.
        constants: names of their weights, one for each product; some models use the same weights in many layers.
        width: number of input channels.
    """

    inputs: tuple[Port, ...]
    products: tuple[str, ...]
    constants: tuple[str, ...]
    width: int


def product_groups(model: ov.Model) -> list[ProductGroup]:
    """All products with constant weights, in the order of the graph. Most groups have one input."""
    groups: list[tuple[set[Port], set[str], list[ov.Node]]] = []
    for product in _quantizable(model):
        inputs = {source_of(product.input_value(0))}
        weights, products = {_constant_of(product).get_friendly_name()}, [product]
        apart = []
        for group in groups:
            if group[0] & inputs or group[1] & weights:
                inputs, weights, products = inputs | group[0], weights | group[1], group[2] + products
            else:
                apart.append(group)
        groups = [*apart, (inputs, weights, products)]
    return [
        ProductGroup(
            tuple(sorted(inputs)),
            tuple(product.get_friendly_name() for product in products),
            tuple(_constant_of(product).get_friendly_name() for product in products),
            weights_of(products[0]).shape[1],
        )
        for inputs, _, products in groups
    ]


def weights_of(product: ov.Node) -> npt.NDArray[np.float32]:
    """The weights of a product, of shape (results, width)."""
    weights: npt.NDArray[np.float32] = np.asarray(_constant_of(product).data, dtype=np.float32)
    return weights if product.get_attributes()["transpose_b"] else weights.T


def source_of(output: ov.Output) -> Port:
    """The port of an output."""
    return Port(output.get_node().get_friendly_name(), output.get_index())


def attention_inputs(model: ov.Model) -> list[Port]:
    """Queries and keys of all attention operations, before they are arranged by head."""
    ports: dict[Port, None] = {}
    for node in model.get_ordered_ops():
        if node.get_type_name() == "ScaledDotProductAttention":
            for index in _INT8_INPUTS_OF_ATTENTION:
                output = node.input_value(index)
                while output.get_node().get_type_name() in _ARRANGING:
                    output = output.get_node().input_value(0)
                ports[source_of(output)] = None
    return list(ports)


def _quantizable(model: ov.Model) -> Iterator[ov.Node]:
    for node in model.get_ordered_ops():
        if node.get_type_name() != "MatMul" or node.get_attributes()["transpose_a"]:
            continue
        constant = _constant_of(node)
        if constant.get_type_name() == "Constant" and len(constant.get_output_shape(0)) == _MATRIX_AXES:
            results, width = weights_of(node).shape
            if results >= _FEWEST_RESULTS and width % _WIDTH_MULTIPLE == 0:
                yield node


def _constant_of(product: ov.Node) -> ov.Node:
    node = product.input_value(1).get_node()
    return node.input_value(0).get_node() if node.get_type_name() == "Convert" else node
