"""The precision in which the operations of a compiled graph run, as OpenVINO reports it."""

from __future__ import annotations

from collections import Counter, defaultdict
from pathlib import Path

import openvino as ov

from models.engine.arithmetic import int8_properties
from models.engine.openvino_core import shared_core
from models.errors import PreparationError

__all__ = ["count_operations", "int8_share"]

#: OpenVINO's layer types that move or hold data, or handle shapes.
_NO_COMPUTATION = frozenset(
    {"Input", "Output", "Const", "Reorder", "Reshape", "Transpose", "Convert", "ShapeOf", "Broadcast", "Concatenation"}
    | {"StridedSlice", "Split", "MemoryInput", "MemoryOutput"}
)
#: Attention is two matrix products in one node of the graph.
_PRODUCT_NODES = frozenset({"MatMul", "ScaledDotProductAttention"})
_PRODUCTS = ("FullyConnected", "MatMul", "MatMul in Subgraph", "ScaledDotProductAttention")
_INT8 = frozenset({"i8", "u8"})
_INTEGER_TYPES = frozenset({ov.Type.i8, ov.Type.u8})

#: How many operations run in each precision, by OpenVINO's layer type.
Operations = dict[str, dict[str, int]]


def count_operations(path: Path) -> Operations:
    """Compile a graph and count its operations.

    Returns:
        How many operations run in each precision, by OpenVINO's layer type. Matrix products of attention that are fused
        with the operations around them are counted as ``MatMul in Subgraph``.

    Raises:
        PreparationError: OpenVINO cannot compile the graph.
    """
    core = shared_core()
    try:
        model = core.read_model(path)
        products = {node.friendly_name for node in model.get_ops() if node.get_type_name() in _PRODUCT_NODES}
        compiled = core.compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32", **int8_properties()})
        group_values = int(compiled.get_property("DYNAMIC_QUANTIZATION_GROUP_SIZE"))
        runtime = compiled.get_runtime_model()
    except RuntimeError as error:
        raise PreparationError(f"{path} cannot be compiled: {str(error).strip().splitlines()[-1]}") from error
    is_dynamic = group_values > 0
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    for node in runtime.get_ops():
        facts = {name: value.astype(str) for name, value in node.get_rt_info().items()}
        kind = facts["layerType"]
        if kind == "Subgraph" and products & set(facts["originalLayersNames"].split(",")):
            kind = "MatMul in Subgraph"
        if kind not in _NO_COMPUTATION:
            counts[kind][_precision(node, facts, is_dynamic=is_dynamic)] += 1
    return {kind: dict(sorted(counts[kind].items())) for kind in sorted(counts)}


def _precision(node: ov.Node, facts: dict[str, str], *, is_dynamic: bool) -> str:
    """The reported precision. For integer weights OpenVINO reports their type, not that of the product.

    Args:
        node: of the compiled graph.
        facts: what OpenVINO reports about it.
        is_dynamic: whether activations are quantized as they come where the weights are integers.
    """
    if facts["layerType"] == "FullyConnected" and node.get_input_element_type(0) == ov.Type.f32:
        return "i8" if is_dynamic and node.get_input_element_type(1) in _INTEGER_TYPES else "f32"
    return facts["runtimePrecision"]


def int8_share(operations: Operations) -> float:
    """Share of the matrix products that run in INT8, from 0 to 1."""
    products = Counter[str]()
    for kind in _PRODUCTS:
        products.update(operations.get(kind, {}))
    return sum(products[name] for name in _INT8) / (products.total() or 1)
