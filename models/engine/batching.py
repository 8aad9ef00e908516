"""Which sequences go through the model together.

A model with dynamic shapes is fast if shapes repeat and there is little padding. So lengths are rounded up to a small
multiple, sequences of equal rounded length are batched, and batches are cut where the padded tokens would exceed a
budget (text-embeddings-inference limits batches by tokens too; ``docs/architecture.md`` has the measurements). The
number of distinct row counts is kept small as well, since every shape costs a set of compiled kernels
(``python -m benchmarks.shape_cost``).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

__all__ = ["BatchPlan", "BatchingOptions", "plan_batches"]


#: Sixteen length steps between zero and a power of two, so eight between one power and the next.
_LENGTH_STEPS_BITS = 4
#: Four row counts between a power of two and the next.
_ROW_STEPS_BITS = 2
#: Empty rows are cheaper than another batch up to this many tokens.
_MAX_EMPTY_TOKENS = 32


@dataclass(frozen=True)
class BatchingOptions:
    """How batches are cut.

    Attributes:
        max_tokens: most tokens of one batch, padding included.
        length_multiple: lengths up to sixteen times this are rounded up to a multiple of it, in tokens. For longer
            ones the step doubles until it is at least a sixteenth of the next power of two.
    """

    max_tokens: int
    length_multiple: int


@dataclass(frozen=True)
class BatchPlan:
    """One batch.

    Attributes:
        indices: its sequences, by index.
        padded_length: length of each row, in tokens.
        rows: number of rows; those beyond the sequences are empty.
    """

    indices: list[int]
    padded_length: int
    rows: int


def plan_batches(
    lengths: Sequence[int],
    max_length: int,
    options: BatchingOptions,
    groups: Sequence[int] | None = None,
    *,
    is_exact: bool = False,
) -> list[BatchPlan]:
    """Assign every sequence to exactly one batch, shortest first.

    Only sequences of equal rounded length share a batch. A row is then computed in the same shape whatever it is
    batched with, and gives the same numbers to the last bit. Padding to another length would change the order in
    which values are summed, and INT8 rounding amplifies that to differences of up to 1e-2 (seen with the bundled
    models).

    Args:
        lengths: length of each sequence in tokens, none over ``max_length``.
        max_length: longest row that the model reads, in tokens.
        options: the token budget and the rounding.
        groups: for each sequence, a number that those of its batch must share; None if any may share a batch.
        is_exact: whether lengths are left as they are, for models that do not bear padding.

    Returns:
        Batches within the budget, equal shapes next to each other. A sequence that exceeds the budget by itself gets
        a batch of its own.
    """

    def shape(index: int) -> tuple[int, int]:
        length = lengths[index]
        padded = length if is_exact else min(_round_up(length, options.length_multiple), max_length)
        return padded, groups[index] if groups else 0

    plans: list[BatchPlan] = []
    order = sorted(range(len(lengths)), key=lambda index: (shape(index), lengths[index]))
    for (length, _), batch in groupby(order, key=shape):
        indices = list(batch)
        start = 0
        for rows in _split_rows(len(indices), length, max(1, options.max_tokens // length)):
            plans.append(BatchPlan(indices[start : start + rows], length, rows))
            start += rows
    return plans


def _round_up(length: int, multiple: int) -> int:
    # The longer the sequence, the coarser the step: the padding stays a small share of it.
    min_step = (1 << (length - 1).bit_length()) >> _LENGTH_STEPS_BITS
    step = multiple
    while step < min_step:
        step *= 2
    return -(-length // step) * step


def _split_rows(count: int, length: int, max_rows: int) -> list[int]:
    """Split ``count`` rows into common row counts, largest first; the last one may include a few empty rows."""
    counts = []
    while count > 0:
        wanted = min(count, max_rows)
        fewer, more = _common_row_counts(wanted)
        rows = more if more <= max_rows and (more - wanted) * length <= _MAX_EMPTY_TOKENS else fewer
        counts.append(rows)
        count -= rows
    return counts


def _common_row_counts(rows: int) -> tuple[int, int]:
    """The nearest common row counts: at most and at least ``rows``."""
    step = max(1, (1 << (rows.bit_length() - 1)) >> _ROW_STEPS_BITS)
    return rows // step * step, -(-rows // step) * step
