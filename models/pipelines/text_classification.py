"""Text classification as the ``text-classification`` pipeline of ``transformers`` 4.57 does it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from models.engine.engine import Engine, EngineOptions, SequenceOutput, TokenSequence
from models.pipelines.base import EncodedItem, Pipeline
from models.pipelines.classification_head import SCORE_FUNCTIONS, Scores, logits_index, stack_logits
from models.pipelines.labels import label_names
from models.pipelines.text_windows import WindowBudget, combine_scores, split_encoding, window_length
from models.store import StoredModel
from producer.contract import (
    ErrorCode,
    InvalidRequest,
    LabelScore,
    RequestError,
    TextClassificationRequest,
    TextInput,
)

__all__ = ["TextClassificationPipeline"]


@dataclass(frozen=True)
class _Text(EncodedItem):
    """One text or pair: one sequence, or one per window."""

    function: str
    request: TextClassificationRequest


class TextClassificationPipeline(Pipeline[TextClassificationRequest, _Text, list[LabelScore]]):
    """Classifies texts, or pairs of texts, by the labels that the model was trained on."""

    request_type = TextClassificationRequest

    def __init__(self, model: StoredModel, options: EngineOptions, engine: Engine | None = None) -> None:
        super().__init__(model, options, engine)
        # The longer part of a pair is truncated first, as with ``truncation=True`` in transformers.
        self.tokenizer.enable_truncation(self.max_length, direction=model.manifest.feeding.truncation_side.value)
        self._labels = label_names(self.config)
        self._logits = logits_index(self.engine.output_names)
        self.score_function = _default_function(self.config, len(self._labels))

    def preprocess(self, requests: Sequence[TextClassificationRequest]) -> list[list[_Text | RequestError]]:
        """See :meth:`Pipeline.preprocess`. All texts are tokenized in one call."""
        texts = [_as_tokenized(item) for request in requests for item in request.items]
        encodings = iter(self.tokenizer.encode_batch_fast(texts))
        return [self._items(request, encodings) for request in requests]

    def postprocess(
        self, items: Sequence[_Text], outputs: Sequence[Sequence[SequenceOutput]]
    ) -> list[list[LabelScore]]:
        """See :meth:`Pipeline.postprocess`. A result is a list of :class:`LabelScore`, best first."""
        if not items:
            return []
        logits = stack_logits(outputs, self._logits)
        functions = [item.function for item in items for _ in item.sequences]
        scores = np.empty_like(logits)
        for function in set(functions):
            rows = [index for index, name in enumerate(functions) if name == function]
            scores[rows] = SCORE_FUNCTIONS[function](logits[rows])
        ends = np.cumsum([len(item.sequences) for item in items])
        return [
            self._result(item, scores[end - len(item.sequences) : end]) for item, end in zip(items, ends, strict=True)
        ]

    def logit_groups(self, item: _Text, outputs: Sequence[SequenceOutput]) -> list[Scores]:
        """See :meth:`Pipeline.logit_groups`. The logits of all labels are one group, in each window."""
        return [logits for _, logits in zip(item.sequences, stack_logits([outputs], self._logits), strict=True)]

    def _items(self, request: TextClassificationRequest, encodings: Iterator[Any]) -> list[_Text | RequestError]:
        budget = WindowBudget(len(request.items))
        return [self._item(request, text, next(encodings), budget) for text in request.items]

    def _item(
        self, request: TextClassificationRequest, text: TextInput, encoding: Any, budget: WindowBudget
    ) -> _Text | RequestError:
        sequences = [TokenSequence(encoding.ids, encoding.type_ids)]
        if encoding.overflowing and not request.truncation:
            return _too_many_tokens(self.max_length)
        try:
            longest = window_length(request, len(encoding.ids), self.max_length)
            if request.truncation == "windows" and (encoding.overflowing or len(encoding.ids) > longest):
                sequences = self._windows(request, text, budget)
        except InvalidRequest as error:
            return error
        return _Text(sequences, request.function_to_apply or self.score_function, request)

    def _windows(
        self, request: TextClassificationRequest, text: TextInput, budget: WindowBudget
    ) -> list[TokenSequence]:
        """Split a long text, or the longer text of a pair.

        Raises:
            InvalidRequest: the shorter text, a parameter or the number of windows makes that impossible.
        """
        sequences = split_encoding(self._encode_whole(text), request, self.max_length)
        budget.take(len(sequences))
        return sequences

    def _encode_whole(self, text: TextInput) -> Any:
        """Tokenize without truncation."""
        truncation = self.tokenizer.truncation
        self.tokenizer.no_truncation()
        try:
            (encoding,) = self.tokenizer.encode_batch_fast([_as_tokenized(text)])
        finally:
            self.tokenizer.enable_truncation(**truncation)
        return encoding

    def _result(self, item: _Text, scores: Scores) -> list[LabelScore]:
        combined = combine_scores(scores, item.request.combine_windows, competing=item.function == "softmax")
        best_first = np.argsort(-combined, kind="stable")[: item.request.top_k]
        return [{"label": self._labels[index], "score": float(combined[index])} for index in best_first]


def _as_tokenized(item: TextInput) -> str | tuple[str, str]:
    return item.text if item.text_pair is None else (item.text, item.text_pair)


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
