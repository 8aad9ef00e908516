"""How a published model is to be fed, from its configuration, its architecture and its tokenizer."""

from __future__ import annotations

import inspect
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from transformers import (
    AutoConfig,
    AutoModelForQuestionAnswering,
    AutoModelForSequenceClassification,
    AutoTokenizer,
)

from models.errors import FeedingError
from models.prepare.positions import position_limit
from models.prepare.source.checkpoint import Checkpoint
from models.store.feeding_record import FeedingRecord, Side
from models.store.manifest import Manifest
from producer.contract import TaskName

__all__ = ["with_feeding"]

#: Model types that compute with the padding whatever the mask says: by convolutions, by mixing all tokens, or with the
#: neighbours of each token.
_READS_PADDING = frozenset({"convbert", "fnet", "mobilebert"})
#: Model types whose head takes the last token of the row, padding or not.
_READS_LAST = frozenset({"xlnet"})


def with_feeding(draft: Manifest, checkpoint: Checkpoint) -> Manifest:
    """Add to a manifest how the model is fed, and how many tokens its position table allows.

    Raises:
        FeedingError: the model cannot be fed as it was trained.
    """
    with _quiet():
        try:
            config = AutoConfig.from_pretrained(checkpoint.directory, local_files_only=True, trust_remote_code=False)
            tokenizer = AutoTokenizer.from_pretrained(
                checkpoint.directory, local_files_only=True, trust_remote_code=False
            )
            model = _without_weights(checkpoint.task, config)
        except Exception as error:
            problem = f"{type(error).__name__}: {error}".splitlines()[0]
            raise FeedingError(f"{checkpoint.directory}: transformers cannot make this model: {problem}") from error
    limit = min(draft.max_length_tokens, position_limit(model) or draft.max_length_tokens)
    record = _record(checkpoint, config, tokenizer, inspect.getsource(type(model).forward))
    return draft.model_copy(update={"feeding": record, "max_length_tokens": limit})


def _record(checkpoint: Checkpoint, config: Any, tokenizer: Any, forward: str) -> FeedingRecord:
    # The heads of Qwen, Llama, GPT-2 and OPT look for the last token that is not padding; BART's for its end tokens.
    finds_padding, counts_ends = "pad_token_id" in forward, "eos_token_id" in forward
    reads_last = finds_padding or config.model_type in _READS_LAST
    padding, truncation = Side(tokenizer.padding_side), Side(tokenizer.truncation_side)
    if checkpoint.task is TaskName.QUESTION_ANSWERING and Side.LEFT in {padding, truncation}:
        raise FeedingError(
            f"{checkpoint.directory}: its tokenizer pads or truncates on the left, and then questions come after "
            "contexts or windows begin at the end, which question answering here does not do"
        )
    own_pad = config.pad_token_id
    return FeedingRecord(
        pad_id=next((value for value in (own_pad, tokenizer.pad_token_id) if value is not None), 0),
        pad_type_id=tokenizer.pad_token_type_id,
        # A head that takes the first token of the row needs it to be the text's.
        padding_side=padding if reads_last else Side.RIGHT,
        truncation_side=truncation,
        is_padded=config.model_type not in _READS_PADDING and not (finds_padding and own_pad is None),
        counted_id=config.eos_token_id if counts_ends else None,
    )


def _without_weights(task: TaskName, config: Any) -> torch.nn.Module:
    is_question = task is TaskName.QUESTION_ANSWERING
    auto = AutoModelForQuestionAnswering if is_question else AutoModelForSequenceClassification
    with torch.device("meta"):
        model: torch.nn.Module = auto.from_config(config, trust_remote_code=False)
    return model


@contextmanager
def _quiet() -> Iterator[None]:
    logging.getLogger("transformers").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
