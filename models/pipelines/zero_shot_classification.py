"""Zero-shot classification as the ``zero-shot-classification`` pipeline of ``transformers`` 4.57 does it.

Each label becomes a hypothesis about the text, and a model trained on natural language inference says whether the text
entails it (Yin et al. 2019, https://arxiv.org/abs/1909.00161).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from models.engine.engine import Engine, EngineOptions, SequenceOutput
from models.pipelines.base import EncodedItem, Pipeline
from models.pipelines.classification_head import Scores, label_names, logits_index, softmax, stack_logits
from models.pipelines.entailment import contradiction_index, entailment_index
from models.pipelines.pair_template import PairTemplate
from models.store import StoredModel
from models.store.feeding_record import Side
from producer.contract import (
    ErrorCode,
    InvalidRequest,
    RequestError,
    ZeroShotClassificationRequest,
    ZeroShotResult,
)

__all__ = ["ZeroShotClassificationPipeline"]


@dataclass(frozen=True)
class _Text(EncodedItem):
    """One text, as one sequence per label."""

    text: str
    labels: list[str]
    multi_label: bool


class ZeroShotClassificationPipeline(Pipeline[ZeroShotClassificationRequest, _Text, ZeroShotResult]):
    """Classifies texts by labels that come with the request."""

    request_type = ZeroShotClassificationRequest

    def __init__(self, model: StoredModel, options: EngineOptions, engine: Engine | None = None) -> None:
        super().__init__(model, options, engine)
        self._logits = logits_index(self.engine.output_names)
        names = label_names(self.config)
        self._entailment = entailment_index(names)
        self._contradiction = contradiction_index(names, self._entailment)
        self._pairs = PairTemplate(self.tokenizer)

    def preprocess(self, requests: Sequence[ZeroShotClassificationRequest]) -> list[list[_Text | RequestError]]:
        """See :meth:`Pipeline.preprocess`. Each text and each hypothesis is tokenized once, however often it occurs."""
        hypotheses = [request.hypotheses for request in requests]
        texts = {text for request in requests for text in request.items}
        parts = list(texts.union(*hypotheses))
        encodings = self.tokenizer.encode_batch_fast(parts, add_special_tokens=False)
        ids = {part: encoding.ids for part, encoding in zip(parts, encodings, strict=True)}
        return [
            [self._item(request, text, ids[text], [ids[hypothesis] for hypothesis in own]) for text in request.items]
            for request, own in zip(requests, hypotheses, strict=True)
        ]

    def postprocess(self, items: Sequence[_Text], outputs: Sequence[Sequence[SequenceOutput]]) -> list[ZeroShotResult]:
        """See :meth:`Pipeline.postprocess`. A result is a :class:`ZeroShotResult`."""
        if not items:
            return []
        logits = stack_logits(outputs, self._logits)
        # A single label, or each independently of the others: entailment against contradiction.
        independent = softmax(logits[:, [self._contradiction, self._entailment]])[:, 1]
        entailment = logits[:, self._entailment]
        ends = np.cumsum([len(item.labels) for item in items])
        results: list[ZeroShotResult] = []
        for item, end in zip(items, ends, strict=True):
            rows = slice(end - len(item.labels), end)
            is_independent = item.multi_label or len(item.labels) == 1
            results.append(_ranked(item, independent[rows] if is_independent else softmax(entailment[rows])))
        return results

    def _item(
        self, request: ZeroShotClassificationRequest, text: str, premise: list[int], hypotheses: Sequence[list[int]]
    ) -> _Text | RequestError:
        max_tokens = self.max_length - self._pairs.special_tokens
        longest = max(map(len, hypotheses))
        if longest >= max_tokens and longest + len(premise) > max_tokens:
            return InvalidRequest.of(
                ErrorCode.TOO_MANY_TOKENS,
                f"candidate_labels: a hypothesis has {longest} tokens, which leaves no room for the text; "
                f"the limit is {max_tokens - 1}",
                field="candidate_labels",
                limit=max_tokens - 1,
            )
        # Only the text is truncated, never the hypothesis.
        pairs = [
            self._pairs.join(self._cut(premise, max_tokens - len(hypothesis)), hypothesis) for hypothesis in hypotheses
        ]
        return _Text(pairs, text, request.labels, request.multi_label)

    def _cut(self, tokens: list[int], length: int) -> list[int]:
        is_left = self.model.manifest.feeding.truncation_side is Side.LEFT
        return tokens[max(0, len(tokens) - length) :] if is_left else tokens[:length]


def _ranked(item: _Text, scores: Scores) -> ZeroShotResult:
    best_first = scores.argsort()[::-1]
    return {
        "sequence": item.text,
        "labels": [item.labels[index] for index in best_first],
        "scores": scores[best_first].tolist(),
    }
