"""The bound computes in the arithmetic that it is given, and only who computes in the same is held against it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import ClassVar

import pytest

from benchmarks.bare_model import BareModel
from benchmarks.contestants.base import Contestant, Round, Situation
from benchmarks.contestants.queue import CeleryOptimum, CeleryTransformers
from benchmarks.rounds import summarize
from benchmarks.workloads import Item, Workload, make_workload
from models.engine.arithmetic import Arithmetic
from models.engine.compilation import Compilation
from models.store import BUNDLED_DIRECTORY, MODEL_NAME
from producer.contract import TaskName
from tests.models.engine.products import LINEAR, products_of

SENTIMENT = BUNDLED_DIRECTORY / "sentiment"
F32, INT8 = Arithmetic.F32, Arithmetic.INT8


class Silent(Contestant):
    """Answers nothing, and has no processes."""

    name: ClassVar[str] = "silent"
    summary: ClassVar[str] = "nothing"

    def start(self) -> None:
        pass

    def answer(self, items: Sequence[Item]) -> list[str | None]:
        return [None for _ in items]

    def parties(self) -> dict[str, list[int]]:
        return {}

    def stop(self) -> None:
        pass


class SilentInt8(Silent):
    """The same, in INT8 on every CPU."""

    @property
    def arithmetic(self) -> Arithmetic | None:
        return INT8


class SilentOther(Silent):
    """The same with another model."""

    @property
    def arithmetic(self) -> Arithmetic | None:
        return None


def situation(arithmetic: Arithmetic) -> Situation:
    workload: Workload = make_workload("short", 4, model=None, checkpoint=None, same_weights=False)
    return Situation(replace(workload, arithmetic=arithmetic), [0], "redis://localhost", 1, 0, 1, quick=True)


@pytest.mark.parametrize("arithmetic", [INT8, F32])
def test_the_bare_model_computes_in_the_arithmetic_that_was_chosen(arithmetic: Arithmetic) -> None:
    bare = BareModel(SENTIMENT, TaskName.TEXT_CLASSIFICATION, arithmetic)
    compilation = Compilation(bare.compiled, None, arithmetic)

    found = products_of(compilation, SENTIMENT / MODEL_NAME)[LINEAR]
    # The last product of the head has two results, and stays as it is.
    assert found == ({INT8: 37, F32: 1} if arithmetic is INT8 else {F32: 38})
    assert bare.answer(["a delight", "a bore"]) == ["POSITIVE", "NEGATIVE"]


@pytest.mark.parametrize(
    ("kind", "arithmetic", "is_judged"),
    [(Silent, INT8, True), (Silent, F32, True), (SilentInt8, INT8, True), (SilentInt8, F32, False)],
)
def test_who_computes_in_another_arithmetic_than_the_bound_may_answer_otherwise(
    kind: type[Contestant], arithmetic: Arithmetic, is_judged: bool
) -> None:
    rounds = [Round(["x", "y"], 1.0, {})]

    figures = summarize(kind(situation(arithmetic)), rounds, ["x", "z"], 1.0)

    assert figures["equal_answers"] == 0.5
    assert figures["answers_right"] is not is_judged
    assert figures["arithmetic"] == (INT8 if kind is SilentInt8 else arithmetic)


def test_who_computes_another_model_is_not_compared() -> None:
    figures = summarize(SilentOther(situation(F32)), [Round(["x"], 1.0, {})], ["y"], 1.0)

    assert figures["equal_answers"] is None
    assert figures["answers_right"]
    assert figures["arithmetic"] == "fp32 weights"


def test_optimum_computes_what_the_file_says_and_transformers_another_model() -> None:
    assert CeleryOptimum(situation(F32)).arithmetic is INT8
    assert CeleryTransformers(situation(F32)).arithmetic is None
