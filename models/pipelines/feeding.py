"""How the engine is to feed a model: what its manifest says, and a sample from its tokenizer."""

from __future__ import annotations

from tokenizers import Tokenizer

from models.engine.feeding import Feeding, Sample, TokenSequence
from models.store.feeding_record import FeedingRecord

__all__ = ["feeding_of"]

_SAMPLE_TEXT = "it was good"


def feeding_of(record: FeedingRecord, tokenizer: Tokenizer) -> Feeding:
    """The feeding of a model.

    Args:
        record: what its manifest says.
        tokenizer: its tokenizer, without truncation or padding.
    """
    return Feeding(
        pad_id=record.pad_id,
        pad_type_id=record.pad_type_id,
        padding_side=record.padding_side,
        is_padded=record.is_padded,
        counted_id=record.counted_id,
        sample=_sample(tokenizer),
    )


def _sample(tokenizer: Tokenizer) -> Sample:
    encoding = tokenizer.encode(_SAMPLE_TEXT)
    positions = [index for index, part in enumerate(encoding.sequence_ids) if part is not None]
    # A tokenizer that drops the text leaves its special tokens, one of which is repeated instead.
    start, stop = (positions[0], positions[-1] + 1) if positions else (0, 1)

    def part(start: int | None, stop: int | None) -> TokenSequence:
        return TokenSequence(encoding.ids[start:stop], encoding.type_ids[start:stop])

    return Sample(part(None, start), part(start, stop), part(stop, None))
