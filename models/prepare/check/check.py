"""The check of a preparation: probes are answered by the published model, then by the engine, and compared."""

from __future__ import annotations

import ctypes
import gc
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from importlib.metadata import version
from typing import Any

from tqdm import tqdm

from models.engine.arithmetic import Arithmetic
from models.engine.engine import EngineOptions
from models.errors import PreparationError
from models.prepare.check.comparison import TOLERANCE, logit_distance, named_scores, result_distance, same_tokens
from models.prepare.check.diagnosis import not_computed, tell_difference
from models.prepare.check.free_cores import free_cores
from models.prepare.check.probes import Probe
from models.prepare.check.published import Compute, Row, compute_by_graph, compute_by_torch
from models.prepare.check.reference import Expected, Reference, quiet_transformers
from models.prepare.check.served import Answered, ServedModel
from models.prepare.check.task_probes import probes_of
from models.prepare.source.checkpoint import Checkpoint
from models.progress import progress_bar
from models.store import MODEL_NAME, StoredModel
from models.store.manifest import CheckRecord
from producer.contract import RequestError

__all__ = ["check"]

_DIGITS = 7


@dataclass(frozen=True)
class _Asked:
    """A probe, and what the published model answers to each of its requests."""

    probe: Probe
    expected: list[Expected]


@dataclass
class _Seen:
    """What was compared so far."""

    lengths: list[int] = field(default_factory=list)
    scores: list[float] = field(default_factory=list)
    score: float = 0.0
    logit: float = 0.0

    def add_rows(self, rows: Sequence[Row]) -> None:
        self.lengths += [len(row.ids) for row in rows]

    def record(self, reference: str, asked: Sequence[_Asked], seconds: float) -> CheckRecord:
        return CheckRecord(
            reference=reference,
            probes=len(asked),
            texts=sum(len(one.probe.requests) for one in asked),
            sequences=len(self.lengths),
            shortest_tokens=min(self.lengths),
            longest_tokens=max(self.lengths),
            largest_score_difference=round(self.score, _DIGITS),
            largest_logit_difference=round(self.logit, _DIGITS),
            score_range=round(max(self.scores) - min(self.scores), _DIGITS),
            seconds=round(seconds, 1),
        )


def check(model: StoredModel, checkpoint: Checkpoint, options: EngineOptions, *, is_published: bool) -> CheckRecord:
    """Compare what the engine answers with what the published model answers.

    Args:
        model: the FP32 graph, or the published one.
        checkpoint: the published files.
        options: how the engine compiles and batches; threads and arithmetic are the check's own.
        is_published: whether the graph itself was published: it is then compared with itself, in one row
            without padding.

    Returns:
        What was seen.

    Raises:
        CheckError: they differ, or the engine cannot compute what the published model can.
        PreparationError: ``transformers`` cannot read the published model.
    """
    started_s = time.monotonic()
    # In 8 bits a padded row is rounded otherwise than one without padding; in f32 both give the same.
    options = replace(options, threads=free_cores(), precision="f32", arithmetic=Arithmetic.F32, cache_dir=None)
    with quiet_transformers():
        asked = _ask_published(model, checkpoint, options, is_published=is_published)
        _return_memory()
        seen = _compare(model, options, asked)
    name = "the published graph in f32, row by row" if is_published else f"transformers {version('transformers')}"
    return seen.record(name, asked, time.monotonic() - started_s)


def _ask_published(
    model: StoredModel, checkpoint: Checkpoint, options: EngineOptions, *, is_published: bool
) -> list[_Asked]:
    limit = model.manifest.max_length_tokens
    try:
        compute: Compute = (
            compute_by_graph(model.directory / MODEL_NAME, limit, options)
            if is_published
            else compute_by_torch(checkpoint)
        )
        entailment, contradiction = checkpoint.labels
        reference = Reference(checkpoint, compute, limit, entailment=entailment, contradiction=contradiction)
    except Exception as error:
        raise PreparationError(f"{checkpoint.directory} cannot be checked: {_in_one_line(error)}") from error
    probes = probes_of(model.manifest.task, reference.count_tokens, limit, options.batching, reference.special_tokens)
    with _bar(probes, "published model") as bar:
        return [_Asked(probe, _expect(reference, probe, bar)) for probe in probes]


def _expect(reference: Reference, probe: Probe, bar: tqdm[Any]) -> list[Expected]:
    expected = []
    for request in probe.requests:
        try:
            expected.append(reference.answer(request, is_computed=probe.is_computed))
        except Exception as error:
            raise PreparationError(
                f"the published model cannot answer what it is asked in the check ({probe.name}): {_in_one_line(error)}"
            ) from error
        bar.update()
    return expected


def _compare(model: StoredModel, options: EngineOptions, asked: Sequence[_Asked]) -> _Seen:
    served = ServedModel(model, options)
    seen = _Seen()
    probe = asked[0].probe
    with _bar([one.probe for one in asked], "served graph") as bar:
        try:
            served.warm_up()
            for one in asked:
                probe = one.probe
                _compare_probe(model, served, one, seen)
                bar.update(len(probe.requests))
        except RuntimeError as error:
            raise not_computed(probe, error) from error
    return seen


def _compare_probe(model: StoredModel, served: ServedModel, asked: _Asked, seen: _Seen) -> None:
    for number, (answered, expected) in enumerate(zip(served.answer(asked.probe), asked.expected, strict=True)):
        if not _is_same(served, answered, expected, seen):
            raise tell_difference(model, served, probe=asked.probe, number=number, answered=answered, expected=expected)


def _is_same(served: ServedModel, answered: Answered, expected: Expected, seen: _Seen) -> bool:
    if isinstance(answered.result, RequestError) or not same_tokens(answered.sequences, expected.rows):
        return False
    seen.add_rows(expected.rows)
    if expected.result is None:
        return True
    for output, row in zip(answered.outputs, expected.rows, strict=True):
        distance = logit_distance(output, served.output_names, row)
        seen.logit = max(seen.logit, distance)
        if distance > TOLERANCE:
            return False
    distance_of_results = result_distance(answered.result, expected.result)
    seen.score = max(seen.score, distance_of_results.score)
    seen.scores += [score for _, score in named_scores(expected.result)]
    return distance_of_results.is_small


def _bar(probes: Sequence[Probe], description: str) -> tqdm[Any]:
    return progress_bar(sum(len(probe.requests) for probe in probes), f"check, {description}", "text")


def _in_one_line(error: Exception) -> str:
    return f"{type(error).__name__}: {error}".strip().splitlines()[0]


def _return_memory() -> None:
    """Give the weights of the published model back before the graph is compiled, so that both are never held."""
    gc.collect()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
