"""A BERT with random weights in the files that ``transformers`` saves, made without loading torch."""

from __future__ import annotations

import json
import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from tokenizers import Tokenizer
from tokenizers.models import WordPiece
from tokenizers.normalizers import BertNormalizer
from tokenizers.pre_tokenizers import BertPreTokenizer
from tokenizers.processors import TemplateProcessing

__all__ = ["INFERENCE_LABELS", "LABELS", "MAX_LENGTH", "WIDTH", "write_checkpoint"]

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
VOCABULARY = {
    word: index
    for index, word in enumerate([*SPECIAL, "a", "bad", "film", "good", "is", "it", "the", "was", "##s", "."])
}
LABELS = ["NO", "PERHAPS", "YES"]
INFERENCE_LABELS = ["CONTRADICTION", "NEUTRAL", "ENTAILMENT"]
MAX_LENGTH = 48
WIDTH, INNER_WIDTH, LAYERS = 32, 64, 2


def write_checkpoint(directory: Path, labels: Sequence[str] | None = LABELS, **tokenizer_config: Any) -> None:
    """Write configuration, weights and tokenizer into a new directory.

    Args:
        directory: to make.
        labels: of a classification head; None for a head that answers questions.
        tokenizer_config: what ``tokenizer_config.json`` says; without it there is no such file.
    """
    directory.mkdir(parents=True)
    (directory / "config.json").write_text(json.dumps(_config(labels)), encoding="utf-8")
    (directory / "model.safetensors").write_bytes(_safetensors(_weights(labels)))
    _tokenizer().save(str(directory / "tokenizer.json"))
    if tokenizer_config:
        (directory / "tokenizer_config.json").write_text(json.dumps(tokenizer_config), encoding="utf-8")


def _config(labels: Sequence[str] | None) -> dict[str, Any]:
    config: dict[str, Any] = {
        "architectures": ["BertForQuestionAnswering"],
        "model_type": "bert",
        "vocab_size": len(VOCABULARY),
        "hidden_size": WIDTH,
        "num_hidden_layers": LAYERS,
        "num_attention_heads": 2,
        "intermediate_size": INNER_WIDTH,
        "max_position_embeddings": MAX_LENGTH,
        "type_vocab_size": 2,
    }
    if labels is None:
        return config
    return {
        **config,
        "architectures": ["BertForSequenceClassification"],
        "id2label": dict(enumerate(labels)),
        "label2id": {label: index for index, label in enumerate(labels)},
    }


def _weights(labels: Sequence[str] | None) -> dict[str, np.ndarray[Any, np.dtype[np.float32]]]:
    random = np.random.default_rng(7)
    sizes: dict[str, tuple[int, ...]] = {
        "bert.embeddings.word_embeddings.weight": (len(VOCABULARY), WIDTH),
        "bert.embeddings.position_embeddings.weight": (MAX_LENGTH, WIDTH),
        "bert.embeddings.token_type_embeddings.weight": (2, WIDTH),
        **_norm("bert.embeddings.LayerNorm"),
        **(_dense("qa_outputs", 2, WIDTH) if labels is None else _dense("bert.pooler.dense", WIDTH, WIDTH)),
        **({} if labels is None else _dense("classifier", len(labels), WIDTH)),
    }
    for number in range(LAYERS):
        layer = f"bert.encoder.layer.{number}"
        for name in ("self.query", "self.key", "self.value", "output.dense"):
            sizes |= _dense(f"{layer}.attention.{name}", WIDTH, WIDTH)
        sizes |= _dense(f"{layer}.intermediate.dense", INNER_WIDTH, WIDTH)
        sizes |= _dense(f"{layer}.output.dense", WIDTH, INNER_WIDTH)
        sizes |= _norm(f"{layer}.attention.output.LayerNorm") | _norm(f"{layer}.output.LayerNorm")
    return {name: random.normal(0, 0.3, size).astype(np.float32) for name, size in sizes.items()}


def _safetensors(weights: dict[str, np.ndarray[Any, np.dtype[np.float32]]]) -> bytes:
    """The format: the length of a JSON header in eight bytes, the header, the values."""
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    data = b""
    for name, values in weights.items():
        offsets = [len(data), len(data) + values.nbytes]
        header[name] = {"dtype": "F32", "shape": values.shape, "data_offsets": offsets}
        data += values.tobytes()
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


def _dense(name: str, outputs: int, inputs: int) -> dict[str, tuple[int, ...]]:
    return {f"{name}.weight": (outputs, inputs), f"{name}.bias": (outputs,)}


def _norm(name: str) -> dict[str, tuple[int, ...]]:
    return {f"{name}.weight": (WIDTH,), f"{name}.bias": (WIDTH,)}


def _tokenizer() -> Any:
    tokenizer = Tokenizer(WordPiece(VOCABULARY, unk_token="[UNK]"))  # noqa: S106 - a token of another kind
    tokenizer.normalizer = BertNormalizer()
    tokenizer.pre_tokenizer = BertPreTokenizer()
    tokenizer.post_processor = TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[(name, VOCABULARY[name]) for name in ("[CLS]", "[SEP]")],
    )
    return tokenizer
