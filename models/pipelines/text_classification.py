"""Text classification as the ``text-classification`` pipeline of ``transformers`` 4.57 does it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from models.engine.engine import Engine, EngineOptions, SequenceOutput, TokenSequence
from models.pipelines.base import EncodedItem, Pipeline
from models.pipelines.classification_head import SCORE_FUNCTIONS, Scores, label_names, logits_index, stack_logits
from models.store import StoredModel
from producer.contract import ErrorCode, InvalidRequest, LabelScore, RequestError, TextClassificationRequest

__all__ = ["TextClassificationPipeline"]


@dataclass(frozen=True)
class _Text(EncodedItem):
    """One text or pair, which is one sequence."""

    function: str
    top_k: int | None


class TextClassificationPipeline(Pipeline[TextClassificationRequest, _Text, list[LabelScore]]):
    """Classifies texts, or pairs of texts, by the labels that the model was trained on."""

    request_type = TextClassificationRequest

    def __init__(self, model: StoredModel, options: EngineOptions, engine: Engine | None = None) -> None:
        super().__init__(model, options, engine)
        # The longer part of a pair is truncated first, as with ``truncation=True`` in transformers.
        self.tokenizer.enable_truncation(self.max_length, direction=model.manifest.feeding.truncation_side.value)
        self._labels = label_names(self.config)
        self._logits = logits_index(self.engine.output_names)
        self._default_function = _default_function(self.config, len(self._labels))

    def preprocess(self, requests: Sequence[TextClassificationRequest]) -> list[list[_Text | RequestError]]:
        """See :meth:`Pipeline.preprocess`. All texts are tokenized in one call."""
        texts = [item for request in requests for item in request.items]
        encodings = iter(
            self.tokenizer.encode_batch_fast(
                [item.text if item.text_pair is None else (item.text, item.text_pair) for item in texts]
            )
        )
        return [[self._item(request, next(encodings)) for _ in request.items] for request in requests]

    def postprocess(
        self, items: Sequence[_Text], outputs: Sequence[Sequence[SequenceOutput]]
    ) -> list[list[LabelScore]]:
        """See :meth:`Pipeline.postprocess`. A result is a list of :class:`LabelScore`, best first."""
        if not items:
            return []
        logits = stack_logits(outputs, self._logits)
        functions = [item.function for item in items]
        scores = np.empty_like(logits)
        for function in set(functions):
            rows = [index for index, name in enumerate(functions) if name == function]
            scores[rows] = SCORE_FUNCTIONS[function](logits[rows])
        orders = np.argsort(-scores, axis=-1, kind="stable")
        return [self._best(row, order[: item.top_k]) for item, row, order in zip(items, scores, orders, strict=True)]

    def _item(self, request: TextClassificationRequest, encoding: Any) -> _Text | RequestError:
        if encoding.overflowing and not request.truncation:
            return _too_many_tokens(self.max_length)
        return _Text(
            [TokenSequence(encoding.ids, encoding.type_ids)],
            request.function_to_apply or self._default_function,
            request.top_k,
        )

    def _best(self, scores: Scores, order: Any) -> list[LabelScore]:
        return [{"label": self._labels[index], "score": float(scores[index])} for index in order]


def _default_function(config: Mapping[str, Any], labels: int) -> str:
    """The function that ``transformers`` applies by default: by the head's problem type, or its number of labels."""
    problem = config.get("problem_type")
    if problem == "regression":
        return "none"
    if problem == "multi_label_classification" or labels == 1:
        return "sigmoid"
    return "softmax"


def _too_many_tokens(limit: int) -> InvalidRequest:
    return InvalidRequest.of(
        ErrorCode.TOO_MANY_TOKENS,
        f"inputs: the text is longer than the model's limit of {limit} tokens, and truncation is off",
        field="inputs",
        limit=limit,
    )
