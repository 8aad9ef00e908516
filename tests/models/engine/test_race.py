"""Which candidate wins, by how fast it is and how close its answers are; and what is timed."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path

import pytest

from models.engine.arithmetic import Arithmetic
from models.engine.compilation import ModelFile, compile_for_this_cpu
from models.engine.feeding import Feeding
from models.engine.race import Milliseconds, Winner, race, time_inferences
from models.store import MODEL_NAME, StoredModel
from tests.models.options import engine_options

F32, BF16, INT8 = Arithmetic.F32, Arithmetic.BF16, Arithmetic.INT8
Times = tuple[float, float]


def run(times: Mapping[str, float | Times], failing: tuple[str, ...] = ()) -> tuple[Winner[Times], list[int]]:
    """A race in which a compiled candidate is its times for two shapes; and how many were timed at once."""
    at_once: list[int] = []

    def compile_candidate(arithmetic: Arithmetic) -> Times:
        if arithmetic in failing:
            raise RuntimeError("no kernels\nat all")
        found = times[arithmetic]
        return found if isinstance(found, tuple) else (found, found)

    def time_candidates(compiled: Mapping[Arithmetic, Times]) -> Milliseconds:
        at_once.append(len(compiled))
        return {name: {"1x16": found[0], "4x32": found[1]} for name, found in compiled.items()}

    return race(map(Arithmetic, times), compile_candidate, time_candidates), at_once


@pytest.mark.parametrize(
    ("times", "chosen"),
    [
        ({"int8": 4.0, "f32": 10.0}, INT8),
        ({"int8": 9.6, "f32": 10.0}, F32),
        ({"int8": 9.4, "f32": 10.0}, INT8),
        ({"int8": 12.0, "f32": 10.0}, F32),
        ({"int8": 4.0, "f32": 10.0, "bf16": 6.0}, INT8),
        ({"int8": 5.9, "f32": 10.0, "bf16": 6.0}, BF16),
        ({"int8": 9.0, "f32": 10.0, "bf16": 9.8}, INT8),
        ({"int8": 10.0, "f32": 10.0, "bf16": 9.8}, F32),
        # Faster with one shape and slower with the other: the geometric mean decides.
        ({"int8": (5.0, 19.0), "f32": (10.0, 10.0)}, F32),
        ({"int8": (5.0, 18.0), "f32": (10.0, 10.0)}, INT8),
        ({"int8": 3.0}, INT8),
    ],
)
def test_the_closest_to_the_published_model_wins_unless_another_is_clearly_faster(
    times: dict[str, float | Times], chosen: Arithmetic
) -> None:
    winner, at_once = run(times)
    assert winner.arithmetic == chosen
    assert winner.milliseconds.keys() == times.keys()
    assert max(at_once) <= 2


def test_a_candidate_that_cannot_be_compiled_takes_no_part(caplog: pytest.LogCaptureFixture) -> None:
    winner, _ = run({"int8": 4.0, "f32": 10.0, "bf16": 3.0}, failing=("bf16",))
    assert winner.arithmetic == INT8
    assert winner.milliseconds.keys() == {F32, INT8}
    assert "bf16 takes no part: at all" in caplog.text
    assert run({"int8": 4.0, "f32": 10.0}, failing=("int8",))[0].arithmetic == F32


@pytest.mark.parametrize(("left_s", "compiled"), [(-1.0, [F32]), (3600.0, [F32, BF16, INT8])])
def test_when_the_time_is_over_no_other_candidate_is_compiled(left_s: float, compiled: list[Arithmetic]) -> None:
    seen: list[Arithmetic] = []

    def compile_candidate(arithmetic: Arithmetic) -> Arithmetic:
        seen.append(arithmetic)
        return arithmetic

    def time_candidates(several: Mapping[Arithmetic, Arithmetic]) -> Milliseconds:
        return {name: {"1x16": 1.0} for name in several}

    winner = race([INT8, F32, BF16], compile_candidate, time_candidates, time.monotonic() + left_s)

    assert seen == compiled
    assert (winner.arithmetic, winner.is_decided) == (F32, len(compiled) == 3)


def test_without_any_candidate_there_is_no_winner() -> None:
    with pytest.raises(RuntimeError, match="no arithmetic can be compiled"):
        run({"int8": 4.0, "f32": 10.0}, failing=("int8", "f32"))


@pytest.mark.parametrize("longest", [512, 24])
def test_a_short_and_a_longer_text_and_a_batch_are_timed(sentiment: StoredModel, longest: int) -> None:
    path: Path = sentiment.directory / MODEL_NAME
    compiled = compile_for_this_cpu(ModelFile(path, longest), engine_options()).compiled
    (times,) = time_inferences({INT8: compiled}, longest, Feeding()).values()
    assert times.keys() == {"1x16", "1x64", "4x32"}
    assert all(time > 0 for time in times.values())
