"""``python -m models evaluate``: accuracy of a prepared model on labelled rows."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from models.__main__ import main
from models.store import StoredModel

from .conftest import Rows

LABELLED = [
    {"text": "a warm and funny film that i loved", "label": "POSITIVE"},
    {"text": "the worst two hours of my life", "label": "NEGATIVE"},
    {"text": "brilliant acting and a gripping story", "label": "POSITIVE"},
    {"text": "boring from the first minute to the last", "label": "POSITIVE"},  # wrong, so that one is missed
]


def test_the_command_reports_accuracy_as_json(rows: Rows, sentiment: StoredModel) -> None:
    command = [sys.executable, "-m", "models", "evaluate", "sentiment", "--data", str(rows(LABELLED))]
    done = subprocess.run([*command, "--json", "--threads", "2"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert (report["rows"], report["correct"], report["value"]) == (4, 3, 0.75)
    assert (report["model"], report["revision"]) == ("sentiment", sentiment.manifest.revision)
    assert (report["metric"], report["data"]) == ("accuracy", "rows.jsonl")
    assert (report["precision"], report["threads"]) == ("f32", 2)
    assert report["rows_per_second"] > 0
    assert sentiment.manifest.accuracy is not None
    assert report["prepared"] == sentiment.manifest.accuracy.model_dump()


def test_the_command_reports_accuracy_in_words_and_uses_only_the_first_rows(
    rows: Rows, capsys: pytest.CaptureFixture[str], sentiment: StoredModel
) -> None:
    assert main(["evaluate", "sentiment", "--data", str(rows(LABELLED)), "--limit", "3"]) == 0
    printed = capsys.readouterr().out
    assert f"sentiment {sentiment.manifest.revision} on rows.jsonl: accuracy 1.0000 (3 of 3)" in printed
    prepared = sentiment.manifest.accuracy
    assert prepared is not None
    assert f"on {prepared.data}: FP32 {prepared.fp32:.4f}, INT8 {prepared.int8:.4f}, " in printed


def test_more_rows_than_one_request_holds_are_all_counted(rows: Rows, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["evaluate", "sentiment", "--data", str(rows(LABELLED * 33)), "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert (report["rows"], report["correct"]) == (132, 99)


@pytest.mark.parametrize(
    ("row", "reason"),
    [({"text": "a"}, "line 5: needs a str named 'label'"), ({"text": "", "label": "POSITIVE"}, "rows 1 to 5: inputs")],
)
def test_data_that_does_not_fit_ends_the_command_with_status_1_and_the_place(
    rows: Rows, capsys: pytest.CaptureFixture[str], row: dict[str, str], reason: str
) -> None:
    assert main(["evaluate", "sentiment", "--data", str(rows([*LABELLED, row]))]) == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("error: ")
    assert reason in captured.err


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
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "mine").symlink_to(sentiment.directory)
    monkeypatch.setenv("CELERIAC_MODEL_DIR", str(tmp_path / "models"))
    assert main(["evaluate", "mine", "--data", str(rows(LABELLED)), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["value"] == 0.75


@pytest.mark.parametrize("arguments", [[], ["evaluate"], ["evaluate", "m", "--data", "d", "--threads", "0"]])
def test_wrong_usage_ends_the_command_with_status_2(arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2
