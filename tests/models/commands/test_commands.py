"""``python -m models list``, ``show``, ``verify`` and ``remove``."""

from __future__ import annotations

import json
import os
import pty
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from models.__main__ import main
from models.engine.arithmetic import Arithmetic, likely_fastest
from models.engine.verdict import Verdict, verdict_file
from models.store import StoredModel
from models.store.in_use import announce_use, is_in_use
from models.store.manifest import Manifest
from tests.conftest import ARITHMETIC, COMPILED_DIR

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def models_dir(tmp_path: Path, sentiment: StoredModel) -> Path:
    """A directory with one prepared model, ``mine``."""
    directory = tmp_path / "models"
    mine = shutil.copytree(sentiment.directory, directory / "mine")
    sentiment.manifest.model_copy(update={"name": "mine", "measurements": []}).write(mine)
    return directory


def run(models_dir: Path, *arguments: str) -> int:
    """Run a command and return its exit status."""
    return main(["--models-dir", str(models_dir), *arguments])


def test_list_shows_the_prepared_and_the_bundled_models(
    models_dir: Path, sentiment: StoredModel, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(models_dir, "list") == 0
    lines = [line.split("  ") for line in capsys.readouterr().out.splitlines()]
    cells = [[cell.strip() for cell in line if cell.strip()] for line in lines]
    assert cells[0] == ["name", "place", "size", "task", "accuracy", "precision", "revision"]
    assert [row[:2] for row in cells[1:]] == [
        ["mine", "cached"],
        ["nli", "bundled"],
        ["qa", "bundled"],
        ["sentiment", "bundled"],
    ]
    revision = sentiment.manifest.revision
    assert cells[1][3:] == ["text-classification", "not measured", "INT8", revision]
    (measured,) = sentiment.manifest.measurements
    assert cells[4][3:] == ["text-classification", f"accuracy {measured.int8:.4f}", "INT8", revision]


def test_list_as_json_has_the_same_and_the_directory(
    models_dir: Path, sentiment: StoredModel, capsys: pytest.CaptureFixture[str]
) -> None:
    (models_dir / "broken").mkdir()
    (models_dir / "broken" / "manifest.json").write_text("{}")
    assert run(models_dir, "list", "--json") == 0
    found = {entry["name"]: entry for entry in json.loads(capsys.readouterr().out)}
    assert found.keys() == {"broken", "mine", "nli", "qa", "sentiment"}
    assert found["mine"]["directory"] == str(models_dir / "mine")
    assert found["mine"]["precision"] == "INT8"
    assert found["sentiment"]["measurements"][0]["int8"] == sentiment.manifest.measurements[0].int8
    assert "is not a manifest" in found["broken"]["error"]


def test_show_tells_source_recipe_files_and_accuracy(models_dir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(models_dir, "show", "nli") == 0
    shown = capsys.readouterr().out
    for part in ("zero-shot-classification", "all-MiniLM-L6-v2", "Apache-2.0", "inputs dynamic", "openvino_model.bin"):
        assert part in shown
    assert "on mnli/dev_matched.jsonl: FP32 0.7473, INT8 0.74" in shown
    assert run(models_dir, "show", "mine", "--json") == 0
    manifest = json.loads(capsys.readouterr().out)
    assert manifest["name"] == "mine"
    assert manifest["directory"] == str(models_dir / "mine")
    assert manifest["files"].keys() >= {"config.json", "tokenizer.json"}
    assert manifest["arithmetic"] == "int8"


@pytest.mark.parametrize("setting", ["auto", "f32"])
def test_show_tells_the_arithmetic_and_how_it_was_chosen(
    models_dir: Path,
    tmp_path: Path,
    sentiment: StoredModel,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    setting: str,
) -> None:
    monkeypatch.setenv(ARITHMETIC, setting)
    monkeypatch.setenv(COMPILED_DIR, str(tmp_path / "compiled"))

    def shown() -> str:
        assert run(models_dir, "show", "sentiment") == 0
        (line,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith("arithmetic")]
        return line.removeprefix("arithmetic").strip()

    by_setting = "f32 on every CPU, by the setting CELERIAC_ENGINE_ARITHMETIC"
    likely = likely_fastest([Arithmetic.F32, Arithmetic.INT8])
    assert shown() == (
        f"to be measured at the first start on this CPU, probably {likely}" if setting == "auto" else by_setting
    )
    times = {Arithmetic.INT8: {"1x16": 4.0}, Arithmetic.F32: {"1x16": 10.0}}
    verdict = Verdict.here(Arithmetic.INT8, times, 1, "2026.4")
    revision = sentiment.manifest.revision
    (tmp_path / "compiled").mkdir()
    verdict_file(tmp_path / "compiled", revision, "2026.4", {}, list(times)).write(verdict)
    assert shown() == (f"{verdict} here" if setting == "auto" else by_setting)
    assert run(models_dir, "show", "sentiment", "--json") == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["arithmetic"] == setting
    assert [found["arithmetic"] for found in facts["arithmetic_measured"]] == ["int8"]


def test_verify_takes_all_models_or_those_named(models_dir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(models_dir, "verify") == 0
    assert [line.split(":")[0] for line in capsys.readouterr().out.splitlines()] == ["mine", "nli", "qa", "sentiment"]
    assert run(models_dir, "verify", "qa", str(models_dir / "mine")) == 0
    assert len(capsys.readouterr().out.splitlines()) == 2


def test_verify_names_the_bad_file_of_each_bad_model_and_checks_the_others(
    models_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    weights = models_dir / "mine" / "openvino_model.bin"
    os.truncate(weights, weights.stat().st_size - 1)
    assert run(models_dir, "verify", "mine", "nowhere", "sentiment") == 1
    captured = capsys.readouterr()
    assert captured.out.startswith("sentiment: 4 files")
    assert f"mine: {weights} has " in captured.err
    assert "nowhere: there is no prepared model 'nowhere'" in captured.err
    assert captured.err.splitlines()[-1] == "error: 2 of 3 models cannot be served"


def test_remove_deletes_a_prepared_model_and_no_bundled_one(
    models_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(models_dir, "remove", "nli", "--yes") == 1
    assert "nli is bundled with the project and cannot be removed" in capsys.readouterr().err
    assert run(models_dir, "remove", "mine", "--yes") == 0
    assert capsys.readouterr().out == f"deleted {models_dir / 'mine'}\n"
    assert list(models_dir.iterdir()) == []
    assert run(models_dir, "remove", "mine", "--yes") == 1
    assert run(models_dir, "remove", "../models", "--yes") == 1


def test_remove_without_a_terminal_asks_nobody_and_deletes_nothing(models_dir: Path) -> None:
    command = [sys.executable, "-m", "models", "--models-dir", str(models_dir), "remove", "mine"]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "Use --yes to delete it" in done.stderr
    assert (models_dir / "mine").is_dir()


@pytest.mark.parametrize(("answer", "status"), [("n\n", 1), ("\n", 1), ("y\n", 0)])
def test_remove_asks_on_a_terminal(models_dir: Path, answer: str, status: int) -> None:
    ours, its = pty.openpty()
    command = [sys.executable, "-m", "models", "--models-dir", str(models_dir), "remove", "mine"]
    with subprocess.Popen(command, stdin=its, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as asking:
        os.write(ours, answer.encode())
        out, _ = asking.communicate()
    os.close(its)
    os.close(ours)
    assert asking.returncode == status
    assert b"[y/N]" in out
    assert (models_dir / "mine").is_dir() == bool(status)


def test_a_model_is_in_use_as_long_as_somebody_says_so(models_dir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    uses = [announce_use(models_dir / "mine") for _ in range(2)]
    for use in uses:
        assert use is not None
        assert is_in_use(models_dir / "mine")
        use.close()
    assert not is_in_use(models_dir / "mine")
    use = announce_use(models_dir / "mine")
    assert run(models_dir, "remove", "mine", "--yes") == 0
    assert "a worker on this host serves mine" in capsys.readouterr().err
    assert use is not None
    use.close()
    assert announce_use(models_dir / "mine") is None
    assert not is_in_use(models_dir / "mine")


def test_a_model_cannot_be_prepared_under_a_name_that_none_can_have(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        run(tmp_path, "prepare", str(tmp_path), "--as", "a/../b")
    assert caught.value.code == 2
    assert "cannot be the name of a model" in capsys.readouterr().err
    assert run(tmp_path, "prepare", str(tmp_path / "an odd name")) == 1
    assert "choose one with --as NAME" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("file", "text"),
    [
        (".env", "CELERIAC_MODEL_DIR={models}\nCELERIAC_COMPILED_DIR={compiled}\n"),
        ("celeriac.toml", 'model_dir = "{models}"\ncompiled_dir = "{compiled}"\n'),
    ],
)
def test_models_are_where_the_settings_of_a_worker_have_them(
    tmp_path: Path, models_dir: Path, monkeypatch: pytest.MonkeyPatch, file: str, text: str
) -> None:
    monkeypatch.delenv("CELERIAC_COMPILED_DIR")
    compiled = tmp_path / "compiled"
    (tmp_path / file).write_text(text.format(models=models_dir, compiled=compiled))
    revision = Manifest.read(models_dir / "mine").revision
    compiled.mkdir()
    (compiled / f"{revision}-any.blob").touch()
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}

    def python(*arguments: str) -> str:
        command = [sys.executable, *arguments]
        return subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True).stdout

    assert str(models_dir) in python("-m", "config")
    code = (
        "from config import load_settings; from worker.inference.served_models import ServedModels; "
        "settings = load_settings().model_copy(update={'models': ['mine']}); "
        "print(*[model.directory for model in ServedModels.from_settings(settings).models])"
    )
    assert python("-c", code) == f"{models_dir / 'mine'}\n"
    assert str(models_dir / "mine") in python("-m", "models", "show", "mine")
    assert "mine" in python("-m", "models", "list")
    python("-m", "models", "verify", "mine")
    python("-m", "models", "remove", "mine", "--yes")
    assert not (models_dir / "mine").exists()
    assert list(compiled.iterdir()) == []
