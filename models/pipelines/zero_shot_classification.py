"""Zero-shot classification as the ``zero-shot-classification`` pipeline of ``transformers`` 4.57 does it.

Each label becomes a hypothesis about the text, and a model trained on natural language inference says whether the text
entails it (Yin et al. 2019, https://arxiv.org/abs/1909.00161).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from models.engine.engine import Engine, EngineOptions, SequenceOutput, TokenSequence
from models.pipelines.base import EncodedItem, Pipeline
from models.pipelines.classification_head import Scores, logits_index, softmax, stack_logits
from models.pipelines.entailment import InferenceLabels, find_labels
from models.pipelines.labels import label_names
from models.pipelines.pair_template import PairTemplate
from models.pipelines.text_windows import WindowBudget, combine_scores, plan_text_windows, window_length
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
    """One text, as one sequence per label, or for each window one per label."""

    text: str
    labels: list[str]
    request: ZeroShotClassificationRequest


class ZeroShotClassificationPipeline(Pipeline[ZeroShotClassificationRequest, _Text, ZeroShotResult]):
    """Classifies texts by labels that come with the request."""

    request_type = ZeroShotClassificationRequest

    def __init__(self, model: StoredModel, options: EngineOptions, engine: Engine | None = None) -> None:
        super().__init__(model, options, engine)
        self._logits = logits_index(self.engine.output_names)
        given = InferenceLabels(model.manifest.entailment_label, model.manifest.contradiction_label)
        self._entailment, self._contradiction = find_labels(label_names(self.config), given)
        self._pairs = PairTemplate(self.tokenizer)

    def preprocess(self, requests: Sequence[ZeroShotClassificationRequest]) -> list[list[_Text | RequestError]]:
        """See :meth:`Pipeline.preprocess`. Each text and each hypothesis is tokenized once, however often it occurs."""
        hypotheses = [request.hypotheses for request in requests]
        texts = {text for request in requests for text in request.items}
        parts = list(texts.union(*hypotheses))
        encodings = self.tokenizer.encode_batch_fast(parts, add_special_tokens=False)
        ids = {part: encoding.ids for part, encoding in zip(parts, encodings, strict=True)}
        return [
            self._items(request, [ids[text] for text in request.items], [ids[hypothesis] for hypothesis in own])
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
        ends = np.cumsum([len(item.sequences) for item in items])
        results: list[ZeroShotResult] = []
        for item, end in zip(items, ends, strict=True):
            rows = slice(end - len(item.sequences), end)
            competing = not item.request.multi_label and len(item.labels) > 1
            # Of shape (windows, labels).
            windows = (entailment if competing else independent)[rows].reshape(-1, len(item.labels))
            scores = softmax(windows) if competing else windows
            results.append(_ranked(item, combine_scores(scores, item.request.combine_windows, competing=competing)))
        return results

    def logit_groups(self, item: _Text, outputs: Sequence[SequenceOutput]) -> list[Scores]:
        """See :meth:`Pipeline.logit_groups`. The logits of one hypothesis are one group."""
        return [logits for _, logits in zip(item.sequences, stack_logits([outputs], self._logits), strict=True)]

    def _items(
        self, request: ZeroShotClassificationRequest, premises: Sequence[list[int]], hypotheses: Sequence[list[int]]
    ) -> list[_Text | RequestError]:
        budget = WindowBudget(len(premises), len(hypotheses))
        items: list[_Text | RequestError] = []
        for text, premise in zip(request.items, premises, strict=True):
            try:
                sequences = self._sequences(request, premise, hypotheses, budget)
                items.append(_Text(sequences, text, request.labels, request))
            except InvalidRequest as error:
                items.append(error)
        return items

    def _sequences(
        self,
        request: ZeroShotClassificationRequest,
        premise: list[int],
        hypotheses: Sequence[list[int]],
        budget: WindowBudget,
    ) -> list[TokenSequence]:
        """Pair a text, or each of its windows, with every hypothesis.

        Raises:
            InvalidRequest: a hypothesis, the text, a parameter or the number of windows makes that impossible.
        """
        longest = max(map(len, hypotheses))
        special_tokens = self._pairs.special_tokens
        whole = longest + len(premise) + special_tokens
        max_tokens = window_length(request, whole, self.max_length) - special_tokens
        if longest + len(premise) > max_tokens:
            if request.truncation == "windows":
                windows = plan_text_windows(request, len(premise), longest, max_tokens, other="candidate_labels")
                budget.take(len(windows))
                return [self._pairs.join(premise[w.start : w.stop], one) for w in windows for one in hypotheses]
            if longest >= max_tokens:
                raise _no_room(longest, max_tokens - 1)
            if not request.truncation:
                raise _too_many_tokens(max_tokens - longest)
        # Only the text is truncated, never the hypothesis.
        return [
            self._pairs.join(self._cut(premise, max_tokens - len(hypothesis)), hypothesis) for hypothesis in hypotheses
        ]

    def _cut(self, tokens: list[int], length: int) -> list[int]:
        is_left = self.model.manifest.feeding.truncation_side is Side.LEFT
        return tokens[max(0, len(tokens) - length) :] if is_left else tokens[:length]


def _no_room(tokens: int, limit: int) -> InvalidRequest:
    return InvalidRequest.of(
        ErrorCode.TOO_MANY_TOKENS,
        f"candidate_labels: a hypothesis has {tokens} tokens, which leaves no room for the text; the limit is {limit}",
        field="candidate_labels",
        limit=limit,
    )


def _too_many_tokens(limit: int) -> InvalidRequest:
    return InvalidRequest.of(
        ErrorCode.TOO_MANY_TOKENS,
        f"inputs: the text is longer than the {limit} tokens that the longest hypothesis leaves it, and truncation is "
        "off",
        field="inputs",
        limit=limit,
    )


def _ranked(item: _Text, scores: Scores) -> ZeroShotResult:
    best_first = scores.argsort()[::-1]
    return {
        "sequence": item.text,
        "labels": [item.labels[index] for index in best_first],
        "scores": scores[best_first].tolist(),
    }
