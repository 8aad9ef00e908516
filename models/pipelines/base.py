"""What every pipeline has: a tokenizer, an engine, a batch of requests in, an answer for each out."""

from __future__ import annotations

import json
import os
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

from models.engine import Engine, EngineOptions
from models.store import CONFIG_NAME, MODEL_NAME, TOKENIZER_NAME, StoredModel
from producer.contract import Request, RequestError

# Read when tokenizers is first used: a process pinned to its cores computes with one thread per core, not in here.
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

from tokenizers import Tokenizer

__all__ = ["Outcome", "Pipeline"]

#: An answer, or what is wrong with the item.
Outcome = Any | RequestError


class Pipeline(ABC):
    """A loaded model for one task."""

    def __init__(self, model: StoredModel, options: EngineOptions) -> None:
        self.model = model
        self.config: dict[str, Any] = json.loads((model.directory / CONFIG_NAME).read_bytes())
        self.max_length = model.manifest.max_length_tokens
        self.tokenizer = Tokenizer.from_file(str(model.directory / TOKENIZER_NAME))
        self.tokenizer.no_padding()
        self.tokenizer.enable_truncation(self.max_length)
        self.engine = Engine(model.directory / MODEL_NAME, self.max_length, options)

    def warm_up(self) -> None:
        """Make the first request as fast as the next."""
        self.engine.warm_up()

    @abstractmethod
    def answer(self, requests: Sequence[Request]) -> list[list[Outcome]]:
        """Answer requests together.

        Returns:
            For each request, in order, one outcome per item, in order. An item that cannot be answered has its
            error there, and no other item is touched by it.
        """
