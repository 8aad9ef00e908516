"""Which matrix products of a compiled graph run in which type; as a program, for a CPU limited by its environment."""

from __future__ import annotations

import json
import sys
from collections import Counter
from pathlib import Path

import openvino as ov

from models.engine.arithmetic import wanted_arithmetic
from models.engine.compilation import Compilation, ModelFile, compile_for_this_cpu
from models.engine.openvino_core import shared_core
from tests.models.options import engine_options

__all__ = ["ATTENTION", "LINEAR", "QUANTIZERS", "REVISION", "products_of"]

LINEAR, ATTENTION, QUANTIZERS = "linear", "attention", "quantizers"
#: The revision that the program gives the model.
REVISION = "a"
_PRODUCTS = frozenset({"MatMul", "ScaledDotProductAttention"})
_NAMES = {ov.Type.u8: "int8", ov.Type.i8: "int8", ov.Type.f32: "f32", ov.Type.bf16: "bf16"}


def products_of(compilation: Compilation, path: Path) -> dict[str, dict[str, int]]:
    """How many products read activations of each type, apart for layers with weights and for attention.

    Args:
        compilation: the compiled model.
        path: the graph that it was compiled from.
    """
    names = {
        node.friendly_name for node in shared_core().read_model(path).get_ops() if node.get_type_name() in _PRODUCTS
    }
    group_values = int(compilation.compiled.get_property("DYNAMIC_QUANTIZATION_GROUP_SIZE"))
    is_dynamic = group_values > 0
    counts = {LINEAR: Counter[str](), ATTENTION: Counter[str](), QUANTIZERS: Counter[str]()}
    for node in compilation.compiled.get_runtime_model().get_ops():
        facts = {name: value.astype(str) for name, value in node.get_rt_info().items()}
        kind, origins = facts["layerType"], set(facts["originalLayersNames"].split(","))
        if kind == "FullyConnected":
            reads, weights = (node.get_input_element_type(index) for index in (0, 1))
            # OpenVINO quantizes what such products read as it comes, which the graph does not show.
            is_quantized_there = is_dynamic and reads == ov.Type.f32 and weights in {ov.Type.u8, ov.Type.i8}
            counts[LINEAR]["int8" if is_quantized_there else _NAMES[reads]] += 1
        elif kind == "MatMul" or (kind == "Subgraph" and names & origins):
            counts[ATTENTION][_NAMES[node.get_input_element_type(0)]] += 1
        elif kind == "FakeQuantize":
            counts[QUANTIZERS]["all"] += 1
    return {kind: dict(found) for kind, found in counts.items()}


if __name__ == "__main__":
    path, setting = Path(sys.argv[1]), sys.argv[2]
    file = ModelFile(path, max_length=512, revision=REVISION)
    cache_dir = Path(sys.argv[3]) if sys.argv[3:] else None
    compilation = compile_for_this_cpu(file, engine_options(arithmetic=wanted_arithmetic(setting), cache_dir=cache_dir))
    print(json.dumps({"arithmetic": compilation.arithmetic, **products_of(compilation, path)}))
