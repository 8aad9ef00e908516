"""In which of the known layouts a model is published, told by the names of its files."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from enum import StrEnum
from pathlib import Path

from models.errors import PreparationError
from models.store import CONFIG_NAME, MODEL_NAME, TOKENIZER_NAME

__all__ = ["Layout", "detect", "graph_of", "needed_files", "weights_of"]


class Layout(StrEnum):
    """How a model is published."""

    OPENVINO = "OpenVINO IR"
    ONNX = "ONNX"
    SAFETENSORS = "PyTorch (safetensors)"
    PICKLE = "PyTorch (pytorch_model.bin)"
    INC = "PyTorch INT8 (Intel Neural Compressor)"


#: The graph or weights of each, best first: what is quantized already goes before what would have to be.
_WEIGHTS = {
    Layout.OPENVINO: (MODEL_NAME, Path(MODEL_NAME).with_suffix(".bin").name),
    Layout.ONNX: ("model.onnx",),
    Layout.SAFETENSORS: ("model.safetensors",),
    Layout.PICKLE: ("pytorch_model.bin",),
}
#: Large tensors of an ONNX file lie beside it under one of these names, if at all.
_ONNX_TENSORS = ("model.onnx_data", "model.onnx.data")
_PYTORCH = frozenset({Layout.SAFETENSORS, Layout.PICKLE})
#: What Neural Compressor writes beside weights that only it can read.
_INC_MARKS = frozenset({"inc_config.json", "best_configure.yaml"})
#: Configuration, card and tokenizers of every kind; all of them are small.
_COMPANIONS = (
    CONFIG_NAME,
    "README.md",
    TOKENIZER_NAME,
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.txt",
    "vocab.json",
    "merges.txt",
    "bpe.codes",
    "spiece.model",
    "tokenizer.model",
    "sentencepiece.bpe.model",
)


def detect(names: Collection[str], source: str) -> Layout:
    """The layout of a source with these files.

    Raises:
        PreparationError: there is nothing that can be read, or a part of it is missing.
    """
    for layout, (first, *rest) in _WEIGHTS.items():
        if layout in _PYTORCH and _INC_MARKS & set(names):
            return Layout.INC
        if first not in names:
            continue
        missing = [name for name in rest if name not in names]
        if missing:
            raise PreparationError(f"{source} is no model that can be prepared: it has {first} and no {missing[0]}")
        return layout
    readable = ", ".join(first for first, *_ in _WEIGHTS.values())
    sharded = next((name for name in names if name.endswith(".index.json")), None)
    found = f"; weights in several files ({sharded}) are not supported" if sharded else ""
    raise PreparationError(f"{source} is no model that can be prepared: it has none of {readable}{found}")


def graph_of(layout: Layout) -> str:
    """The file that is read to get the graph, or the weights where it has no graph."""
    return _WEIGHTS[layout][0]


def weights_of(layout: Layout) -> str:
    """The file with the graph's weights, whose checksum goes into the manifest."""
    return _WEIGHTS[layout][-1]


def needed_files(names: Iterable[str], source: str) -> list[str]:
    """What to download of a repository with these files: those of its layout, and no weights in another format.

    Raises:
        PreparationError: there is nothing that can be read.
    """
    present = set(names)
    layout = detect(present, source)
    wanted = {*_COMPANIONS, *_INC_MARKS}
    # Of a checkpoint that is refused by its format nothing large is fetched.
    wanted |= set(_WEIGHTS.get(layout, ()))
    if layout is Layout.ONNX:
        wanted |= set(_ONNX_TENSORS)
    return sorted(wanted & present)
