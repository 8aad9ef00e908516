"""Tokenizers of each kind, trained here and saved as publishers save them."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

__all__ = ["TOKENIZERS", "write_tokenizer_files"]

_PIECES = 400
_LENGTH = 64


def write_tokenizer_files(directory: Path, name: str, *, has_json: bool, **settings: Any) -> Any:
    """Write the files of a tokenizer into a directory.

    Args:
        directory: an existing directory.
        name: the class of ``transformers``, without ``Fast``.
        has_json: whether ``tokenizer.json`` is among them.
        settings: of the tokenizer, which go into ``tokenizer_config.json``.

    Returns:
        The tokenizer.
    """
    import transformers

    made = TOKENIZERS[name](directory)
    if isinstance(made, dict):
        fast = getattr(transformers, f"{name}Fast", None) or transformers.PreTrainedTokenizerFast
        made = fast(**{"model_max_length": _LENGTH, **made, **settings})
    made.save_pretrained(directory)
    if not has_json:
        (directory / "tokenizer.json").unlink()
    return made


@cache
def _texts() -> tuple[str, ...]:
    rows = files("models.prepare.quantize") / "calibration_rows"
    (path,) = [path for path in rows.iterdir() if path.name.startswith("text")]
    return tuple(json.loads(line)["text"] for line in path.read_text(encoding="utf-8").splitlines())


def _word_pieces(directory: Path, *, special: tuple[str, ...] = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")) -> Any:
    from tokenizers import BertWordPieceTokenizer

    trained = BertWordPieceTokenizer(unk_token=special[1], cls_token=special[2], sep_token=special[3])
    trained.train_from_iterator(_texts(), vocab_size=_PIECES, special_tokens=list(special), show_progress=False)
    words = sorted(trained.get_vocab().items(), key=lambda item: item[1])
    (directory / "vocab.txt").write_text("".join(f"{word}\n" for word, _ in words), encoding="utf-8")
    return {"vocab_file": str(directory / "vocab.txt")}


def _byte_pairs(directory: Path, *, special: tuple[str, ...] = ("<s>", "<pad>", "</s>", "<unk>", "<mask>")) -> Any:
    from tokenizers import ByteLevelBPETokenizer

    trained = ByteLevelBPETokenizer()
    trained.train_from_iterator(_texts(), vocab_size=_PIECES, special_tokens=list(special), show_progress=False)
    trained.save_model(str(directory))
    return {"vocab_file": str(directory / "vocab.json"), "merges_file": str(directory / "merges.txt")}


def _bare_byte_pairs(_: Path) -> Any:
    """As ModernBERT publishes it: ``tokenizer.json`` alone, with a class that says nothing."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers

    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    trained = Tokenizer(models.BPE(unk_token="[UNK]"))  # noqa: S106 - a token of another kind
    trained.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    trained.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trained.train_from_iterator(
        _texts(), trainers.BpeTrainer(vocab_size=_PIECES, special_tokens=special, initial_alphabet=alphabet)
    )
    trained.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    return {
        "tokenizer_object": trained,
        **dict(zip(("pad_token", "unk_token", "cls_token", "sep_token", "mask_token"), special, strict=True)),
        "model_input_names": ["input_ids", "attention_mask"],
    }


def _sentence_pieces(name: str, **options: Any) -> Callable[[Path], Any]:
    def write(directory: Path) -> Any:
        (directory / name).write_bytes(_trained_sentence_pieces(**options))
        return {"vocab_file": str(directory / name)}

    return write


@cache
def _trained_sentence_pieces(**options: Any) -> bytes:
    from sentencepiece import SentencePieceTrainer

    model = io.BytesIO()
    SentencePieceTrainer.train(
        sentence_iterator=_lines(),
        model_writer=model,
        **{"vocab_size": _PIECES, "minloglevel": 2, "hard_vocab_limit": False, **options},
    )
    return model.getvalue()


def _lines() -> Iterator[str]:
    return iter(_texts())


_ALBERT = {
    "pad_id": 0,
    "unk_id": 1,
    "bos_id": 2,
    "eos_id": 3,
    "bos_piece": "[CLS]",
    "eos_piece": "[SEP]",
    "control_symbols": "[MASK]",
}
_BIG_BIRD = {"control_symbols": "[CLS],[SEP],[MASK]", "pad_id": 0, "unk_id": 1, "bos_id": 2, "eos_id": 3}
_DEBERTA = {
    "pad_id": 0,
    "bos_id": 1,
    "eos_id": 2,
    "unk_id": 3,
    "pad_piece": "[PAD]",
    "bos_piece": "[CLS]",
    "eos_piece": "[SEP]",
    "unk_piece": "[UNK]",
}
#: The kinds by the class of ``transformers``: how its files are trained.
TOKENIZERS: dict[str, Callable[[Path], Any]] = {
    "BertTokenizer": _word_pieces,
    "DistilBertTokenizer": _word_pieces,
    "ElectraTokenizer": _word_pieces,
    "MobileBertTokenizer": _word_pieces,
    "SqueezeBertTokenizer": _word_pieces,
    "ConvBertTokenizer": _word_pieces,
    "MPNetTokenizer": lambda directory: _word_pieces(
        directory, special=("<pad>", "[UNK]", "<s>", "</s>", "<unk>", "<mask>")
    ),
    "RobertaTokenizer": _byte_pairs,
    "BartTokenizer": _byte_pairs,
    "DebertaTokenizer": lambda directory: _byte_pairs(
        directory, special=("[PAD]", "[CLS]", "[SEP]", "[UNK]", "[MASK]")
    ),
    "GPT2Tokenizer": lambda directory: _byte_pairs(directory, special=("<|endoftext|>",)),
    "Qwen2Tokenizer": lambda directory: _byte_pairs(directory, special=("<|endoftext|>",)),
    "PreTrainedTokenizer": _bare_byte_pairs,
    "XLMRobertaTokenizer": _sentence_pieces("sentencepiece.bpe.model"),
    "CamembertTokenizer": _sentence_pieces("sentencepiece.bpe.model"),
    "AlbertTokenizer": _sentence_pieces("spiece.model", **_ALBERT),
    "RemBertTokenizer": _sentence_pieces("sentencepiece.model", **_ALBERT),
    "BigBirdTokenizer": _sentence_pieces("spiece.model", **_BIG_BIRD),
    "DebertaV2Tokenizer": _sentence_pieces("spm.model", **_DEBERTA),
    "LlamaTokenizer": _sentence_pieces("tokenizer.model", model_type="bpe", byte_fallback=True, vocab_size=600),
}
