"""The layouts in which models are published, told apart by the names of their files."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from enum import StrEnum

from models.errors import PreparationError
from models.store.contents import CARD_NAME, CONFIG_NAME, MODEL_NAME, TOKENIZER_NAME, WEIGHTS_NAME

__all__ = ["Layout", "detect", "graph_of", "needed_files", "weights_of"]


class Layout(StrEnum):
    """The format in which a model is published."""

    OPENVINO = "OpenVINO IR"
    ONNX = "ONNX"
    SAFETENSORS = "PyTorch (safetensors)"
    PICKLE = "PyTorch (pytorch_model.bin)"
    INC = "PyTorch INT8 (Intel Neural Compressor)"


#: The graph and weights of each layout, best layout first: those that may be quantized already come first.
_WEIGHTS = {
    Layout.OPENVINO: (MODEL_NAME, WEIGHTS_NAME),
    Layout.ONNX: ("model.onnx",),
    Layout.SAFETENSORS: ("model.safetensors",),
    Layout.PICKLE: ("pytorch_model.bin",),
}
#: An ONNX file may keep large tensors beside it under one of these names.
_ONNX_TENSORS = ("model.onnx_data", "model.onnx.data")
_PYTORCH = frozenset({Layout.SAFETENSORS, Layout.PICKLE})
#: Files that Neural Compressor writes beside weights that only it can read.
_INC_MARKS = frozenset({"inc_config.json", "best_configure.yaml"})
#: Configuration, card and tokenizer files of every kind, all of them small.
_COMPANIONS = (
    CONFIG_NAME,
    CARD_NAME,
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
    """The layout of a source.

    Args:
        names: names of its files.
        source: the source, for messages.

    Raises:
        PreparationError: there are no supported weights, or a part of them is missing.
    """
    for layout, (first, *rest) in _WEIGHTS.items():
        if layout in _PYTORCH and _INC_MARKS & set(names):
            return Layout.INC
        if first not in names:
            continue
        missing = [name for name in rest if name not in names]
        if missing:
            raise PreparationError(f"{source} is not a model that can be prepared: it has {first} but no {missing[0]}")
        return layout
    supported = ", ".join(first for first, *_ in _WEIGHTS.values())
    sharded = next((name for name in names if name.endswith(".index.json")), None)
    hint = f"; weights in several files ({sharded}) are not supported" if sharded else ""
    raise PreparationError(f"{source} is not a model that can be prepared: it has none of {supported}{hint}")


def graph_of(layout: Layout) -> str:
    """Name of the file with the graph; with the weights if the layout has no graph."""
    return _WEIGHTS[layout][0]


def weights_of(layout: Layout) -> str:
    """Name of the file with the weights, whose checksum goes into the manifest."""
    return _WEIGHTS[layout][-1]


def needed_files(names: Iterable[str], source: str) -> list[str]:
    """The files of a repository to download: those of its layout, and no weights in another format.

    Args:
        names: names of all files in the repository.
        source: the repository, for messages.

    Returns:
        Sorted names.

    Raises:
        PreparationError: there are no supported weights.
    """
    present = set(names)
    layout = detect(present, source)
    wanted = {*_COMPANIONS, *_INC_MARKS}
    # A layout that is not supported has no entry, so nothing large is fetched before it is refused.
    wanted |= set(_WEIGHTS.get(layout, ()))
    if layout is Layout.ONNX:
        wanted |= set(_ONNX_TENSORS)
    return sorted(wanted & present)
