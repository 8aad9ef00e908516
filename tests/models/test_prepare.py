"""``python -m models prepare``: a checkpoint in, a directory that a worker serves out."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from models import pipelines
from models.__main__ import main
from models.engine import EngineOptions
from models.manifest import digest
from models.store import StoredModel, find
from producer.contract import TextClassificationRequest

from .conftest import Rows

TEXTS = [f"the film was {word} ." for word in ("good", "bad", "a film", "it")] * 4
pytestmark = pytest.mark.prepare


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny BERT with three labels and random weights."""
    for module in ("optimum", "torch", "transformers", "nncf"):
        if find_spec(module) is None:
            pytest.skip(f"needs the prepare extra: there is no {module}")
    from .tiny_checkpoint import write_checkpoint

    directory = tmp_path_factory.mktemp("checkpoints") / "tiny"
    write_checkpoint(directory)
    return directory


@pytest.fixture(scope="module")
def prepared(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The models directory with the prepared model, and what the command printed."""
    place = tmp_path_factory.mktemp("models")
    labelled = place / "labelled.jsonl"
    labelled.write_text("".join(json.dumps({"text": text, "label": "YES"}) + "\n" for text in TEXTS))
    arguments: list[str | Path] = ["--models-dir", place, "prepare", checkpoint, "--as", "mine", "--source", "a test"]
    command = [sys.executable, "-m", "models", *arguments, "--calibration", labelled, "--evaluate", labelled]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    labelled.unlink()
    return place, done.stdout


def test_a_prepared_model_is_found_verified_and_served(prepared: tuple[Path, str]) -> None:
    model = find("mine", prepared[0])
    model.verify()
    pipeline = pipelines.load(model, EngineOptions(threads=2))
    request = TextClassificationRequest.parse({"inputs": ["the film was good", "it is bad " * 50], "top_k": None})
    ((one, two),) = pipeline.answer([request])
    for outcome in (one, two):
        assert isinstance(outcome, list)
        assert {entry["label"] for entry in outcome} == {"NO", "PERHAPS", "YES"}
        assert sum(entry["score"] for entry in outcome) == pytest.approx(1.0)


def test_the_manifest_and_the_card_say_what_it_was_made_from(prepared: tuple[Path, str], checkpoint: Path) -> None:
    place, printed = prepared
    model = find("mine", place)
    manifest = model.manifest
    assert (manifest.name, manifest.source, manifest.max_length_tokens) == ("mine", "a test", 48)
    assert manifest.source_sha256 == digest(checkpoint / "model.safetensors")
    assert manifest.versions.keys() == {"nncf", "openvino", "optimum-intel", "torch", "transformers"}
    assert manifest.accuracy is not None
    assert manifest.accuracy.rows == len(TEXTS)
    assert f"mine {manifest.revision} is ready in {place / 'mine'}" in printed
    card = (model.directory / "README.md").read_text()
    assert "# mine" in card
    assert manifest.revision in card


def test_the_weights_are_quantized(prepared: tuple[Path, str], checkpoint: Path) -> None:
    graph = (prepared[0] / "mine" / "openvino_model.xml").read_text()
    assert 'type="FakeQuantize"' in graph
    assert 'element_type="i8"' in graph
    weights = prepared[0] / "mine" / "openvino_model.bin"
    assert weights.stat().st_size < (checkpoint / "model.safetensors").stat().st_size


def test_nothing_but_the_model_is_left_behind(prepared: tuple[Path, str]) -> None:
    assert [path.name for path in prepared[0].iterdir()] == ["mine"]
    assert {path.name for path in (prepared[0] / "mine").iterdir()} == {
        *find("mine", prepared[0]).manifest.files,
        "manifest.json",
        "README.md",
    }


def refused(checkpoint: Path, target: Path, calibration: Path, capsys: pytest.CaptureFixture[str]) -> str:
    """What the command says as it refuses; it must leave nothing beside the target."""
    beside = sorted(target.parent.iterdir()) if target.parent.exists() else []
    arguments = ["prepare", str(checkpoint), "--as", "mine", "--calibration", str(calibration)]
    assert main([*arguments, "--output", str(target)]) == 1
    assert (sorted(target.parent.iterdir()) if target.parent.exists() else []) == beside
    captured = capsys.readouterr()
    assert captured.out == ""
    return captured.err.splitlines()[-1]


@pytest.mark.parametrize("name", ["config.json", "model.safetensors", "tokenizer.json"])
def test_a_checkpoint_that_misses_a_file_is_refused_by_its_name(
    checkpoint: Path, tmp_path: Path, rows: Rows, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    broken = shutil.copytree(checkpoint, tmp_path / "broken")
    (broken / name).unlink()
    calibration = rows({"text": text} for text in TEXTS)
    message = refused(broken, tmp_path / "models" / "mine", calibration, capsys)
    assert message == f"error: {broken} is no checkpoint that can be prepared: it has no {name}"


@pytest.mark.parametrize(("architectures", "shown"), [(["BertForMaskedLM"], "BertForMaskedLM"), ([], "unknown")])
def test_an_architecture_that_no_task_is_known_for_is_refused(
    checkpoint: Path,
    tmp_path: Path,
    rows: Rows,
    capsys: pytest.CaptureFixture[str],
    architectures: list[str],
    shown: str,
) -> None:
    broken = shutil.copytree(checkpoint, tmp_path / "broken")
    config = json.loads((broken / "config.json").read_text())
    (broken / "config.json").write_text(json.dumps({**config, "architectures": architectures}))
    message = refused(broken, tmp_path / "models" / "mine", rows({"text": text} for text in TEXTS), capsys)
    assert f"architecture {shown} is not supported; supported are architectures that end with" in message


@pytest.mark.parametrize(
    ("config", "shown"),
    [
        ("{", "is not JSON"),
        ("[]", "holds no JSON object"),
        ('{"architectures": ["BertForSequenceClassification"]}', "max_position_embeddings is None"),
    ],
)
def test_a_broken_configuration_is_refused_by_its_name(
    checkpoint: Path, tmp_path: Path, rows: Rows, capsys: pytest.CaptureFixture[str], config: str, shown: str
) -> None:
    broken = shutil.copytree(checkpoint, tmp_path / "broken")
    (broken / "config.json").write_text(config)
    message = refused(broken, tmp_path / "models" / "mine", rows({"text": text} for text in TEXTS), capsys)
    assert str(broken / "config.json") in message
    assert shown in message


def test_truncated_weights_are_refused_and_nothing_is_left(
    checkpoint: Path, tmp_path: Path, rows: Rows, capsys: pytest.CaptureFixture[str]
) -> None:
    broken = shutil.copytree(checkpoint, tmp_path / "broken")
    weights = broken / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1000])
    message = refused(broken, tmp_path / "models" / "mine", rows({"text": text} for text in TEXTS), capsys)
    assert message.startswith(f"error: {broken} cannot be exported: ")


def test_calibration_data_without_texts_is_refused_and_a_model_that_is_there_stays(
    checkpoint: Path, prepared: tuple[Path, str], rows: Rows, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = shutil.copytree(prepared[0] / "mine", tmp_path / "models" / "mine")
    assert "needs a str named 'text'" in refused(checkpoint, target, rows([{"label": "YES"}]), capsys)
    StoredModel(target, find("mine", target.parent).manifest).verify()
