"""Tiny checkpoints of every family, with random weights, in the files that ``transformers`` saves."""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Any

from tests.models.prepare.families.tokenizers import write_tokenizer_files

__all__ = ["Head", "Recipe", "Weights", "write_checkpoint"]

_LENGTH = 64
_WIDTH, _INNER, _LAYERS, _HEADS = 32, 64, 2, 2


class Head(Enum):
    """What a model is made for, with its labels."""

    SENTIMENT = ("negative", "neutral", "positive")
    TOPICS = tuple(f"topic_{number}" for number in range(19))
    EMOTIONS = tuple(f"emotion_{number}" for number in range(28))
    SCORE = ("score",)
    NLI = ("contradiction", "neutral", "entailment")
    NLI_ENTAILMENT_FIRST = ("ENTAILMENT", "NEUTRAL", "CONTRADICTION")
    NLI_BETWEEN = ("neutral", "entailment", "contradiction")
    NLI_TWO = ("entailment", "not_entailment")
    NLI_TWO_REVERSED = ("not_entailment", "entailment")
    NLI_UNNAMED = ("LABEL_0", "LABEL_1", "LABEL_2")
    QUESTIONS = ()


class Weights(Enum):
    """The files of the weights."""

    SAFETENSORS = "safetensors"
    SHARDS = "safetensors in several files"
    PICKLE = "pytorch_model.bin"
    FP16 = "safetensors in fp16"
    BF16 = "safetensors in bf16"


@dataclass(frozen=True)
class Recipe:
    """How a checkpoint is made.

    Attributes:
        family: the ``model_type``.
        tokenizer: the class of its tokenizer, without ``Fast``.
        head: what it is made for.
        weights: the files of its weights.
        has_json: whether its tokenizer has a ``tokenizer.json``.
        settings: of the tokenizer.
        config: fields of the configuration.
    """

    family: str
    tokenizer: str
    head: Head = Head.SENTIMENT
    weights: Weights = Weights.SAFETENSORS
    has_json: bool = True
    settings: Mapping[str, Any] = field(default_factory=dict)
    config: Mapping[str, Any] = field(default_factory=dict)


#: What ``config.json`` calls the sizes, where it is not as in BERT.
_SEQ2SEQ = {
    "d_model": _WIDTH,
    **{f"{part}_layers": 1 for part in ("encoder", "decoder")},
    **{f"{part}_attention_heads": _HEADS for part in ("encoder", "decoder")},
    **{f"{part}_ffn_dim": _INNER for part in ("encoder", "decoder")},
}
_GROUPED = {"num_key_value_heads": 1}
_RELATIVE = {"relative_attention": True, "pos_att_type": ["p2c", "c2p"], "position_biased_input": False}
_SIZES: dict[str, dict[str, Any]] = {
    "albert": {"embedding_size": 16},
    "bart": _SEQ2SEQ,
    "big_bird": {"attention_type": "original_full"},
    "convbert": {"embedding_size": _WIDTH},
    "deberta": _RELATIVE,
    "deberta-v2": {**_RELATIVE, "type_vocab_size": 0, "position_buckets": 16, "share_att_key": True},
    "distilbert": {"dim": _WIDTH, "hidden_dim": _INNER, "n_layers": _LAYERS, "n_heads": _HEADS},
    "electra": {"embedding_size": 16},
    "gpt2": {"n_embd": _WIDTH, "n_layer": _LAYERS, "n_head": _HEADS, "n_positions": _LENGTH},
    "llama": _GROUPED,
    "mistral": {**_GROUPED, "sliding_window": None},
    "mobilebert": {"embedding_size": 16, "intra_bottleneck_size": _WIDTH, "true_hidden_size": _WIDTH},
    # Sixteen tokens of local attention, so that texts are longer than it.
    "modernbert": {"local_attention": 16, "global_attn_every_n_layers": 2},
    "opt": {"ffn_dim": _INNER, "word_embed_proj_dim": _WIDTH},
    "qwen2": _GROUPED,
    "qwen3": {**_GROUPED, "head_dim": 16},
    "rembert": {"input_embedding_size": 16, "output_embedding_size": 16},
    "squeezebert": {"embedding_size": _WIDTH},
}
#: Families whose configuration names the sizes otherwise.
_OWN_SIZES = {"bart", "distilbert", "gpt2"}
#: Families that number positions from behind the padding token, so that their table has two rows more.
_OFFSET = {"camembert", "data2vec-text", "ibert", "mpnet"} | {
    *("roberta", "roberta-prelayernorm", "xlm-roberta", "xlm-roberta-xl"),
}


def write_checkpoint(directory: Path, recipe: Recipe) -> None:
    """Write configuration, weights and tokenizer into a new directory."""
    directory.mkdir(parents=True)
    with warnings.catch_warnings():
        # Of transformers and torch, about each other.
        warnings.simplefilter("ignore")
        _write(directory, recipe)


def _write(directory: Path, recipe: Recipe) -> None:
    import torch

    settings = {"has_json": recipe.has_json, **recipe.settings}
    tokenizer = write_tokenizer_files(directory, recipe.tokenizer, **settings)
    model = _model(recipe, tokenizer)
    dtype = {Weights.FP16: torch.float16, Weights.BF16: torch.bfloat16}.get(recipe.weights, torch.float32)
    if recipe.weights is Weights.PICKLE:
        model.config.architectures = [type(model).__name__]
        model.config.save_pretrained(directory)
        torch.save(model.state_dict(), directory / "pytorch_model.bin")
    else:
        size = "40KB" if recipe.weights is Weights.SHARDS else "1GB"
        model.to(dtype).save_pretrained(directory, max_shard_size=size)
    if recipe.head is Head.NLI_UNNAMED:
        _forget_labels(directory / "config.json")


def _model(recipe: Recipe, tokenizer: Any) -> Any:
    import torch
    from transformers import AutoConfig, AutoModelForQuestionAnswering, AutoModelForSequenceClassification

    is_question = recipe.head is Head.QUESTIONS
    auto = AutoModelForQuestionAnswering if is_question else AutoModelForSequenceClassification
    torch.manual_seed(1)
    model: Any = auto.from_config(AutoConfig.for_model(recipe.family, **_config(recipe, tokenizer)))
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for name, value in model.named_parameters():
            # Larger than those of a new model, so that results differ; norms as they are.
            if value.ndim > 1 and "norm" not in name.lower():
                value.copy_(torch.randn(value.shape, generator=generator) * 0.2)
    return model.eval()


def _config(recipe: Recipe, tokenizer: Any) -> dict[str, Any]:
    sizes = {
        "hidden_size": _WIDTH,
        "intermediate_size": _INNER,
        "num_hidden_layers": _LAYERS,
        "num_attention_heads": _HEADS,
    }
    own = _SIZES.get(recipe.family, {})
    common = {} if recipe.family in _OWN_SIZES else sizes
    length = _LENGTH + 2 * (recipe.family in _OFFSET)
    names: Sequence[str] = recipe.head.value
    labels = {"id2label": dict(enumerate(names)), "label2id": {name: index for index, name in enumerate(names)}}
    problem = {"problem_type": "multi_label_classification"} if recipe.head is Head.EMOTIONS else {}
    special = {
        "pad_token_id": tokenizer.pad_token_id,
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
    }
    return {
        "vocab_size": len(tokenizer),
        "max_position_embeddings": length,
        **common,
        **{name: value for name, value in special.items() if value is not None},
        **(labels if names else {}),
        **problem,
        **own,
        **recipe.config,
    }


def _forget_labels(path: Path) -> None:
    """As a checkpoint whose author named no labels: ``LABEL_0`` and so on are what ``transformers`` makes of it."""
    config = json.loads(path.read_bytes())
    del config["id2label"], config["label2id"]
    config["num_labels"] = len(Head.NLI_UNNAMED.value)
    path.write_text(json.dumps(config), encoding="utf-8")
