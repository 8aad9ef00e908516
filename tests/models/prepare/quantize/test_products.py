"""Which products are quantized, and which are scaled together."""

from __future__ import annotations

import numpy as np
import openvino as ov
from openvino import opset13 as op

from models.prepare.quantize.products import attention_inputs, product_groups, weights_of

WIDTH = 32


def tokens() -> ov.Node:
    return op.parameter([-1, WIDTH], ov.Type.f32, name="tokens")


def constant(results: int, seed: int, dtype: type = np.float32) -> ov.Node:
    return op.constant(np.random.default_rng(seed).normal(size=(results, WIDTH)).astype(dtype))


def named(node: ov.Node, name: str) -> ov.Node:
    node.set_friendly_name(name)
    return node


def test_products_of_one_input_are_one_group_and_others_are_apart() -> None:
    source = tokens()
    query = named(op.matmul(source, constant(WIDTH, 1), False, True), "query")
    key = named(op.matmul(source, constant(WIDTH, 2), False, True), "key")
    out = named(op.matmul(op.add(query, key), constant(WIDTH, 3), False, True), "out")
    groups = product_groups(ov.Model([out], [source]))
    assert sorted(sorted(group.products) for group in groups) == [["key", "query"], ["out"]]
    assert all(len(group.inputs) == 1 and group.width == WIDTH for group in groups)


def test_layers_that_use_the_same_weights_are_one_group_with_all_their_inputs() -> None:
    source, weights = tokens(), constant(WIDTH, 1)
    first = named(op.matmul(source, weights, False, True), "first")
    second = named(op.matmul(op.relu(first), weights, False, True), "second")
    (group,) = product_groups(ov.Model([second], [source]))
    assert sorted(group.products) == ["first", "second"]
    assert len(group.inputs) == 2
    assert len(set(group.constants)) == 1


def test_small_heads_narrow_inputs_and_products_of_two_activations_stay_as_they_are() -> None:
    source = tokens()
    head = op.matmul(source, constant(3, 1), False, True)
    both = op.matmul(source, source, False, True)
    narrow = op.parameter([-1, 10], ov.Type.f32)
    odd = op.matmul(narrow, op.constant(np.ones((64, 10), np.float32)), False, True)
    assert product_groups(ov.Model([head, both, odd], [source, narrow])) == []


def test_weights_are_results_by_width_however_they_are_stored() -> None:
    source = tokens()
    stored = constant(16, 1, np.float16)
    wide = op.matmul(source, op.convert(stored, ov.Type.f32), False, True)
    turned = op.matmul(source, op.constant(np.asarray(stored.data, np.float32).T.copy()), False, False)
    for product in (wide, turned):
        assert np.array_equal(weights_of(product), np.asarray(stored.data, np.float32))


def test_queries_and_keys_are_found_behind_what_arranges_them() -> None:
    source = tokens()
    heads = [
        op.transpose(op.reshape(named(op.relu(source), name), [1, -1, 2, WIDTH // 2], False), [0, 2, 1, 3])
        for name in ("query", "key", "value")
    ]
    attention = op.scaled_dot_product_attention(*heads)
    assert [port.node for port in attention_inputs(ov.Model([attention], [source]))] == ["query", "key"]
