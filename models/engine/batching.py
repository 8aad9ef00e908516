"""Which sequences go through the model together.

A dynamic model is fast when shapes repeat and little is padding: lengths are rounded up to a small multiple, sequences
of equal rounded length go together, and batches are cut where the padded tokens would pass a budget
(text-embeddings-inference cuts by tokens too; ``docs/architecture.md`` has what was measured). Numbers of rows are kept
few as well, since every shape costs a set of compiled kernels (``python -m benchmarks.shape_cost``).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

__all__ = ["BatchPlan", "BatchingOptions", "plan_batches"]


#: Sixteen steps between a power of two and zero, so eight between one power and the next.
_STEPS_BITS = 4
#: Four numbers of rows between a power of two and the next.
_ROW_STEPS_BITS = 2
#: Rows that hold nothing are cheaper than one more batch up to so many tokens.
_MOST_EMPTY_TOKENS = 32


@dataclass(frozen=True)
class BatchingOptions:
    """How batches are cut.

    Attributes:
        max_tokens: most tokens of one batch, padding included.
        length_multiple: lengths of up to sixteen times this are rounded up to a multiple of it, in tokens; longer ones
            to the first doubling of it that is a sixteenth of the next power of two or more.
    """

    max_tokens: int = 512
    length_multiple: int = 8


@dataclass(frozen=True)
class BatchPlan:
    """One batch.

    Attributes:
        indices: which sequences, by index.
        padded_length: how long each row is, in tokens.
        rows: how many rows there are; those beyond the sequences hold nothing.
    """

    indices: list[int]
    padded_length: int
    rows: int


def plan_batches(lengths: Sequence[int], max_length: int, options: BatchingOptions) -> list[BatchPlan]:
    """Cut sequences into batches, shortest first; each sequence is in exactly one.

    Only sequences whose lengths are rounded to the same one share a batch. A row is then computed in the same shape
    whatever it is batched with, and gives the same numbers to the last bit: a padding of another width changes the
    order of sums, which INT8 rounding makes a difference of up to 1e-2 from (seen with the bundled models).

    Args:
        lengths: tokens of each sequence, none over ``max_length``.
        max_length: longest row that the model reads, in tokens.
        options: the budget and the rounding.

    Returns:
        Batches within the budget, equal shapes one after another; a sequence that is over it alone gets its own.
    """

    def padded(index: int) -> int:
        return min(_rounded(lengths[index], options.length_multiple), max_length)

    plans: list[BatchPlan] = []
    for length, group in groupby(sorted(range(len(lengths)), key=lengths.__getitem__), key=padded):
        members = list(group)
        start = 0
        for rows in _cut_rows(len(members), length, max(1, options.max_tokens // length)):
            plans.append(BatchPlan(members[start : start + rows], length, rows))
            start += rows
    return plans


def _rounded(length: int, multiple: int) -> int:
    # What a step pads is a small share of a long sequence.
    share = (1 << (length - 1).bit_length()) >> _STEPS_BITS
    step = multiple
    while step < share:
        step *= 2
    return -(-length // step) * step


def _cut_rows(count: int, length: int, most: int) -> list[int]:
    """Cut ``count`` rows into numbers of rows that are usual, the largest first; the last may be a little too large."""
    cut = []
    while count > 0:
        wanted = min(count, most)
        fewer, more = _usual_rows(wanted)
        rows = more if more <= most and (more - wanted) * length <= _MOST_EMPTY_TOKENS else fewer
        cut.append(rows)
        count -= rows
    return cut


def _usual_rows(rows: int) -> tuple[int, int]:
    """The nearest usual numbers of rows: none above and none below."""
    step = max(1, (1 << (rows.bit_length() - 1)) >> _ROW_STEPS_BITS)
    return rows // step * step, -(-rows // step) * step
