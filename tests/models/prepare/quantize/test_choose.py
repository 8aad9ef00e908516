"""The rule from end to end: a recipe for a tiny model, by the distance of its real answers."""

from __future__ import annotations

import json
import random
import shutil
from pathlib import Path
from typing import Any

import pytest

from models.__main__ import main
from models.engine.arithmetic import has_int8_products
from models.prepare.source.checkpoint import read_checkpoint
from models.store import find
from models.store.manifest import Manifest
from tests.models.prepare.conftest import Prepare, left_behind
from tests.models.published import INFERENCE, QUESTIONS

pytestmark = pytest.mark.prepare
WORDS = ["the", "a", "is", "was", "film", "good", "bad", "food", "service", "paris", "ada", "great", "terrible"]


def random_texts(count: int) -> list[str]:
    """Texts that differ from each other."""
    choose = random.Random(1)  # noqa: S311 - no secret
    return [f"{' '.join(choose.choices(WORDS, k=6))} {number}" for number in range(count)]


def write_rows(directory: Path, rows: list[dict[str, Any]]) -> Path:
    path = directory / "rows.jsonl"
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    return path


@pytest.fixture
def pairs(tmp_path: Path) -> Path:
    """Pairs that the tests calibrate on, and measure distances on."""
    return write_rows(tmp_path, [{"premise": text, "hypothesis": "it is good ."} for text in random_texts(60)])


def prepared(tmp_path: Path) -> Manifest:
    return find("mine", tmp_path / "models").manifest


def test_the_fastest_recipe_within_the_limit_is_chosen_and_manifest_and_card_have_the_trials(
    repositories: Path, pairs: Path, tmp_path: Path, prepare: Prepare, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = (repositories / INFERENCE, "--as", "mine", "--calibration", pairs, "--max-distance")
    assert prepare(*arguments, "1")[0] == 0
    (fastest,) = prepared(tmp_path).trials
    assert fastest.is_chosen
    assert fastest.distance.largest >= fastest.distance.p999 >= fastest.distance.mean > 0

    limit = fastest.distance.mean * 0.9
    assert prepare(*arguments, f"{limit:.9f}")[0] == 0
    manifest = prepared(tmp_path)
    first, *others = manifest.trials
    assert (first.recipe, first.is_chosen) == (fastest.recipe, False)
    # On the same CPU the same rows give the same distance.
    assert first.distance == fastest.distance
    (chosen,) = (trial for trial in others if trial.is_chosen)
    assert chosen.distance.mean <= limit
    assert all(trial.speed > 0 for trial in manifest.trials)
    assert all(trial.distance.equal_spans is None for trial in manifest.trials)

    conditions = manifest.trial_conditions
    assert conditions is not None
    assert (conditions.data, conditions.held_back_rows) == ("rows.jsonl", 30)
    # A graph that quantizes activations as they come is computed in f32 where no bytes are multiplied.
    assert conditions.arithmetic == "int8" or (conditions.arithmetic == "f32" and not has_int8_products())
    assert (manifest.recipe["calibration_data"], manifest.recipe["calibration_rows"]) == ("rows.jsonl", 30)
    assert manifest.distance_in_f32 is not None
    card = (tmp_path / "models" / "mine" / "README.md").read_text()
    assert f"| {chosen.recipe}, **chosen** | {chosen.distance.mean:.4f} |" in card
    measured = f"without labels, in {conditions.arithmetic} on"
    assert f"measured on 30 rows of rows.jsonl that no recipe was calibrated on, {measured}" in card
    capsys.readouterr()
    assert main(["--models-dir", str(tmp_path / "models"), "show", "mine"]) == 0
    shown = capsys.readouterr().out
    assert f"* {chosen.recipe}" in shown
    assert f"  {first.recipe}" in shown


def test_for_questions_the_share_of_other_spans_is_limited(
    repositories: Path, tmp_path: Path, prepare: Prepare
) -> None:
    contexts = random_texts(120)
    rows = write_rows(tmp_path, [{"question": "where was ada ?", "context": context} for context in contexts])
    arguments = (repositories / QUESTIONS, "--as", "mine", "--calibration", rows, "--max-distance", "0.4")
    assert prepare(*arguments)[0] == 0
    (chosen,) = (trial for trial in prepared(tmp_path).trials if trial.is_chosen)
    assert chosen.distance.equal_spans is not None
    assert chosen.distance.equal_spans >= 0.6
    card = (tmp_path / "models" / "mine" / "README.md").read_text()
    assert "| equal spans | speed |" in card
    assert "at most 40.0% of the rows get another span" in card


def test_if_not_even_weights_alone_are_within_the_limit_no_model_is_made(
    repositories: Path, pairs: Path, tmp_path: Path, prepare: Prepare
) -> None:
    arguments = (repositories / INFERENCE, "--as", "mine", "--calibration", pairs, "--max-distance", "1e-12")
    status, message = prepare(*arguments)
    assert status == 1
    assert message.startswith("error: no recipe is within --max-distance 1e-12 of FP32. The closest one, ")
    assert left_behind(tmp_path / "models") == []


def test_a_chosen_recipe_that_loses_too_much_accuracy_makes_no_model(
    repositories: Path, pairs: Path, tmp_path: Path, prepare: Prepare
) -> None:
    rows = [{**json.loads(line), "label": "NEUTRAL"} for line in pairs.read_text().splitlines()]
    labelled = write_rows(tmp_path, rows)
    # Less than any change of the accuracy could be.
    arguments = ("--as", "mine", "--calibration", labelled, "--evaluate", labelled, "--max-drop=-101")
    status, message = prepare(repositories / INFERENCE, *arguments, "--max-distance", "0.9")
    assert status == 1
    assert "points of accuracy on " in message
    assert message.endswith("--max-drop allows -101. Try a --max-distance smaller than 0.9")
    assert left_behind(tmp_path / "models") == []


def test_too_few_calibration_rows_are_refused_before_anything_is_exported(
    repositories: Path, tmp_path: Path, prepare: Prepare
) -> None:
    rows = write_rows(tmp_path, [{"premise": "the food was good", "hypothesis": "it is good"}] * 100)
    status, message = prepare(repositories / INFERENCE, "--as", "mine", "--calibration", rows)
    assert status == 1
    assert f"{rows} has 0 different rows to calibrate on; at least 20 are needed" in message
    assert left_behind(tmp_path / "models") == []


def test_a_published_graph_that_nobody_has_quantized_is_quantized(
    repositories: Path, tmp_path: Path, prepare: Prepare
) -> None:
    from models.prepare.graph.export import export

    published = tmp_path / "published"
    published.mkdir()
    export(read_checkpoint(repositories / INFERENCE), published)
    for name in ("tokenizer.json", "tokenizer_config.json", "vocab.txt"):
        shutil.copyfile(repositories / INFERENCE / name, published / name)
    rows = write_rows(tmp_path, [{"text": text} for text in random_texts(40)])
    arguments = ("--calibration", rows, "--task", "text-classification", "--max-distance", "1")
    status, message = prepare(published, "--as", "mine", *arguments)
    assert status == 0, message
    manifest = prepared(tmp_path)
    assert manifest.source_layout == "OpenVINO IR"
    assert len(manifest.trials) == 1
