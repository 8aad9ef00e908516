"""Faults that are planted between export and check: each is refused, with the sentence that says what it is."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from models.engine.openvino_core import shared_core
from models.errors import CheckError
from models.store import CONFIG_NAME, MODEL_NAME, TOKENIZER_NAME
from models.store.feeding_record import Side
from tests.models.prepare.check.conftest import Export, Exported
from tests.models.prepare.check.families import POSITIONS
from tests.models.tiny_checkpoint import MAX_LENGTH, WIDTH

pytestmark = pytest.mark.prepare
OTHER_LOGITS = "the graph computes other logits than the published model"


def refused(one: Exported) -> CheckError:
    with pytest.raises(CheckError) as caught:
        one.check()
    error = caught.value
    for part in (error.reason, error.probe, error.expected, error.found):
        assert part
        assert part in str(error)
    return error


def test_another_pad_id(exported: Export) -> None:
    error = refused(exported("qwen2").with_facts(feeding={"pad_id": 5}))
    assert error.reason.startswith("padding changes its answers (id 5 on the right): a row of ")
    assert error.expected.startswith("logits ")
    assert error.found.startswith("logits ")


def test_another_padding_side(exported: Export) -> None:
    error = refused(exported("bert").with_facts(feeding={"padding_side": Side.LEFT}))
    assert error.reason.startswith("padding changes its answers (id 0 on the left)")


def test_padding_that_the_model_does_not_bear(exported: Export) -> None:
    assert refused(exported("convbert").with_facts(feeding={"is_padded": True})).reason.startswith("padding changes")


@pytest.mark.parametrize("limit", [POSITIONS - 1, POSITIONS + 1])
def test_a_limit_that_is_off_by_one(exported: Export, limit: int) -> None:
    error = refused(exported("data2vec").with_facts(max_length_tokens=limit))
    assert error.reason.startswith(f"it reads up to {limit} tokens of a long text, the published model {POSITIONS}: ")


def test_texts_that_are_cut_off_at_the_other_end(exported: Export) -> None:
    error = refused(exported("roberta").with_facts(feeding={"truncation_side": Side.RIGHT}))
    assert error.reason == "a long text is cut off at another end than the published tokenizer cuts it"


def test_end_tokens_that_are_not_counted(exported: Export) -> None:
    error = refused(exported("bart").with_facts(feeding={"counted_id": None}))
    assert error.reason.startswith("other rows of a batch change its answers: a row of ")


def test_positions_that_are_off_by_one(exported: Export, tmp_path: Path) -> None:
    shifted = exported("bert").copy(tmp_path / "shifted")
    changed = change_weights(shifted, "position_embeddings", lambda values: np.roll(values, 1, axis=0))
    assert changed == [[MAX_LENGTH, WIDTH]]
    assert refused(shifted).reason.startswith(OTHER_LOGITS)


def test_a_layer_whose_weights_are_zero(exported: Export, tmp_path: Path) -> None:
    zeroed = exported("bert").copy(tmp_path / "zeroed")
    changed = change_weights(zeroed, "encoder.layer.1.", np.zeros_like)
    # Query, key, value and the products after attention, inside of the layer and at its end.
    assert len(changed) == 6
    assert refused(zeroed).reason.startswith(OTHER_LOGITS)


def test_a_swapped_label_map(exported: Export, tmp_path: Path) -> None:
    swapped = exported("bert").copy(tmp_path / "swapped")
    swap_labels(swapped)
    error = refused(swapped)
    assert error.reason.startswith("the same logits become other answers: the labels are in another order")
    assert "'YES'" in error.expected


def test_a_swapped_label_map_of_inference(exported: Export, tmp_path: Path) -> None:
    swapped = exported("inference").copy(tmp_path / "swapped")
    swap_labels(swapped)
    assert refused(swapped).reason.startswith("the same logits become other answers")


def test_a_tokenizer_of_another_model(exported: Export, tmp_path: Path) -> None:
    changed = exported("bert").copy(tmp_path / "changed")
    path = changed.model.directory / TOKENIZER_NAME
    tokenizer = json.loads(path.read_bytes())
    vocabulary = tokenizer["model"]["vocab"]
    vocabulary["film"], vocabulary["the"] = vocabulary["the"], vocabulary["film"]
    path.write_text(json.dumps(tokenizer))
    error = refused(changed)
    assert error.reason == "tokenizer.json gives other tokens than the tokenizer that the model was published with"
    assert "tokens 2, " in error.expected
    assert "tokens 2, " in error.found


@pytest.mark.parametrize("name", ["inference", "questions"])
def test_pairs_whose_parts_are_not_told_apart(exported: Export, tmp_path: Path, name: str) -> None:
    changed = exported(name).copy(tmp_path / "changed")
    path = changed.model.directory / TOKENIZER_NAME
    tokenizer = json.loads(path.read_bytes())
    for piece in tokenizer["post_processor"]["pair"]:
        (value,) = piece.values()
        value["type_id"] = 0
    path.write_text(json.dumps(tokenizer))
    assert refused(changed).reason.startswith(OTHER_LOGITS)


def swap_labels(one: Exported) -> None:
    path = one.model.directory / CONFIG_NAME
    config = json.loads(path.read_bytes())
    names = list(config["id2label"].values())
    config["id2label"] = {str(index): name for index, name in enumerate(reversed(names))}
    path.write_text(json.dumps(config))


def change_weights(one: Exported, name: str, change: Callable[[Any], Any]) -> list[list[int]]:
    """Change the matrices of the graph with this name in theirs, write it again, and return their shapes."""
    import openvino as ov
    from openvino import opset13

    path = one.model.directory / MODEL_NAME
    graph = shared_core().read_model(path)
    matrices = [
        node
        for node in graph.get_ops()
        if node.get_type_name() == "Constant"
        and name in node.friendly_name
        and node.get_element_type() == ov.Type.f32
        and len([size for size in node.shape if size > 1]) == 2
    ]
    for node in matrices:
        changed = opset13.constant(change(node.data.copy()))
        for target in node.output(0).get_target_inputs():
            target.replace_source_output(changed.output(0))
    written = path.with_suffix(".new.xml")
    ov.save_model(graph, written, compress_to_fp16=False)
    shapes = [list(node.shape) for node in matrices]
    del graph, matrices
    written.replace(path)
    written.with_suffix(".bin").replace(path.with_suffix(".bin"))
    return shapes
