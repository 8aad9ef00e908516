"""Zero-shot classification as the ``zero-shot-classification`` pipeline of ``transformers`` 4.57 does it.

Each label becomes a hypothesis about the text, which a model trained on natural language inference finds entailed or
not (Yin et al. 2019, https://arxiv.org/abs/1909.00161).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from models.engine.engine import Engine, EngineOptions, SequenceOutput
from models.pipelines.base import FlatItem, Outcome, Pipeline
from models.pipelines.classification_head import Scores, label_names, logits_index, softmax, stack_logits
from models.pipelines.pair_template import PairTemplate
from models.store import StoredModel
from producer.contract import (
    ErrorCode,
    InvalidRequest,
    RequestError,
    ZeroShotClassificationRequest,
    ZeroShotResult,
)

__all__ = ["ZeroShotClassificationPipeline", "entailment_index"]


@dataclass(frozen=True)
class _Text(FlatItem):
    """One text, one sequence per label."""

    text: str
    labels: list[str]
    multi_label: bool


class ZeroShotClassificationPipeline(Pipeline[ZeroShotClassificationRequest, _Text]):
    """Scores labels that the request brings."""

    request_type = ZeroShotClassificationRequest

    def __init__(self, model: StoredModel, options: EngineOptions, engine: Engine | None = None) -> None:
        super().__init__(model, options, engine)
        self._logits = logits_index(self.engine.output_names)
        self._entailment = entailment_index(self.config)
        self._contradiction = _contradiction_index(self.config, self._entailment)
        self._pairs = PairTemplate(self.tokenizer)

    def flatten(self, requests: Sequence[ZeroShotClassificationRequest]) -> list[list[_Text | RequestError]]:
        """See :meth:`Pipeline.flatten`; a text and a hypothesis are tokenized once, however often they are paired."""
        hypotheses = [request.hypotheses for request in requests]
        texts = {text for request in requests for text in request.items}
        parts = list(texts.union(*hypotheses))
        encodings = self.tokenizer.encode_batch_fast(parts, add_special_tokens=False)
        ids = {part: encoding.ids for part, encoding in zip(parts, encodings, strict=True)}
        return [
            [self._item(request, text, ids[text], [ids[h] for h in members]) for text in request.items]
            for request, members in zip(requests, hypotheses, strict=True)
        ]

    def read(self, items: Sequence[_Text], outputs: Sequence[Sequence[SequenceOutput]]) -> list[Outcome]:
        """See :meth:`Pipeline.read`; an outcome is a :class:`ZeroShotResult`."""
        if not items:
            return []
        logits = stack_logits(outputs, self._logits)
        # One label alone, or each on its own: entailed against contradicted.
        alone = softmax(logits[:, [self._contradiction, self._entailment]])[:, 1]
        entailed = logits[:, self._entailment]
        ends = np.cumsum([len(item.labels) for item in items])
        results: list[Outcome] = []
        for item, end in zip(items, ends, strict=True):
            rows = slice(end - len(item.labels), end)
            independent = item.multi_label or len(item.labels) == 1
            results.append(_ranked(item, alone[rows] if independent else softmax(entailed[rows])))
        return results

    def _item(
        self, request: ZeroShotClassificationRequest, text: str, premise: list[int], hypotheses: Sequence[list[int]]
    ) -> _Text | RequestError:
        room = self.max_length - self._pairs.special_tokens
        longest = max(map(len, hypotheses))
        if longest >= room and longest + len(premise) > room:
            return InvalidRequest.of(
                ErrorCode.TOO_MANY_TOKENS,
                f"candidate_labels: a hypothesis has {longest} tokens, which leaves no room for the text; "
                f"the limit is {room - 1}",
                field="candidate_labels",
                limit=room - 1,
            )
        # Only the text is cut, never the hypothesis.
        pairs = [self._pairs.join(premise[: room - len(hypothesis)], hypothesis) for hypothesis in hypotheses]
        return _Text(pairs, text, request.labels, request.multi_label)


def _ranked(item: _Text, scores: Scores) -> ZeroShotResult:
    best_first = scores.argsort()[::-1]
    return {
        "sequence": item.text,
        "labels": [item.labels[index] for index in best_first],
        "scores": scores[best_first].tolist(),
    }


def entailment_index(config: Mapping[str, Any]) -> int:
    """Which logit says "entailed": the first label whose name begins so, in any case.

    Raises:
        ValueError: no label does; the model was not trained on natural language inference.
    """
    names = label_names(config)
    for index, name in enumerate(names):
        if name.lower().startswith("entail"):
            return index
    raise ValueError(f"none of the labels {', '.join(names)} is entailment")


def _contradiction_index(config: Mapping[str, Any], entailment: int) -> int:
    """Which logit says "contradicted", by name; else the end opposite to entailment, which ``transformers`` takes."""
    names = label_names(config)
    for index, name in enumerate(names):
        if name.lower().startswith("contra"):
            return index
    return len(names) - 1 if entailment == 0 else 0
