"""Miniatures of the five published models and of a sibling: random weights in the same files and formats.

Needs the ``prepare`` extra, and onnx with onnxruntime, whose quantizer writes QDQ nodes as the published ONNX file has.
"""

from __future__ import annotations

import json
import logging
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

__all__ = [
    "ALIASES",
    "INC",
    "INFERENCE",
    "LABELS",
    "ONNX",
    "PUBLISHED",
    "QUESTIONS",
    "SPARSE",
    "TINY",
    "original",
    "publish",
    "random_weights",
]

ONNX = "Intel/distilbert-base-uncased-finetuned-sst-2-english-int8-static"
INC = f"{ONNX}-inc"
SPARSE = "yujiepan/bert-base-uncased-sst2-int8-unstructured80"
INFERENCE = "typeform/distilbert-base-uncased-mnli"
QUESTIONS = "distilbert/distilbert-base-uncased-distilled-squad"
TINY = "Intel/dynamic_tinybert"
#: The former id of a model that the hub has moved to its owner's name.
ALIASES = {"distilbert-base-uncased-distilled-squad": QUESTIONS}
#: The five by the id that users type, and the file whose weights are served.
PUBLISHED = {
    ONNX: "model.onnx",
    SPARSE: "openvino_model.bin",
    INFERENCE: "pytorch_model.bin",
    "distilbert-base-uncased-distilled-squad": "model.safetensors",
    TINY: "pytorch_model.bin",
}
LABELS = {0: "NEGATIVE", 1: "POSITIVE"}
_INFERENCE_LABELS = {0: "ENTAILMENT", 1: "NEUTRAL", 2: "CONTRADICTION"}
_SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
_LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789.,!?'-:;()"
_WORDS = (
    "the a is was it this of and to in good bad film example about who where what when paris lives ada in "
    "great terrible music food service"
)
_LENGTH = 64
_SPARSITY = 0.8


def original(hub_id: str) -> Any:
    """The PyTorch model that a repository was made from, before quantization."""
    makers: dict[str, Callable[[], Any]] = {
        ONNX: lambda: _distilbert("ForSequenceClassification", id2label=LABELS),
        SPARSE: _sparse,
        INFERENCE: lambda: _distilbert("ForSequenceClassification", id2label=_INFERENCE_LABELS),
        QUESTIONS: lambda: _distilbert("ForQuestionAnswering"),
        TINY: lambda: _bert("ForQuestionAnswering"),
    }
    return makers[ALIASES.get(hub_id, hub_id)]()


def publish(root: Path) -> None:
    """Write all repositories below ``root``, each as ``OWNER/NAME``."""
    logging.getLogger("transformers").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        # Warnings of torch's tracer and of onnxruntime's quantizer.
        warnings.simplefilter("ignore")
        _publish_onnx(root / ONNX)
        _publish_inc(root / INC)
        _publish_sparse(root / SPARSE)
        _publish_inference(root / INFERENCE)
        _publish_questions(root / QUESTIONS)
        _publish_tiny(root / TINY)


def _publish_onnx(directory: Path) -> None:
    model = original(ONNX)
    _write_companions(directory, model, "apache-2.0")
    plain = directory / "plain.onnx"
    _export_onnx(model, plain)
    _quantize_onnx(plain, directory / "model.onnx")
    plain.unlink()


def _publish_inc(directory: Path) -> None:
    import torch

    model = _distilbert("ForSequenceClassification", id2label=LABELS)
    _write_companions(directory, model, "apache-2.0")
    weights = {
        name: torch.quantize_per_tensor(value, 0.02, 0, torch.qint8) if value.ndim > 1 else value
        for name, value in model.state_dict().items()
    }
    torch.save(weights, directory / "pytorch_model.bin")
    (directory / "inc_config.json").write_text(json.dumps({"quantization": {"is_static": True}}))


def _publish_sparse(directory: Path) -> None:
    import nncf
    import openvino as ov
    import torch

    model = original(SPARSE)
    _write_companions(directory, model, None)
    ids = torch.ones(1, 8, dtype=torch.int64)
    example = {"input_ids": ids, "attention_mask": ids, "token_type_ids": ids * 0}
    graph = ov.convert_model(model, example_input=example)
    for port, name in zip([*graph.inputs, graph.output(0)], [*example, "logits"], strict=True):
        port.get_tensor().set_names({name})
    rows = [{name: row.numpy() for name, row in example.items()} | {"input_ids": ids_} for ids_ in _ids(30, 8)]
    graph = nncf.quantize(graph, nncf.Dataset(rows), model_type=nncf.ModelType.TRANSFORMER, subset_size=30)
    ov.save_model(graph, directory / "openvino_model.xml")
    # Files left by the training, which a preparation does not need.
    (directory / "training_args.bin").write_bytes(b"a pickle")
    (directory / "all_results.json").write_text("{}")
    torch.save(model.state_dict(), directory / "pytorch_model.bin")


def _publish_inference(directory: Path) -> None:
    import torch

    model = original(INFERENCE)
    _write_companions(directory, model, None)
    torch.save(model.state_dict(), directory / "pytorch_model.bin")
    (directory / "tf_model.h5").write_bytes(b"tensorflow")


def _publish_questions(directory: Path) -> None:
    import torch

    model = original(QUESTIONS)
    _write_companions(directory, model, "apache-2.0")
    model.save_pretrained(directory)
    torch.save(model.state_dict(), directory / "pytorch_model.bin")
    for name in ("tf_model.h5", "rust_model.ot"):
        (directory / name).write_bytes(b"another framework")


def _publish_tiny(directory: Path) -> None:
    import torch

    model = original(TINY)
    _write_companions(directory, model, "apache-2.0")
    # Only the files of the slow tokenizer, none of the tokenizers library.
    (directory / "tokenizer.json").unlink()
    torch.save(model.state_dict(), directory / "pytorch_model.bin")
    (directory / "training_args.bin").write_bytes(b"a pickle")


def _sparse() -> Any:
    import torch

    model = _bert("ForSequenceClassification", id2label=LABELS)
    with torch.no_grad():
        for layer in model.bert.encoder.modules():
            if isinstance(layer, torch.nn.Linear):
                threshold = layer.weight.abs().flatten().quantile(_SPARSITY)
                layer.weight[layer.weight.abs() < threshold] = 0.0
    return model


def _distilbert(head: str, **fields: Any) -> Any:
    import transformers

    config = transformers.DistilBertConfig(
        vocab_size=len(_vocabulary()),
        dim=32,
        hidden_dim=64,
        n_layers=2,
        n_heads=2,
        max_position_embeddings=_LENGTH,
        architectures=[f"DistilBert{head}"],
        **fields,
    )
    return random_weights(getattr(transformers, f"DistilBert{head}")(config))


def _bert(head: str, **fields: Any) -> Any:
    import transformers

    config = transformers.BertConfig(
        vocab_size=len(_vocabulary()),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=_LENGTH,
        architectures=[f"Bert{head}"],
        **fields,
    )
    return random_weights(getattr(transformers, f"Bert{head}")(config))


def random_weights(model: Any) -> Any:
    """Random weights larger than those of a new model, so that results differ."""
    import torch

    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for name, value in model.named_parameters():
            if "norm" not in name.lower():
                value.copy_(torch.randn(value.shape, generator=generator) * 0.3)
    return model.eval()


def _vocabulary() -> list[str]:
    pieces = [*_LETTERS, *(f"##{letter}" for letter in _LETTERS), *_WORDS.split()]
    return list(dict.fromkeys([*_SPECIAL, *pieces]))


def _write_companions(directory: Path, model: Any, licence: str | None) -> None:
    """Configuration, card and tokenizer as ``transformers`` writes them."""
    from transformers import BertTokenizerFast

    directory.mkdir(parents=True)
    (directory / "vocab.txt").write_text("\n".join(_vocabulary()) + "\n")
    BertTokenizerFast(str(directory / "vocab.txt"), model_max_length=512).save_pretrained(directory)
    model.config.save_pretrained(directory)
    front = f"license: {licence}\n" if licence else ""
    (directory / "README.md").write_text(f"---\nlanguage: en\n{front}---\n# A model in miniature\n")


def _ids(rows: int, length: int) -> Iterator[Any]:
    random = np.random.default_rng(5)
    for _ in range(rows):
        yield random.integers(len(_SPECIAL), len(_vocabulary()), (1, length))


def _export_onnx(model: Any, path: Path) -> None:
    import torch

    ids = torch.ones(2, 8, dtype=torch.int64)
    axes = {0: "batch", 1: "sequence"}
    torch.onnx.export(
        model,
        (ids, ids),
        str(path),
        input_names=["input_ids", "attention_mask"],
        output_names=["logits"],
        dynamic_axes={"input_ids": axes, "attention_mask": axes, "logits": {0: "batch"}},
        dynamo=False,
    )


def _quantize_onnx(plain: Path, target: Path) -> None:
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

    class Rows(CalibrationDataReader):
        def __init__(self) -> None:
            self._rows = ({"input_ids": ids, "attention_mask": np.ones_like(ids)} for ids in _ids(20, 9))

        def get_next(self) -> Any:
            return next(self._rows, None)

    logging.disable(logging.WARNING)
    quantize_static(
        str(plain),
        str(target),
        Rows(),
        quant_format=QuantFormat.QDQ,
        activation_type=QuantType.QUInt8,
        weight_type=QuantType.QInt8,
        op_types_to_quantize=["MatMul", "Gemm"],
    )
    logging.disable(logging.NOTSET)
