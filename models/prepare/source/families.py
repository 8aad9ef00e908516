"""The families of models: which are served, who exports them, and why the others are not."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum, auto
from typing import Any

from producer.contract import TaskName

__all__ = ["Exporter", "exporter_of", "name_problem"]


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
    "megatron-bert": Exporter.TRACE,
    "mobilebert": Exporter.OPTIMUM,
    "modernbert": Exporter.TRACE,
    "mpnet": Exporter.OPTIMUM,
    "rembert": Exporter.OPTIMUM,
    "roberta": Exporter.OPTIMUM,
    "roberta-prelayernorm": Exporter.TRACE,
    "roformer": Exporter.OPTIMUM,
    "squeezebert": Exporter.OPTIMUM,
    "xlm-roberta": Exporter.OPTIMUM,
    "xlm-roberta-xl": Exporter.TRACE,
}
_SEQ2SEQ = {"bart": Exporter.OPTIMUM, "mbart": Exporter.OPTIMUM}
_DECODERS = dict.fromkeys(("llama", "mistral", "opt", "qwen2", "qwen3"), Exporter.OPTIMUM)
_SERVED = {
    TaskName.TEXT_CLASSIFICATION: _ENCODERS | _SEQ2SEQ | _DECODERS,
    TaskName.ZERO_SHOT_CLASSIFICATION: _ENCODERS | _SEQ2SEQ | _DECODERS,
    TaskName.QUESTION_ANSWERING: _ENCODERS,
}
_LAST = "its head reads the last token, and GPT-2 has no padding token by which to find it"
_LONG = "a ModernBERT model reads 8,192 tokens"
_RELATIVE = "its configuration does not say how many tokens it reads"
_BOXES = "it reads the positions of words on a page beside the words"
_ENCODER = "a RoBERTa or DeBERTa-v3 model for the same task is served"
#: Why a family is not served, and what is served instead where there is such a thing.
_REFUSED = {
    "bigbird_pegasus": ("its attention depends on the length of the input", _LONG),
    "canine": ("it reads characters instead of tokens", "an XLM-RoBERTa model for the same task is served"),
    "fnet": ("it has no attention mask, so padding would change its answers", _ENCODER),
    "funnel": ("its pooling depends on the length of the input", _ENCODER),
    "gpt2": (_LAST, "a Qwen2 or Llama model for the same task is served, as are encoders"),
    "layoutlm": (_BOXES, ""),
    "layoutlmv2": (_BOXES, ""),
    "layoutlmv3": (_BOXES, ""),
    "led": ("it pads its inputs to windows of attention, which an export fixes to one length", _LONG),
    "lilt": (_BOXES, ""),
    "longformer": ("it pads its inputs to windows of attention, which an export fixes to one length", _LONG),
    "luke": ("it reads entities beside the words", _ENCODER),
    "markuplm": ("it reads the paths of words in a page beside the words", ""),
    "mra": ("its attention is approximated by CUDA kernels", _ENCODER),
    "mt5": (_RELATIVE, "an mDeBERTa-v3 or XLM-RoBERTa model for the same task is served"),
    "nystromformer": ("its attention is approximated for one length of input", _LONG),
    "openai-gpt": (_LAST, _ENCODER),
    "perceiver": ("it reads bytes instead of tokens", _ENCODER),
    "reformer": ("its attention depends on the length of the input and on chance", _LONG),
    "t5": (_RELATIVE, _ENCODER),
    "tapas": ("it reads rows and columns of a table beside the words", ""),
    "umt5": (_RELATIVE, "an mDeBERTa-v3 or XLM-RoBERTa model for the same task is served"),
    "xlnet": (
        "it reads texts that are padded on the left, and has no limit of length",
        _ENCODER,
    ),
    "yoso": ("its attention is approximated by CUDA kernels", _ENCODER),
}


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
