"""The layouts in which models are published, told apart by the names of their files."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from enum import StrEnum

from models.errors import PreparationError
from models.prepare.source.other_formats import name_format
from models.store.contents import CARD_NAME, CONFIG_NAME, MODEL_NAME, TOKENIZER_NAME, WEIGHTS_NAME

__all__ = ["Layout", "check_configuration", "detect", "graph_of", "needed_files", "weight_files", "weights_of"]


class Layout(StrEnum):
    """The format in which a model is published."""

    OPENVINO = "OpenVINO IR"
    ONNX = "ONNX"
    SAFETENSORS = "PyTorch (safetensors)"
    SHARDS = "PyTorch (safetensors in several files)"
    PICKLE = "PyTorch (pytorch_model.bin)"
    INC = "PyTorch INT8 (Intel Neural Compressor)"


#: The graph and weights of each layout, best layout first: those that may be quantized already come first.
_WEIGHTS = {
    Layout.OPENVINO: (MODEL_NAME, WEIGHTS_NAME),
    Layout.ONNX: ("model.onnx",),
    Layout.SAFETENSORS: ("model.safetensors",),
    Layout.SHARDS: ("model.safetensors.index.json",),
    Layout.PICKLE: ("pytorch_model.bin",),
}
#: An ONNX file may keep large tensors beside it under one of these names.
_ONNX_TENSORS = ("model.onnx_data", "model.onnx.data")
#: The files that ``model.safetensors.index.json`` is about, by their names: a number and how many there are.
_SHARD = re.compile(r"model-(\d{5})-of-(\d{5})\.safetensors")
_PYTORCH = frozenset({Layout.SAFETENSORS, Layout.SHARDS, Layout.PICKLE})
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
    "bpe_encoder.bin",
    "spiece.model",
    "spm.model",
    "tokenizer.model",
    "sentencepiece.model",
    "sentencepiece.bpe.model",
)


def check_configuration(names: Collection[str], source: str) -> None:
    """Check that a source has a ``config.json``.

    Raises:
        PreparationError: it has none; with the format that it is published in instead, if that is known.
    """
    if CONFIG_NAME not in names:
        raise _refusal(source, name_format(names) or f"it has no {CONFIG_NAME}")


def detect(names: Collection[str], source: str) -> Layout:
    """The layout of a source.

    Args:
        names: names of its files.
        source: the source, for messages.

    Raises:
        PreparationError: there are no supported weights, or a part of them is missing; it names the format if it is one
            that people publish.
    """
    for layout, (first, *rest) in _WEIGHTS.items():
        if layout in _PYTORCH and _INC_MARKS & set(names):
            return Layout.INC
        if first not in names:
            continue
        missing = [name for name in [*rest, *_missing_shards(layout, names)] if name not in names]
        if missing:
            raise _refusal(source, f"it has {first} but no {missing[0]}")
        return layout
    supported = ", ".join(first for layout, (first, *_) in _WEIGHTS.items() if layout is not Layout.SHARDS)
    raise _refusal(source, name_format(names) or f"it has none of {supported}")


def _refusal(source: str, problem: str) -> PreparationError:
    return PreparationError(f"{source} is not a model that can be prepared: {problem}")


def _missing_shards(layout: Layout, names: Collection[str]) -> list[str]:
    """The files that are missing between those with weights, by their numbers."""
    if layout is not Layout.SHARDS:
        return []
    shards = [match for name in names if (match := _SHARD.fullmatch(name))]
    count = max((int(match[2]) for match in shards), default=1)
    return [name for number in range(count) if (name := _shard_name(number + 1, count)) not in names]


def _shard_name(number: int, count: int) -> str:
    return f"model-{number:05}-of-{count:05}.safetensors"


def graph_of(layout: Layout) -> str:
    """Name of the file with the graph; with the weights if the layout has no graph."""
    return _WEIGHTS[layout][0]


def weights_of(layout: Layout) -> str:
    """Name of the file with the weights; of the one that says where they are, if there are several."""
    return _WEIGHTS[layout][-1]


def weight_files(layout: Layout, names: Iterable[str]) -> list[str]:
    """Sorted names of the files with the weights, whose checksums go into the manifest.

    Args:
        layout: the layout of a source.
        names: names of its files.
    """
    if layout is Layout.SHARDS:
        return sorted(name for name in names if _SHARD.fullmatch(name))
    return [weights_of(layout)]


def needed_files(names: Iterable[str], source: str) -> list[str]:
    """The files of a repository to download: those of its layout, and no weights in another format.

    Args:
        names: names of all files in the repository.
        source: the repository, for messages.

    Returns:
        Sorted names.

    Raises:
        PreparationError: there is no configuration, or there are no supported weights.
    """
    present = set(names)
    check_configuration(present, source)
    layout = detect(present, source)
    wanted = {*_COMPANIONS, *_INC_MARKS}
    # A layout that is not supported has no entry, so nothing large is fetched before it is refused.
    wanted |= set(_WEIGHTS.get(layout, ()))
    if layout is Layout.ONNX:
        wanted |= set(_ONNX_TENSORS)
    if layout is Layout.SHARDS:
        wanted |= set(weight_files(layout, present))
    return sorted(wanted & present)
