"""The layout of a published model is recognized by the names of its files."""

from __future__ import annotations

import pytest

from models.errors import PreparationError
from models.prepare.source.layout import Layout, detect, needed_files

SHARDS = {f"model-0000{number}-of-00003.safetensors" for number in (1, 2, 3)} | {"model.safetensors.index.json"}
IR = {"openvino_model.xml", "openvino_model.bin"}


@pytest.mark.parametrize(
    ("names", "layout"),
    [
        (IR, Layout.OPENVINO),
        (IR | {"pytorch_model.bin", "model.onnx"}, Layout.OPENVINO),
        ({"model.onnx"}, Layout.ONNX),
        ({"model.onnx", "pytorch_model.bin", "inc_config.json"}, Layout.ONNX),
        ({"model.safetensors", "pytorch_model.bin"}, Layout.SAFETENSORS),
        ({"pytorch_model.bin", "tf_model.h5"}, Layout.PICKLE),
        (SHARDS | {"pytorch_model.bin"}, Layout.SHARDS),
        (SHARDS | {"model.safetensors"}, Layout.SAFETENSORS),
        ({"pytorch_model.bin", "inc_config.json"}, Layout.INC),
        ({"model.safetensors", "best_configure.yaml"}, Layout.INC),
    ],
)
def test_the_layout_is_told_by_the_names_of_files(names: set[str], layout: Layout) -> None:
    assert detect(names, "a test") is layout


@pytest.mark.parametrize(
    ("names", "reason"),
    [
        (
            {"config.json", "training_args.bin"},
            "it has none of openvino_model.xml, model.onnx, model.safetensors, pytorch",
        ),
        ({"openvino_model.xml"}, "it has openvino_model.xml but no openvino_model.bin"),
        (SHARDS - {"model-00002-of-00003.safetensors"}, "index.json but no model-00002-of-00003.safetensors"),
        ({"model.safetensors.index.json"}, "index.json but no model-00001-of-00001.safetensors"),
        ({"config.json", "tf_model.h5"}, r"its weights are TensorFlow's alone \(tf_model.h5\); load it with from_tf"),
        ({"config.json", "onnx/model.onnx"}, r"its ONNX graphs are in a folder \(onnx/model.onnx\)"),
        ({"config.json", "pytorch_model.bin.index.json"}, r"its weights are several pickles"),
        ({"config.json", "model-q4.gguf"}, r"its weights are in GGUF \(model-q4.gguf\)"),
        ({"adapter_config.json", "adapter_model.safetensors"}, r"it is an adapter \(adapter_config.json\) without"),
    ],
)
def test_what_cannot_be_read_is_refused_with_what_is_missing(names: set[str], reason: str) -> None:
    with pytest.raises(PreparationError, match=f"^a test is not a model that can be prepared: .*{reason}"):
        detect(names, "a test")


def test_weights_in_other_formats_are_not_needed() -> None:
    names = ["config.json", "vocab.txt", "model.safetensors", "pytorch_model.bin", "tf_model.h5", "training_args.bin"]
    assert needed_files(names, "a test") == ["config.json", "model.safetensors", "vocab.txt"]
    assert needed_files(["model.onnx", "model.onnx_data", "config.json"], "a test") == [
        "config.json",
        "model.onnx",
        "model.onnx_data",
    ]
    names = [*SHARDS, "config.json", "spm.model", "model-00001-of-00002.bin"]
    assert needed_files(names, "a test") == sorted([*SHARDS, "config.json", "spm.model"])
