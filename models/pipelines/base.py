"""The one path from requests to answers: flatten to sequences, compute those together, read each item's answer.

A text is one sequence, a zero-shot item with k labels is k, a long context is as many as it has windows. Sequences of
all items of all requests share batches; what comes out goes back to its item.
"""

from __future__ import annotations

import json
import os
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, Generic, TypeVar

from models.engine.engine import Engine, EngineOptions, SequenceOutput, TokenSequence
from models.store import CONFIG_NAME, MODEL_NAME, TOKENIZER_NAME, StoredModel
from producer.contract import Request, RequestError

# Read when tokenizers is first used: a process pinned to its cores computes with one thread per core, not in here.
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

from tokenizers import Tokenizer

__all__ = ["AnyPipeline", "FlatItem", "Outcome", "Pipeline"]

#: An answer, or what is wrong with the item.
Outcome = Any | RequestError


@dataclass(frozen=True)
class FlatItem:
    """One item of a request as the sequences that the model reads for it."""

    sequences: Sequence[TokenSequence]


RequestT = TypeVar("RequestT", bound=Request)
ItemT = TypeVar("ItemT", bound=FlatItem)


class Pipeline(ABC, Generic[RequestT, ItemT]):
    """A loaded model for one task; for one thread.

    Args:
        model: verified.
        options: how it is compiled.
        engine: the compiled model, where another pipeline of this process has it already.
    """

    #: The schema of the requests that belong here.
    request_type: type[RequestT]

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
        )

    def warm_up(self) -> None:
        """Make the first request as fast as the next."""
        self.engine.warm_up()

    def answer(self, requests: Sequence[Request], token_counts: list[int] | None = None) -> list[list[Outcome]]:
        """Answer requests together.

        Args:
            requests: for this pipeline's task.
            token_counts: takes, for each request, how many tokens the model reads for it, before anything is computed.

        Returns:
            For each request, in order, one outcome per item, in order. An item that cannot be answered has its
            error there, and no other item is touched by it.

        Raises:
            TypeError: a request is for another task.
            RuntimeError: OpenVINO could not compute a batch.
        """
        ours = [request for request in requests if isinstance(request, self.request_type)]
        if len(ours) != len(requests):
            raise TypeError(f"only {self.request_type.task.value} requests belong here")
        flat = self.flatten(ours)
        if token_counts is not None:
            token_counts.extend(_count_tokens(members) for members in flat)
        items = [item for members in flat for item in members if not isinstance(item, RequestError)]
        computed = iter(self.engine.compute([sequence for item in items for sequence in item.sequences]))
        answers = iter(self.read(items, [list(islice(computed, len(item.sequences))) for item in items]))
        return [[item if isinstance(item, RequestError) else next(answers) for item in members] for members in flat]

    @abstractmethod
    def flatten(self, requests: Sequence[RequestT]) -> list[list[ItemT | RequestError]]:
        """The items of each request, as sequences none of which is longer than the model reads."""

    @abstractmethod
    def read(self, items: Sequence[ItemT], outputs: Sequence[Sequence[SequenceOutput]]) -> list[Outcome]:
        """The answer of each item, from what the model gave for each of its sequences."""


def _count_tokens(members: Sequence[FlatItem | RequestError]) -> int:
    sequences = (item.sequences for item in members if not isinstance(item, RequestError))
    return sum(len(sequence.ids) for of_item in sequences for sequence in of_item)


#: A pipeline whose task does not matter.
AnyPipeline = Pipeline[Any, Any]
