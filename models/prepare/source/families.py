"""The families of models: which are served, who exports them, and why the others are not."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum, auto
from typing import Any

from producer.contract import TaskName

__all__ = ["Exporter", "exporter_of", "lacks_padding", "name_problem"]


class Exporter(Enum):
    """What makes the FP32 graph of a PyTorch model."""

    OPTIMUM = auto()
    """optimum-intel, which knows the family."""
    TRACE = auto()
    """OpenVINO's own tracing of the torch model, for families that optimum-intel does not know."""


#: The families by ``model_type``. Every one is compared with transformers by a test.
_ENCODERS = {
    "albert": Exporter.OPTIMUM,
    "bert": Exporter.OPTIMUM,
    "big_bird": Exporter.TRACE,
    "camembert": Exporter.OPTIMUM,
    "convbert": Exporter.OPTIMUM,
    "data2vec-text": Exporter.OPTIMUM,
    "deberta": Exporter.OPTIMUM,
    "deberta-v2": Exporter.OPTIMUM,
    "distilbert": Exporter.OPTIMUM,
    "electra": Exporter.OPTIMUM,
    "ernie": Exporter.TRACE,
    "ibert": Exporter.OPTIMUM,
    "megatron-bert": Exporter.TRACE,
    "mobilebert": Exporter.OPTIMUM,
    "modernbert": Exporter.TRACE,
    "mpnet": Exporter.OPTIMUM,
    "rembert": Exporter.OPTIMUM,
    "roberta": Exporter.OPTIMUM,
    "roberta-prelayernorm": Exporter.TRACE,
    "squeezebert": Exporter.OPTIMUM,
    "xlm-roberta": Exporter.OPTIMUM,
    "xlm-roberta-xl": Exporter.TRACE,
}
_SEQ2SEQ = {"bart": Exporter.OPTIMUM}
_DECODERS = dict.fromkeys(("gpt2", "llama", "mistral", "opt", "qwen2", "qwen3"), Exporter.OPTIMUM)
_SERVED = {
    TaskName.TEXT_CLASSIFICATION: _ENCODERS | _SEQ2SEQ | _DECODERS,
    TaskName.ZERO_SHOT_CLASSIFICATION: _ENCODERS | _SEQ2SEQ | _DECODERS,
    TaskName.QUESTION_ANSWERING: _ENCODERS | _SEQ2SEQ,
}
_LONG = "a ModernBERT model reads 8,192 tokens"
_ENCODER = "a RoBERTa or DeBERTa-v3 model for the same task is served"
_MULTILINGUAL = "an XLM-RoBERTa or mDeBERTa-v3 model for the same task is served"
_WINDOWS = "it pads its inputs to windows of attention, which an export fixes to one length"
_BY_LENGTH = "its attention depends on the length of the input, and an export keeps one kind of it"
_NOT_EXPORTED = "OpenVINO has no export of its classification head"
_OWN_TOKENIZER = "its tokenizer cannot be written as tokenizer.json"
_PAGES = "it reads where words are on a page beside the words"
#: Why a family is not served, and what is served instead where there is such a thing.
_REFUSED = {
    "bigbird_pegasus": (_BY_LENGTH, _LONG),
    "canine": ("it reads characters instead of tokens", _MULTILINGUAL),
    "flaubert": (_OWN_TOKENIZER, "a CamemBERT model for the same task is served"),
    "fnet": ("it has no attention mask, so padding would change its answers", _ENCODER),
    "funnel": ("it pools its inputs by their length", _ENCODER),
    "layoutlm": (_PAGES, ""),
    "layoutlmv2": (_PAGES, ""),
    "layoutlmv3": (_PAGES, ""),
    "led": (_WINDOWS, _LONG),
    "lilt": (_PAGES, ""),
    "longformer": (_WINDOWS, _LONG),
    "luke": ("it reads entities beside the words", _ENCODER),
    "markuplm": (_PAGES, ""),
    "mbart": ("OpenVINO cannot run its export for a batch of any size", _MULTILINGUAL),
    "mt5": (_NOT_EXPORTED, _MULTILINGUAL),
    "nystromformer": ("its attention is approximated for one length of input", _LONG),
    "openai-gpt": (_NOT_EXPORTED, _ENCODER),
    "perceiver": ("it reads bytes instead of tokens", _ENCODER),
    "reformer": (_BY_LENGTH, _LONG),
    "roformer": (_OWN_TOKENIZER, _MULTILINGUAL),
    "t5": (_NOT_EXPORTED, _ENCODER),
    "tapas": ("it reads rows and columns of a table beside the words", ""),
    "umt5": (_NOT_EXPORTED, _MULTILINGUAL),
    "xlm": (_OWN_TOKENIZER, _MULTILINGUAL),
    "xlnet": (_NOT_EXPORTED, _ENCODER),
}


def lacks_padding(config: Mapping[str, Any]) -> bool:
    """Whether the head takes the last token of a row, since the model has no padding token by which to find another."""
    return config.get("model_type") in _DECODERS.keys() - {"opt"} and config.get("pad_token_id") is None


def exporter_of(config: Mapping[str, Any], task: TaskName) -> Exporter | None:
    """What exports a model of this configuration; None if its family is not served."""
    return _SERVED[task].get(str(config.get("model_type")))


def name_problem(config: Mapping[str, Any], task: TaskName) -> str:
    """Why a PyTorch model of this configuration is not served, as a sentence without its end; empty if it is.

    Args:
        config: the model's ``config.json``.
        task: what it is to be served for.
    """
    family = str(config.get("model_type"))
    if family in _REFUSED:
        reason, sibling = _REFUSED[family]
        return f"{family} is not served: {reason}{f'; {sibling}' if sibling else ''}"
    if family == "big_bird" and config.get("attention_type", "block_sparse") != "original_full":
        return (
            "big_bird is served with attention_type original_full only, since block_sparse depends on the length of "
            f"the input; {_LONG}"
        )
    if exporter_of(config, task) is not None:
        return ""
    if "auto_map" in config:
        return f"{family} needs code of its publisher's (auto_map in config.json), which is never run"
    served = ", ".join(sorted(_SERVED[task]))
    return f"{family} is not among the families that are served for {task.value}: {served}"
