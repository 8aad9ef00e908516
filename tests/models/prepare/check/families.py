"""Tiny models of families that are fed unlike BERT, with random weights and tokenizers trained here."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from models.prepare.quantize.calibration import built_in_rows
from producer.contract import TaskName
from tests.models.published import random_weights

__all__ = ["FAMILIES", "INFERENCE_LABELS", "LABELS", "POSITIONS", "write_family"]

LABELS = {0: "LOW", 1: "MID", 2: "HIGH"}
INFERENCE_LABELS = {0: "contradiction", 1: "neutral", 2: "entailment"}
POSITIONS = 64
_VOCABULARY = 400
_SIZES = {
    "vocab_size": _VOCABULARY,
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
}
_ROBERTA_TOKENS = ["<s>", "<pad>", "</s>", "<unk>"]
_END_OF_TEXT = "<|endoftext|>"


def write_family(name: str, directory: Path) -> Path:
    """Write a checkpoint of one of :data:`FAMILIES` into a new directory, and return it."""
    model, tokenizer = FAMILIES[name]()
    random_weights(model).save_pretrained(directory)
    tokenizer.save_pretrained(directory)
    return directory


def _qwen2(**tokenizer: Any) -> tuple[Any, Any]:
    import transformers

    config = transformers.Qwen2Config(
        num_key_value_heads=2, max_position_embeddings=POSITIONS, id2label=LABELS, pad_token_id=3, **_SIZES
    )
    return transformers.Qwen2ForSequenceClassification(config), _end_of_text(**tokenizer)


def _opt() -> tuple[Any, Any]:
    import transformers

    config = transformers.OPTConfig(
        vocab_size=_VOCABULARY,
        hidden_size=32,
        ffn_dim=64,
        word_embed_proj_dim=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=POSITIONS,
        id2label=LABELS,
    )
    return transformers.OPTForSequenceClassification(config), _roberta_tokenizer("</s> $A", "</s> $A </s> $B")


def _bart() -> tuple[Any, Any]:
    import transformers

    sides = ("encoder", "decoder")
    sizes = {f"{side}_{name}": size for side in sides for name, size in (("layers", 2), ("ffn_dim", 64))}
    heads = {f"{side}_attention_heads": 2 for side in sides}
    config = transformers.BartConfig(
        vocab_size=_VOCABULARY,
        d_model=32,
        max_position_embeddings=POSITIONS,
        id2label=INFERENCE_LABELS,
        **sizes,
        **heads,
    )
    return transformers.BartForSequenceClassification(config), _roberta_tokenizer()


def _roberta_like(name: str, **tokenizer: Any) -> Callable[[], tuple[Any, Any]]:
    def make() -> tuple[Any, Any]:
        import transformers

        # Two positions more than tokens, as all of this family have.
        config = getattr(transformers, f"{name}Config")(
            max_position_embeddings=POSITIONS + 2, type_vocab_size=1, id2label=LABELS, **_SIZES
        )
        return getattr(transformers, f"{name}ForSequenceClassification")(config), _roberta_tokenizer(**tokenizer)

    return make


def _convbert() -> tuple[Any, Any]:
    import transformers

    config = transformers.ConvBertConfig(max_position_embeddings=POSITIONS, id2label=LABELS, **_SIZES)
    return transformers.ConvBertForSequenceClassification(config), _roberta_tokenizer()


FAMILIES: dict[str, Callable[[], tuple[Any, Any]]] = {
    "qwen2": _qwen2,
    "qwen2-left": lambda: _qwen2(padding_side="left", truncation_side="left"),
    "opt": _opt,
    "bart": _bart,
    "roberta": _roberta_like("Roberta", truncation_side="left"),
    "data2vec": _roberta_like("Data2VecText"),
    "convbert": _convbert,
}


def _roberta_tokenizer(single: str = "<s> $A </s>", pair: str = "<s> $A </s> </s> $B </s>", **fields: Any) -> Any:
    names = {"bos": "<s>", "pad": "<pad>", "eos": "</s>", "unk": "<unk>", "cls": "<s>", "sep": "</s>"}
    return _tokenizer(_ROBERTA_TOKENS, (single, pair), names, **fields)


def _end_of_text(**fields: Any) -> Any:
    return _tokenizer([f"<{number}>" for number in range(3)] + [_END_OF_TEXT], None, {"pad": _END_OF_TEXT}, **fields)


def _tokenizer(special: list[str], template: tuple[str, str] | None, names: dict[str, str], **fields: Any) -> Any:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    made: Any = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=_VOCABULARY,
        special_tokens=special,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    made.train([str(built_in_rows(TaskName.TEXT_CLASSIFICATION))], trainer)
    if template:
        tokens = [(token, made.token_to_id(token)) for token in special]
        made.post_processor = processors.TemplateProcessing(single=template[0], pair=template[1], special_tokens=tokens)
    roles = {f"{role}_token": token for role, token in names.items()}
    inputs = ["input_ids", "attention_mask"]
    return PreTrainedTokenizerFast(tokenizer_object=made, model_input_names=inputs, **roles, **fields)
