"""Text in, label out, with a tokenizer and OpenVINO alone, so that it can say what ours costs.

Ours is only the change of the graph that another arithmetic than INT8 needs: the bound is what this CPU does best.

Import it in a process that has been pinned: OpenVINO's threads take the mask that they find.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

import openvino as ov
from tokenizers import Encoding, Tokenizer

from benchmarks.workloads import LABELS, Item
from models.engine.arithmetic import Arithmetic
from models.engine.dequantize import dequantize
from producer.contract import TaskName

__all__ = ["WINDOW", "BareModel", "Shape"]

#: Items that are sorted by length together: as many as sixteen bulk messages hold.
WINDOW = 1024
_TEMPLATE = "This example is {}."
_MAX_TOKENS = 512
_MAX_ANSWER_TOKENS = 15

Logits = npt.NDArray[np.float32]


class Shape(NamedTuple):
    """How batches are cut: most padded tokens of one, and what lengths are rounded up to."""

    tokens: int
    multiple: int


class BareModel:
    """One compiled model on the cores of this process.

    Args:
        directory: ``openvino_model.xml``, ``tokenizer.json`` and ``config.json``.
        task: what is asked.
        arithmetic: of the matrix products.
        threads: threads that compute.
    """

    def __init__(self, directory: Path, task: TaskName, arithmetic: Arithmetic, threads: int = 1) -> None:
        self._task = task
        self._labels = _labels(directory)
        self._tokenizer = Tokenizer.from_file(str(directory / "tokenizer.json"))
        self._tokenizer.no_padding()
        self._tokenizer.enable_truncation(_MAX_TOKENS)
        self.compiled = _compile(directory / "openvino_model.xml", arithmetic, threads)
        self._inputs = [port.any_name for port in self.compiled.inputs]
        self._request = self.compiled.create_infer_request()
        self.shape = Shape(512, 4)

    def answer(self, items: Sequence[Item]) -> list[str]:
        """The best label, or the words of the answer, of each item."""
        answers: list[str] = []
        for start in range(0, len(items), WINDOW):
            window = items[start : start + WINDOW]
            encodings = self._tokenize(window)
            answers += self._read(window, encodings, self._compute(encodings))
        return answers

    def _tokenize(self, items: Sequence[Item]) -> list[Encoding]:
        if self._task is TaskName.ZERO_SHOT_CLASSIFICATION:
            pairs = [(item, _TEMPLATE.format(label)) for item in items for label in LABELS]
            return list(self._tokenizer.encode_batch_fast(pairs))
        if self._task is TaskName.QUESTION_ANSWERING:
            # Only this one keeps the characters of each token.
            return list(self._tokenizer.encode_batch(list(items)))
        return list(self._tokenizer.encode_batch_fast(list(items)))

    def _compute(self, encodings: Sequence[Encoding]) -> list[tuple[Logits, ...]]:
        ids = [encoding.ids for encoding in encodings]
        found: list[tuple[Logits, ...]] = [()] * len(ids)
        for members, length in self._batches([len(one) for one in ids]):
            arrays = {name: np.zeros((len(members), length), dtype=np.int64) for name in self._inputs}
            for row, index in enumerate(members):
                size = len(ids[index])
                arrays["input_ids"][row, :size] = ids[index]
                arrays["attention_mask"][row, :size] = 1
                if "token_type_ids" in arrays and self._task is not TaskName.TEXT_CLASSIFICATION:
                    arrays["token_type_ids"][row, :size] = encodings[index].type_ids
            results = self._request.infer(arrays, share_inputs=True, share_outputs=True)
            outputs = [results[index].copy() for index in range(len(results))]
            for row, index in enumerate(members):
                found[index] = tuple(output[row] for output in outputs)
        return found

    def _batches(self, lengths: Sequence[int]) -> list[tuple[list[int], int]]:
        """Indices and padded length of each batch, longest last."""
        tokens, multiple = self.shape
        batches: list[tuple[list[int], int]] = []
        members: list[int] = []
        padded = 0
        for index in sorted(range(len(lengths)), key=lengths.__getitem__):
            length = -(-lengths[index] // multiple) * multiple
            if members and (len(members) + 1) * length > tokens:
                batches.append((members, padded))
                members = []
            members.append(index)
            padded = length
        return [*batches, (members, padded)] if members else batches

    def _read(
        self, items: Sequence[Item], encodings: Sequence[Encoding], outputs: Sequence[tuple[Logits, ...]]
    ) -> list[str]:
        if self._task is TaskName.QUESTION_ANSWERING:
            return [_span(item[1], e, *o[:2]) for item, e, o in zip(items, encodings, outputs, strict=True)]
        logits = np.array([output[0] for output in outputs])
        if self._task is TaskName.ZERO_SHOT_CLASSIFICATION:
            entailed = logits[:, self._labels.index("entailment")].reshape(-1, len(LABELS))
            return [LABELS[index] for index in entailed.argmax(axis=-1)]
        return [self._labels[index] for index in logits.argmax(axis=-1)]


def _compile(path: Path, arithmetic: Arithmetic, threads: int) -> ov.CompiledModel:
    core = ov.Core()
    graph = core.read_model(path)
    options: dict[str, Any] = {"INFERENCE_NUM_THREADS": threads, "NUM_STREAMS": 1, "ENABLE_CPU_PINNING": False}
    if arithmetic is Arithmetic.INT8:
        return core.compile_model(graph, "CPU", {**options, "INFERENCE_PRECISION_HINT": "f32"})
    dequantize(graph, arithmetic)
    # Otherwise OpenVINO quantizes the activations again, on the fly.
    options |= {"INFERENCE_PRECISION_HINT": arithmetic.value, "DYNAMIC_QUANTIZATION_GROUP_SIZE": 0}
    return core.compile_model(graph, "CPU", options)


def _labels(directory: Path) -> list[str]:
    config: dict[str, Any] = json.loads((directory / "config.json").read_bytes())
    names = config.get("id2label") or {"0": "LABEL_0", "1": "LABEL_1"}
    return [
        names[str(index)].lower() if "entailment" in names.values() else names[str(index)]
        for index in range(len(names))
    ]


def _span(context: str, encoding: Encoding, start: Logits, end: Logits) -> str:
    """The best span of up to fifteen tokens of the context, widened to whole words."""
    places = np.array([index for index, part in enumerate(encoding.sequence_ids) if part == 1])
    if not len(places):
        return ""
    first_scores, last_scores = start[places], end[places]
    sums = first_scores[:, None] + last_scores[None, :]
    rows, columns = np.indices(sums.shape)
    sums[(columns < rows) | (columns - rows >= _MAX_ANSWER_TOKENS)] = -np.inf
    first, last = (int(places[index]) for index in np.unravel_index(int(sums.argmax()), sums.shape))
    begin = encoding.word_to_chars(encoding.word_ids[first], 1)
    finish = encoding.word_to_chars(encoding.word_ids[last], 1)
    return context[begin[0] : finish[1]]
