"""The table of recipes, from the manifests of models."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from benchmarks.recipe_front import main
from models.store import BUNDLED_DIRECTORY
from models.store.manifest import AnswerDistance, Manifest, RecipeTrial, TrialConditions


def make(directory: Path, name: str, trials: list[RecipeTrial]) -> None:
    """A model of that name with these trials."""
    shutil.copytree(BUNDLED_DIRECTORY / "qa", directory / name)
    conditions = TrialConditions(
        data="rows.jsonl", held_back_rows=150, max_distance=0.03, cpu="a CPU", arithmetic="int8"
    )
    facts = {"name": name, "trials": trials, "trial_conditions": conditions if trials else None}
    Manifest.read(directory / name).model_copy(update=facts).write(directory / name)


def trial(recipe: str, equal_spans: float, speed: float, *, is_chosen: bool = False) -> RecipeTrial:
    distance = AnswerDistance(mean=0.01, p999=0.2, largest=0.3, logits=0.1, equal_spans=equal_spans)
    return RecipeTrial(recipe=recipe, distance=distance, speed=speed, is_chosen=is_chosen)


def test_the_trials_of_a_model_become_a_table_and_a_plot(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make(tmp_path / "models", "mine", [trial("static", 0.9512, 2.5), trial("dynamic", 0.98, 2.04, is_chosen=True)])
    assert main(["mine", "--models-dir", str(tmp_path / "models"), "--output", str(tmp_path / "out")]) == 0
    written = (tmp_path / "out" / "recipe_front.md").read_text()
    assert "| mine | static | 0.0100 | 0.2000 | 0.3000 | 0.9512 | 2.50 |" in written
    assert "| mine | **dynamic** | 0.0100 | 0.2000 | 0.3000 | 0.9800 | 2.04 |" in written
    assert "- mine: 150 held-back rows of rows.jsonl, int8 on a CPU, limit 0.03" in written
    shown = capsys.readouterr()
    has_plot = (tmp_path / "out" / "recipe_front.png").is_file()
    assert has_plot != ("no plot: No module named 'matplotlib'" in shown.err)


def test_a_model_without_trials_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make(tmp_path / "models", "mine", [])
    assert main(["mine", "--models-dir", str(tmp_path / "models"), "--output", str(tmp_path / "out")]) == 1
    assert "no recipes were compared for mine" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
