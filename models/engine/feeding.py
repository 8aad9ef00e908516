"""What a model is given beside the tokens of its inputs: padding, rows that fill a batch, and rows to warm up on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain, cycle, islice
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from models.store.feeding_record import Side

__all__ = ["BERT", "Feeding", "Sample", "TokenSequence", "pack"]


class TokenSequence(NamedTuple):
    """One input of the model, of shape (tokens,).

    Attributes:
        ids: the token ids.
        type_ids: which part of a pair each token belongs to, 0 or 1.
    """

    ids: Sequence[int]
    type_ids: Sequence[int]


@dataclass(frozen=True)
class Sample:
    """A short text as the model's tokenizer encodes it, from which texts of any length are made.

    Attributes:
        before: the special tokens before the text; none if the tokenizer adds none.
        text: its tokens, at least one.
        after: the special tokens after it.
    """

    before: TokenSequence
    text: TokenSequence
    after: TokenSequence

    def of_length(self, length: int) -> TokenSequence:
        """The text repeated until the sequence has ``length`` tokens, or one token beside the special ones."""
        count = max(1, length - len(self.before.ids) - len(self.after.ids))
        ids, type_ids = (
            list(chain(before, islice(cycle(text), count), after))
            for before, text, after in zip(self.before, self.text, self.after, strict=True)
        )
        return TokenSequence(ids, type_ids)


_NOTHING = TokenSequence((), ())
_ZEROS = Sample(_NOTHING, TokenSequence((0,), (0,)), _NOTHING)


@dataclass(frozen=True)
class Feeding:
    """How rows are made of sequences.

    Attributes:
        pad_id: token id of the padding.
        pad_type_id: type id of the padding.
        padding_side: the end of a row at which it is padded.
        is_padded: whether rows may be padded at all. If not, only sequences of equal length share a batch.
        counted_id: a token that all rows of a batch must hold equally often, as BART's head needs it of its end token;
            None if there is no such token.
        sample: what rows to warm up on are made of.
    """

    pad_id: int = 0
    pad_type_id: int = 0
    padding_side: Side = Side.RIGHT
    is_padded: bool = True
    counted_id: int | None = None
    sample: Sample = _ZEROS

    def group_of(self, sequence: TokenSequence) -> int:
        """What tells the sequence from those that cannot share a batch with it, whatever their lengths are."""
        return 0 if self.counted_id is None else list(sequence.ids).count(self.counted_id)


#: How BERT is fed; its tokenizer is not known here, so what it warms up on are zeros.
BERT = Feeding()


def pack(
    names: Sequence[str], sequences: Sequence[TokenSequence], shape: tuple[int, int], feeding: Feeding
) -> dict[str, npt.NDArray[np.int64]]:
    """Make the inputs of one batch.

    Args:
        names: the inputs of the model, of ``input_ids``, ``attention_mask`` and ``token_type_ids``.
        sequences: at least one, and no more than there are rows.
        shape: rows and tokens of a row. Rows beyond the sequences repeat the first one, so that all are real inputs.
        feeding: how they are padded.

    Returns:
        An array of that shape for each input.
    """
    fill = {"input_ids": feeding.pad_id, "attention_mask": 0, "token_type_ids": feeding.pad_type_id}
    arrays = {name: np.full(shape, fill[name], dtype=np.int64) for name in names}
    for row, sequence in enumerate(sequences):
        length = len(sequence.ids)
        start = shape[1] - length if feeding.padding_side is Side.LEFT else 0
        ones = [1] * length
        values = {"input_ids": sequence.ids, "attention_mask": ones, "token_type_ids": sequence.type_ids}
        for name, array in arrays.items():
            array[row, start : start + length] = values[name]
    for array in arrays.values():
        array[len(sequences) :] = array[0]
    return arrays
