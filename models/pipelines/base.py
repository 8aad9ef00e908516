"""The common path from requests to results: tokenize items to sequences, compute all of them, build each result.

A text is one sequence, a zero-shot item with k labels is k sequences, a long context one per window. The sequences of
all items of all requests share batches; each item then gets the outputs of its own sequences.
"""

from __future__ import annotations

import json
import logging
import os
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, Generic, TypeAlias, TypeVar

import numpy as np
import numpy.typing as npt

from models.engine.engine import Engine, EngineOptions, SequenceOutput, TokenSequence
from models.pipelines.feeding import feeding_of
from models.store import CONFIG_NAME, MODEL_NAME, TOKENIZER_NAME, StoredModel
from producer.contract import (
    AnswerSpan,
    ErrorCode,
    InvalidRequest,
    LabelScore,
    ModelFailed,
    Request,
    RequestError,
    ZeroShotResult,
)

# Read when tokenizers is first used. A process computes with one thread per core, so tokenizers must add none.
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

from tokenizers import Tokenizer

__all__ = ["AnyPipeline", "EncodedItem", "ItemResult", "Pipeline"]

logger = logging.getLogger(__name__)

#: What a request gets for one item: the result in the shape of its task, or what is wrong with the item.
ItemResult: TypeAlias = list[LabelScore] | ZeroShotResult | AnswerSpan | list[AnswerSpan] | RequestError


@dataclass(frozen=True)
class EncodedItem:
    """One item of a request, tokenized.

    Attributes:
        sequences: what the model reads for it.
    """

    sequences: Sequence[TokenSequence]


RequestT = TypeVar("RequestT", bound=Request)
ItemT = TypeVar("ItemT", bound=EncodedItem)
ResultT = TypeVar("ResultT", bound=list[LabelScore] | ZeroShotResult | AnswerSpan | list[AnswerSpan])


class Pipeline(ABC, Generic[RequestT, ItemT, ResultT]):
    """A loaded model for one task. Not thread-safe.

    The type parameters are the schema of the task's requests, their items once tokenized, and the result of an item.

    Args:
        model: a verified model.
        options: how it is compiled.
        engine: the compiled model, if another pipeline of this process has compiled it.

    Attributes:
        request_type: schema of the requests of this task.
        score_function: name of the function that turns logits into scores, if a request does not say:
            ``softmax``, ``sigmoid`` or ``none``.

    Raises:
        RuntimeError: OpenVINO cannot compile the model.
    """

    request_type: type[RequestT]
    score_function: str = "softmax"
    #: The parameter at fault if an item has no tokens.
    text_field: str = "inputs"

    def __init__(self, model: StoredModel, options: EngineOptions, engine: Engine | None = None) -> None:
        self.model = model
        self.config: dict[str, Any] = json.loads((model.directory / CONFIG_NAME).read_bytes())
        self.max_length = model.manifest.max_length_tokens
        self.tokenizer = Tokenizer.from_file(str(model.directory / TOKENIZER_NAME))
        self.tokenizer.no_padding()
        self.tokenizer.no_truncation()
        self.engine = engine or Engine(
            model.directory / MODEL_NAME,
            self.max_length,
            options,
            zero_weights=model.manifest.zero_weights,
            revision=model.manifest.revision,
            allows_bf16=model.manifest.keeps_accuracy_in_bf16,
            feeding=feeding_of(model.manifest.feeding, self.tokenizer),
        )

    def warm_up(self) -> None:
        """Compute common shapes once, so that the first request is as fast as the next."""
        self.engine.warm_up()

    def answer(
        self, requests: Sequence[Request], token_counts: list[int] | None = None
    ) -> list[list[ResultT | RequestError]]:
        """Answer several requests together.

        Args:
            requests: for this pipeline's task.
            token_counts: if given, the number of tokens of each request is appended to it before anything is computed.

        Returns:
            For each request, in order, one result per item, in order. The result of an item that cannot be answered
            is its error; other items are not affected. An item for which the model computes NaN or an infinite
            number gets a :class:`ModelFailed`: JSON has no such numbers.

        Raises:
            TypeError: a request is for another task.
            RuntimeError: OpenVINO failed to compute a batch.
        """
        ours = [request for request in requests if isinstance(request, self.request_type)]
        if len(ours) != len(requests):
            raise TypeError(f"this pipeline answers {self.request_type.task.value} requests only")
        encoded = [[self._with_tokens(item) for item in items] for items in self.preprocess(ours)]
        if token_counts is not None:
            token_counts.extend(_count_tokens(items) for items in encoded)
        valid = [item for items in encoded for item in items if not isinstance(item, RequestError)]
        results = iter(self._results(valid, self.compute(valid)))
        return [[item if isinstance(item, RequestError) else next(results) for item in items] for items in encoded]

    def _with_tokens(self, item: ItemT | RequestError) -> ItemT | RequestError:
        """An item, or its error if the model would have nothing to read: its tokenizer adds no special tokens."""
        if isinstance(item, RequestError) or all(sequence.ids for sequence in item.sequences):
            return item
        return InvalidRequest.of(
            ErrorCode.EMPTY, f"{self.text_field}: the model's tokenizer finds no token in it", field=self.text_field
        )

    def compute(self, items: Sequence[ItemT]) -> list[list[SequenceOutput]]:
        """Compute the sequences of all items together.

        Args:
            items: those that could be tokenized.

        Returns:
            For each item, in order, what the model computed for each of its sequences.

        Raises:
            RuntimeError: OpenVINO failed to compute a batch.
        """
        outputs = iter(self.engine.compute([sequence for item in items for sequence in item.sequences]))
        return [list(islice(outputs, len(item.sequences))) for item in items]

    @abstractmethod
    def preprocess(self, requests: Sequence[RequestT]) -> list[list[ItemT | RequestError]]:
        """Tokenize requests.

        Returns:
            For each request, in order, its items, in order: as sequences none of which is longer than the model
            reads, or what is wrong with the item.
        """

    @abstractmethod
    def postprocess(self, items: Sequence[ItemT], outputs: Sequence[Sequence[SequenceOutput]]) -> list[ResultT]:
        """Build the result of each item.

        Args:
            items: those that could be tokenized.
            outputs: for each item, in order, what the model computed for each of its sequences.
        """

    @abstractmethod
    def logit_groups(self, item: ItemT, outputs: Sequence[SequenceOutput]) -> list[npt.NDArray[np.float64]]:
        """The logits that an answer is made of, in groups of shape (logits,).

        :attr:`score_function` turns each group into scores on its own.

        Args:
            item: one that could be tokenized.
            outputs: what the model computed for each of its sequences.
        """

    def _results(
        self, items: Sequence[ItemT], outputs: Sequence[Sequence[SequenceOutput]]
    ) -> list[ResultT | RequestError]:
        """The result of each item, or an error where what the model has computed is no number."""
        # One look at the outputs of 64 texts costs a tenth of a look at each.
        wrong = (
            set()
            if _are_finite(outputs)
            else {index for index, item in enumerate(items) if self._is_wrong(item, outputs[index])}
        )
        if not wrong:
            return [*self.postprocess(items, outputs)]
        logger.error(
            "model %s computed NaN or an infinite number for %d of %d items", self.model.name, len(wrong), len(items)
        )
        good = [index for index in range(len(items)) if index not in wrong]
        results = iter(self.postprocess([items[index] for index in good], [outputs[index] for index in good]))
        return [self._not_finite() if index in wrong else next(results) for index in range(len(items))]

    def _is_wrong(self, item: ItemT, outputs: Sequence[SequenceOutput]) -> bool:
        """Whether the answer would be made of what is no number. What a model computes for padding does not matter."""
        return not all(np.isfinite(group).all() for group in self.logit_groups(item, outputs))

    def _not_finite(self) -> RequestError:
        problem = f"model {self.model.name} failed: it computed NaN or an infinite number for this input"
        return ModelFailed.of(ErrorCode.MODEL_FAILED, problem)


def _are_finite(outputs: Sequence[Sequence[SequenceOutput]]) -> bool:
    numbers = [output.ravel() for of_item in outputs for sequence in of_item for output in sequence]
    return not numbers or bool(np.isfinite(np.concatenate(numbers)).all())


def _count_tokens(items: Sequence[EncodedItem | RequestError]) -> int:
    sequences_of_items = (item.sequences for item in items if not isinstance(item, RequestError))
    return sum(len(sequence.ids) for sequences in sequences_of_items for sequence in sequences)


#: A pipeline for any task.
AnyPipeline = Pipeline[Any, Any, Any]
