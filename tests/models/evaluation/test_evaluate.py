"""``python -m models evaluate``: accuracy of a prepared model on labelled rows."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from models.__main__ import main
from models.store import StoredModel, find
from tests.models.conftest import Rows

LABELLED = [
    {"text": "a warm and funny film that i loved", "label": "POSITIVE"},
    {"text": "the worst two hours of my life", "label": "NEGATIVE"},
    {"text": "brilliant acting and a gripping story", "label": "POSITIVE"},
    {"text": "boring from the first minute to the last", "label": "POSITIVE"},  # wrong, so that one is missed
]


PAIRS = [
    ("A man is playing a guitar on the stage.", "A man is playing an instrument.", "entailment"),
    ("A woman walks her dog in the park.", "The woman is a doctor.", "contradiction"),
    ("Two dogs run along the beach.", "There are animals at the beach.", "contradiction"),  # wrong
    ("All of the children are outside.", "Some children are outside.", "entailment"),
]
LABELLED_PAIRS = [{"premise": premise, "hypothesis": other, "label": label} for premise, other, label in PAIRS]
TOPICS = [
    {"text": "The striker scored two goals in the football match.", "label": "sports"},
    {"text": "The cook served bread, cheese and a bowl of soup.", "label": "food"},
    {"text": "The tennis player won the tournament.", "label": "food"},  # wrong
    {"text": "This soup is delicious, I loved it.", "label": "food"},
]
BRIDGE = "The bridge was designed by Ingrid Halvorsen, and the railway by Paul Dunn."
QUESTIONS = [
    {"question": "Who designed the bridge?", "context": BRIDGE, "answers": [{"text": "ingrid Halvorsen!"}]},
    {
        "question": "Who designed the bridge?",
        "context": BRIDGE,
        "answers": [{"text": "the Halvorsen"}, {"text": "Bob"}],
    },
    {"question": "Who went to town yesterday?", "context": "Bob went to town yesterday.", "answers": [{"text": "Ann"}]},
    {
        "question": "who " * 400,
        "context": "Bob went to town. " * 100,
        "answers": [{"text": "Bob"}],
    },  # leaves no room for the context: an error
]
#: Model, rows and further arguments; then the expected metric, values and number of errors.
EVALUATIONS: dict[str, tuple[str, list[dict[str, Any]], list[str], str, dict[str, float], int]] = {
    "texts": ("sentiment", LABELLED, [], "accuracy", {"accuracy": 0.75}, 0),
    "pairs": ("nli", LABELLED_PAIRS, [], "accuracy", {"accuracy": 0.75}, 0),
    "topics": ("nli", TOPICS, ["--template", "This text is about {}."], "accuracy", {"accuracy": 0.75}, 0),
    "questions": ("qa", QUESTIONS, [], "f1", {"f1": (1 + 2 / 3) / 4, "exact_match": 1 / 4}, 1),
}


def run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run the command as people do."""
    command = [sys.executable, "-m", "models", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("name", EVALUATIONS)
def test_the_command_reports_what_each_task_is_measured_in_as_json(rows: Rows, tmp_path: Path, name: str) -> None:
    model, data, further, metric, values, errors = EVALUATIONS[name]
    asked = ["evaluate", model, "--data", str(rows(data)), "--json", "--threads", "2", *further]
    done = run("--models-dir", tmp_path, *asked)
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report["values"] == pytest.approx(values)
    assert (report["metric"], report["value"]) == (metric, report["values"][metric])
    assert (report["rows"], report["errors"]) == (len(data), errors)
    manifest = find(model, tmp_path).manifest
    assert (report["model"], report["revision"]) == (model, manifest.revision)
    assert report["data"] == f"{tmp_path.name}/rows.jsonl"
    assert (report["through"], report["precision"], report["threads"]) == ("process", "f32", 2)
    assert report["rows_per_second"] > 0
    assert report["prepared"] == [measured.model_dump() for measured in manifest.measurements]


@pytest.mark.parametrize(
    ("model", "data", "needed"),
    [
        ("sentiment", QUESTIONS, "premise, hypothesis, label or text, label"),
        ("nli", QUESTIONS, "premise, hypothesis, label or text, label"),
        ("qa", LABELLED, "question, context, answers"),
    ],
)
def test_data_of_another_task_end_the_command_with_status_1_and_what_is_needed(
    rows: Rows, tmp_path: Path, model: str, data: list[dict[str, Any]], needed: str
) -> None:
    path = rows(data)
    done = run("--models-dir", tmp_path, "evaluate", model, "--data", path, "--json")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(f"error: {path}, line 1: a model for ")
    assert done.stderr.endswith(f" needs rows with {needed}\n")


def test_the_command_reports_accuracy_in_words_and_uses_only_the_first_rows(
    rows: Rows, capsys: pytest.CaptureFixture[str], sentiment: StoredModel
) -> None:
    assert main(["evaluate", "sentiment", "--data", str(rows(LABELLED)), "--limit", "3"]) == 0
    printed = capsys.readouterr().out
    assert f"sentiment {sentiment.manifest.revision} on " in printed
    assert "/rows.jsonl, 3 rows: accuracy 1.0000, " in printed
    (prepared,) = sentiment.manifest.measurements
    assert f"on {prepared.data}: FP32 {prepared.fp32:.4f}, INT8 {prepared.int8:.4f}, " in printed


def test_more_rows_than_one_request_holds_are_all_counted(rows: Rows, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["evaluate", "sentiment", "--data", str(rows(LABELLED * 33)), "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert (report["rows"], report["value"]) == (132, 0.75)


@pytest.mark.parametrize(
    ("model", "data", "row", "reason"),
    [
        ("sentiment", LABELLED, {"text": "a"}, "line 5: needs a str named 'label'"),
        ("sentiment", LABELLED, {"text": "", "label": "POSITIVE"}, "rows 1 to 5: inputs[4]: must not be empty"),
        ("nli", TOPICS, {"text": "a", "label": ""}, "rows 1 to 5: candidate_labels[0]: must not be empty"),
        ("qa", QUESTIONS[:3], {**QUESTIONS[0], "question": ""}, "rows 1 to 4: question[3]: must not be empty"),
        ("qa", QUESTIONS[:3], {**QUESTIONS[0], "answers": ["Halvorsen"]}, "line 4: "),
        ("qa", QUESTIONS[:3], {**QUESTIONS[0], "answers": [{"answer": "Halvorsen"}]}, "line 4: "),
        ("qa", QUESTIONS[:3], {**QUESTIONS[0], "answers": [{"text": 1964}]}, "line 4: "),
    ],
)
def test_data_that_does_not_fit_ends_the_command_with_status_1_and_the_place(
    rows: Rows,
    capsys: pytest.CaptureFixture[str],
    model: str,
    data: list[dict[str, Any]],
    row: dict[str, Any],
    reason: str,
) -> None:
    path = rows([*data, row])
    assert main(["evaluate", model, "--data", str(path)]) == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith(f"error: {path}, {reason}")


def test_a_template_without_a_place_for_the_label_ends_the_command_with_status_1(
    rows: Rows, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["evaluate", "nli", "--data", str(rows(TOPICS)), "--template", "about it"]) == 1
    assert "hypothesis_template: must contain {}" in capsys.readouterr().err


def test_questions_are_reported_in_words_with_both_metrics_and_the_errors(
    rows: Rows, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["evaluate", "qa", "--data", str(rows(QUESTIONS))]) == 0
    assert "4 rows: f1 0.4167, exact_match 0.2500, 1 errors, " in capsys.readouterr().out


def test_a_model_that_is_not_there_ends_the_command_with_status_1(
    rows: Rows, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--models-dir", str(tmp_path), "evaluate", "topics", "--data", str(rows(LABELLED))]) == 1
    assert f"there is no prepared model 'topics' in {tmp_path}" in capsys.readouterr().err


def test_a_model_that_was_changed_is_not_evaluated(
    rows: Rows, tmp_path: Path, sentiment: StoredModel, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = shutil.copytree(sentiment.directory, tmp_path / "copy")
    (copy / "config.json").write_text("{}")
    assert main(["evaluate", str(copy), "--data", str(rows(LABELLED))]) == 1
    assert f"error: {copy / 'config.json'} has 2 bytes instead of" in capsys.readouterr().err


def test_the_models_directory_is_that_of_the_setting(
    rows: Rows,
    tmp_path: Path,
    sentiment: StoredModel,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    mine = shutil.copytree(sentiment.directory, tmp_path / "models" / "mine")
    sentiment.manifest.model_copy(update={"name": "mine"}).write(mine)
    monkeypatch.setenv("CELERIAC_MODEL_DIR", str(tmp_path / "models"))
    assert main(["evaluate", "mine", "--data", str(rows(LABELLED)), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["value"] == 0.75


@pytest.mark.parametrize("arguments", [[], ["evaluate"], ["evaluate", "m", "--data", "d", "--threads", "0"]])
def test_wrong_usage_ends_the_command_with_status_2(arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2
