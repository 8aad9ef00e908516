"""Text classification as the ``text-classification`` pipeline of ``transformers`` 4.57 does it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from models.engine import EngineOptions, Sequences
from models.pipelines.base import Outcome, Pipeline
from models.store import StoredModel
from producer.contract import (
    ErrorCode,
    InvalidRequest,
    LabelScore,
    Request,
    TextClassificationRequest,
)

__all__ = ["TextClassificationPipeline"]

Scores = npt.NDArray[np.float64]


class TextClassificationPipeline(Pipeline):
    """Labels texts, or pairs of texts, with the labels that the model was trained on."""

    def __init__(self, model: StoredModel, options: EngineOptions) -> None:
        super().__init__(model, options)
        labels = self.config["id2label"]
        self._labels: list[str] = [labels[str(index)] for index in range(len(labels))]
        self._default_function = _default_function(self.config, len(self._labels))

    def answer(self, requests: Sequence[Request]) -> list[list[Outcome]]:
        """See :meth:`Pipeline.answer`; an outcome is a list of :class:`LabelScore`, best first."""
        ours = [request for request in requests if isinstance(request, TextClassificationRequest)]
        if len(ours) != len(requests):
            raise TypeError("only text-classification requests belong here")
        items = [(request, item) for request in ours for item in request.items]
        encodings = self.tokenizer.encode_batch_fast(
            [item.text if item.text_pair is None else (item.text, item.text_pair) for _, item in items]
        )
        errors = {
            index: _too_many_tokens(self.max_length)
            for index, ((request, _), encoding) in enumerate(zip(items, encodings, strict=True))
            if encoding.overflowing and not request.truncation
        }
        logits = self._logits([e for index, e in enumerate(encodings) if index not in errors])
        rows = iter(logits)
        flat = iter(
            [
                errors[index] if index in errors else self._rank(next(rows), request)
                for index, (request, _) in enumerate(items)
            ]
        )
        return [[next(flat) for _ in request.items] for request in ours]

    def _logits(self, encodings: Sequence[object]) -> Scores:
        """Logits of shape (sequences, labels), in the order of ``encodings``."""
        sequences = Sequences([e.ids for e in encodings], [e.type_ids for e in encodings])  # type: ignore[attr-defined]
        logits = np.empty((len(sequences), len(self._labels)), dtype=np.float64)
        for batch in self.engine.run(sequences):
            logits[batch.indices] = batch.outputs[0]
        return logits

    def _rank(self, logits: Scores, request: TextClassificationRequest) -> list[LabelScore]:
        scores = _FUNCTIONS[request.function_to_apply or self._default_function](logits)
        best_first = np.argsort(-scores, kind="stable")[: request.top_k]
        return [{"label": self._labels[index], "score": float(scores[index])} for index in best_first]


def _default_function(config: dict[str, object], labels: int) -> str:
    """What ``transformers`` applies when nobody says: by the head's problem type, or its number of labels."""
    problem = config.get("problem_type")
    if problem == "multi_label_classification" or labels == 1:
        return "sigmoid"
    if problem == "single_label_classification" or labels > 1:
        return "softmax"
    return str(config.get("function_to_apply") or "none")


def _sigmoid(logits: Scores) -> Scores:
    return 1.0 / (1.0 + np.exp(-logits))


def _softmax(logits: Scores) -> Scores:
    powers = np.exp(logits - logits.max())
    scores: Scores = powers / powers.sum()
    return scores


def _none(logits: Scores) -> Scores:
    return logits


_FUNCTIONS = {"sigmoid": _sigmoid, "softmax": _softmax, "none": _none}


def _too_many_tokens(limit: int) -> InvalidRequest:
    return InvalidRequest.of(
        ErrorCode.TOO_MANY_TOKENS,
        f"inputs: the text is longer than the {limit} tokens that the model reads, and truncation is off",
        field="inputs",
        limit=limit,
    )
