"""A checkpoint of random weights: ``python -m benchmarks.random_checkpoint MODEL TARGET [--distilbert | --bert]``.

Speed does not depend on the weights, so a checkpoint that nobody has to download does for a comparison of speeds.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from pathlib import Path
from typing import Any

import torch
import transformers

from examples.demo.texts import generate, read_examples

_SEED = 20261121
_PROBES = 64
#: Wider than what a model is trained from, so that texts differ in what comes out.
_SPREAD = 0.06
_MAX_TOKENS = 512
_LABELS: dict[str, Any] = {"id2label": {0: "NEGATIVE", 1: "POSITIVE"}, "label2id": {"NEGATIVE": 0, "POSITIVE": 1}}


def main() -> int:
    """Write the checkpoint."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.random_checkpoint", description=__doc__)
    parser.add_argument("model", type=Path, help="prepared model whose tokenizer and architecture are taken")
    parser.add_argument("target", type=Path, help="directory to make")
    in_place = parser.add_mutually_exclusive_group()
    in_place.add_argument("--distilbert", action="store_true", help="DistilBERT (6 layers of 768) in its place")
    in_place.add_argument("--bert", action="store_true", help="BERT-base (12 layers of 768) in its place")
    options = parser.parse_args()
    torch.manual_seed(_SEED)
    config: dict[str, Any] = json.loads((options.model / "config.json").read_bytes())
    make = _distilbert if options.distilbert else _bert if options.bert else _same_architecture
    model = make(config)
    options.target.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(options.model / "tokenizer.json", options.target / "tokenizer.json")
    if model.config.architectures is None:
        model.config.architectures = [type(model).__name__]
    if "QuestionAnswering" not in type(model).__name__:
        _balance(model, options.target / "tokenizer.json")
    model.float().save_pretrained(options.target)
    (options.target / "tokenizer_config.json").write_text(json.dumps({"model_max_length": _MAX_TOKENS}))
    return 0


def _distilbert(config: dict[str, Any]) -> Any:
    made = transformers.DistilBertConfig(
        vocab_size=config["vocab_size"],
        dim=768,
        n_layers=6,
        n_heads=12,
        hidden_dim=3072,
        initializer_range=_SPREAD,
        **_LABELS,
    )
    return transformers.DistilBertForSequenceClassification(made)


def _bert(config: dict[str, Any]) -> Any:
    made = transformers.BertConfig(vocab_size=config["vocab_size"], initializer_range=_SPREAD, **_LABELS)
    return transformers.BertForSequenceClassification(made)


def _same_architecture(config: dict[str, Any]) -> Any:
    model_class = getattr(transformers, config["architectures"][0])
    kept = {name: value for name, value in config.items() if name not in {"dtype", "transformers_version"}}
    return model_class(model_class.config_class(**kept))


def _balance(model: Any, tokenizer_path: Path) -> None:
    """Set the head's bias so that each label is as likely: labels that never change would prove nothing."""
    tokenizer = transformers.PreTrainedTokenizerFast(tokenizer_file=str(tokenizer_path), pad_token="[PAD]")  # noqa: S106
    texts = generate(read_examples(), _PROBES)
    inputs = tokenizer(texts, padding=True, return_tensors="pt")
    model.eval()
    with torch.no_grad():
        logits = model(input_ids=inputs["input_ids"], attention_mask=inputs["attention_mask"]).logits
        model.classifier.bias -= logits.median(dim=0).values


if __name__ == "__main__":
    sys.exit(main())
