"""The table of what is refused before any weight is fetched: configuration, files, and what the sentence says."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

__all__ = ["REFUSED", "Refusal", "publish_refused"]


@dataclass(frozen=True)
class Refusal:
    """A repository that is refused.

    Attributes:
        reason: what the message says.
        config: of ``config.json``, beside what every model has; without it there is no such file.
        files: names of its other files.
        arguments: of the command.
    """

    reason: str
    config: Mapping[str, Any] | None = None
    files: Sequence[str] = ("model.safetensors", "tokenizer.json")
    arguments: Sequence[str] = field(default=())


def _classifier(family: str, name: str, **fields: Any) -> dict[str, Any]:
    return {"model_type": family, "architectures": [f"{name}ForSequenceClassification"], **fields}


def _quantized(method: str) -> dict[str, Any]:
    return _classifier("qwen2", "Qwen2", quantization_config={"quant_method": method, "bits": 4})


_BERT = _classifier("bert", "Bert")
_UNNAMED = {str(index): f"LABEL_{index}" for index in range(3)}
_ZERO_SHOT = ("--task", "zero-shot-classification")
_MODERN = "a ModernBERT model reads 8,192 tokens"
#: By hub id.
REFUSED: dict[str, Refusal] = {
    "a/xlnet": Refusal("xlnet is not served: .*; a RoBERTa or DeBERTa-v3 model", _classifier("xlnet", "XLNet")),
    "a/t5": Refusal("t5 is not served: OpenVINO has no export", _classifier("t5", "T5")),
    "a/longformer": Refusal(
        f"longformer is not served: .* windows .*; {_MODERN}", _classifier("longformer", "Longformer")
    ),
    "a/led": Refusal(f"led is not served: .* windows .*; {_MODERN}", _classifier("led", "LED")),
    "a/big_bird": Refusal(f"attention_type original_full only, .*; {_MODERN}", _classifier("big_bird", "BigBird")),
    "a/funnel": Refusal("funnel is not served: it pools", _classifier("funnel", "Funnel")),
    "a/fnet": Refusal("fnet is not served: it has no attention mask", _classifier("fnet", "FNet")),
    "a/mbart": Refusal("mbart is not served: .*; an XLM-RoBERTa", _classifier("mbart", "MBart")),
    "a/xlm": Refusal("xlm is not served: its tokenizer cannot be written", _classifier("xlm", "XLM")),
    "a/canine": Refusal("canine is not served: it reads characters", _classifier("canine", "Canine")),
    "a/layoutlm": Refusal("layoutlm is not served: it reads where words are", _classifier("layoutlm", "LayoutLM")),
    "a/gemma": Refusal("gemma is not among the families that are served for text-c", _classifier("gemma", "Gemma")),
    "a/qwen-questions": Refusal(
        "qwen2 is not among the families that are served for question-answering: .*electra",
        {"model_type": "qwen2", "architectures": ["Qwen2ForQuestionAnswering"]},
    ),
    "a/own-code": Refusal(
        r"new needs code of its publisher's \(auto_map in config.json\), which is never run",
        _classifier("new", "New", auto_map={"AutoConfig": "configuration.NewConfig"}),
    ),
    "a/masked": Refusal(
        "architecture BertForMaskedLM is not supported", {"model_type": "bert", "architectures": ["BertForMaskedLM"]}
    ),
    "a/writer": Refusal(
        "architecture GPT2LMHeadModel is not supported", {"model_type": "gpt2", "architectures": ["GPT2LMHeadModel"]}
    ),
    "a/reader-GPTQ": Refusal("quantized by gptq .*its sibling can be served: .*prepare a/reader$", _quantized("gptq")),
    "a/reader-awq": Refusal("quantized by awq .*its sibling can be served: .*prepare a/reader$", _quantized("awq")),
    "a/four-bits": Refusal("quantized by bitsandbytes .*prepare the model that it was", _quantized("bitsandbytes")),
    "a/adapter": Refusal(
        r"it is an adapter \(adapter_config.json\) without the model that it adapts",
        files=("adapter_config.json", "adapter_model.safetensors"),
    ),
    "a/embeddings": Refusal(
        r"a pipeline of sentence-transformers \(modules.json\), which makes embeddings",
        {"model_type": "bert", "architectures": ["BertModel"]},
        ("modules.json", "1_Pooling/config.json", "model.safetensors"),
    ),
    "a/set-fit": Refusal(
        "a SetFit model, whose head is a pickle",
        {"model_type": "mpnet", "architectures": ["MPNetModel"]},
        ("modules.json", "model_head.pkl", "model.safetensors"),
    ),
    "a/gguf": Refusal(r"weights are in GGUF \(model-q4.gguf\)", _BERT, ("model-q4.gguf",)),
    "a/tensorflow": Refusal(r"TensorFlow's alone \(tf_model.h5\)", _BERT, ("tf_model.h5",)),
    "a/flax": Refusal(r"Flax's alone \(flax_model.msgpack\)", _BERT, ("flax_model.msgpack",)),
    "a/folder": Refusal(r"ONNX graphs are in a folder \(onnx/model.onnx\)", _BERT, ("onnx/model.onnx",)),
    "a/pickles": Refusal(
        "weights are several pickles",
        _BERT,
        ("pytorch_model.bin.index.json", "pytorch_model-00001-of-00002.bin", "pytorch_model-00002-of-00002.bin"),
    ),
    "a/shard-missing": Refusal(
        "it has model.safetensors.index.json but no model-00002-of-00002.safetensors",
        _BERT,
        ("model.safetensors.index.json", "model-00001-of-00002.safetensors"),
    ),
    "a/no-length": Refusal("does not say how many tokens", {**_BERT, "max_position_embeddings": None}),
    "a/unnamed": Refusal(
        "none of the labels LABEL_0, LABEL_1, LABEL_2 is entailment; say with --entailment LABEL which",
        {**_BERT, "id2label": _UNNAMED},
        arguments=_ZERO_SHOT,
    ),
    "a/misnamed": Refusal(
        "none of the labels LABEL_0, LABEL_1, LABEL_2 is yes",
        {**_BERT, "id2label": _UNNAMED},
        arguments=("--entailment", "yes"),
    ),
    "a/questions": Refusal(
        "is for question-answering: --entailment and --contradiction are for zero-shot",
        {"model_type": "bert", "architectures": ["BertForQuestionAnswering"]},
        arguments=("--entailment", "yes"),
    ),
}


def publish_refused(root: Path) -> None:
    """Write all repositories below ``root``. Their weights would not be readable."""
    for hub_id, refusal in REFUSED.items():
        directory = root / hub_id
        for name in refusal.files:
            (directory / name).parent.mkdir(parents=True, exist_ok=True)
            (directory / name).write_bytes(b"{}")
        if refusal.config is not None:
            content = {"max_position_embeddings": 64, **refusal.config}
            (directory / "config.json").write_text(json.dumps(content), encoding="utf-8")
