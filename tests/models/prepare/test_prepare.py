"""``python -m models prepare``: a checkpoint in, a directory that a worker serves out."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from models import pipelines
from models.__main__ import main
from models.store import StoredModel, find
from models.store.manifest import digest
from producer.contract import (
    InvalidRequest,
    QuestionAnsweringRequest,
    TaskName,
    TextClassificationRequest,
    ZeroShotClassificationRequest,
)
from tests.models.conftest import Rows
from tests.models.options import engine_options
from tests.models.tiny_checkpoint import INFERENCE_LABELS, MAX_LENGTH, write_checkpoint

WORDS = ("good", "bad", "a film", "it")
TEXTS = [f"the film was {word} ." + " it is good ." * times for word in WORDS for times in range(10)]
pytestmark = pytest.mark.prepare


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory for checkpoints; tests that use it need the extra."""
    for module in ("optimum", "torch", "transformers", "nncf"):
        if find_spec(module) is None:
            pytest.skip(f"needs the prepare extra: there is no {module}")
    return tmp_path_factory.mktemp("checkpoints")


@pytest.fixture(scope="module")
def checkpoint(checkpoints: Path) -> Path:
    """A tiny BERT with three labels and random weights."""
    write_checkpoint(checkpoints / "tiny")
    return checkpoints / "tiny"


def prepare(models_dir: Path, checkpoint: Path, *evaluations: list[dict[str, Any]]) -> str:
    """Prepare a checkpoint as ``mine``, with the first data for calibration too, and return what is printed."""
    files = [models_dir / f"rows{number}.jsonl" for number in range(len(evaluations))]
    for file, data in zip(files, evaluations, strict=True):
        file.write_text("".join(f"{json.dumps(row)}\n" for row in data), encoding="utf-8")
    arguments: list[str | Path] = [
        "--models-dir",
        models_dir,
        "prepare",
        checkpoint,
        "--as",
        "mine",
        "--source",
        "a test",
    ]
    measured = [argument for file in files for argument in ("--evaluate", file)]
    # With random weights accuracy is a matter of chance, so any loss and any distance are allowed.
    arguments += ["--max-drop", "100", "--max-distance", "1"]
    command = [sys.executable, "-m", "models", *arguments, "--calibration", files[0], *measured]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    for file in files:
        file.unlink()
    return done.stdout


@pytest.fixture(scope="module")
def prepared(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The models directory with the prepared model, and the output of the command."""
    models_dir = tmp_path_factory.mktemp("models")
    return models_dir, prepare(models_dir, checkpoint, [{"text": text, "label": "YES"} for text in TEXTS])


def test_a_prepared_model_is_found_verified_and_served(prepared: tuple[Path, str]) -> None:
    model = find("mine", prepared[0])
    model.verify()
    pipeline = pipelines.load(model, engine_options(threads=2))
    request = TextClassificationRequest.parse({"inputs": ["the film was good", "it is bad " * 50], "top_k": None})
    ((one, two),) = pipeline.answer([request])
    for result in (one, two):
        assert isinstance(result, list)
        assert {entry["label"] for entry in result} == {"NO", "PERHAPS", "YES"}
        assert sum(entry["score"] for entry in result) == pytest.approx(1.0)


def test_the_manifest_and_the_card_say_what_it_was_made_from(prepared: tuple[Path, str], checkpoint: Path) -> None:
    models_dir, printed = prepared
    model = find("mine", models_dir)
    manifest = model.manifest
    assert (manifest.name, manifest.source, manifest.max_length_tokens) == ("mine", "a test", 48)
    assert manifest.source_sha256 == digest(checkpoint / "model.safetensors")
    assert manifest.versions.keys() == {"openvino", "optimum-intel", "torch", "transformers"}
    (measured,) = manifest.measurements
    assert measured.rows == len(TEXTS)
    assert measured.rows_per_second.keys() == {"fp32", "int8", "int8_bf16"}
    assert f"mine {manifest.revision} is ready in {models_dir / 'mine'}" in printed
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


def test_a_model_of_inference_is_measured_on_pairs_and_topics_and_serves_zero_shot_and_pairs(
    checkpoints: Path, tmp_path: Path
) -> None:
    write_checkpoint(checkpoints / "inference", INFERENCE_LABELS, model_max_length=10**30)
    pairs = [{"premise": text, "hypothesis": "it is good .", "label": "NEUTRAL"} for text in TEXTS]
    topics = [{"text": text, "label": label} for text in TEXTS[:4] for label in ("good", "bad")]
    prepare(tmp_path, checkpoints / "inference", pairs, topics)
    model = find("mine", tmp_path)
    model.verify()
    assert (model.manifest.task, model.manifest.max_length_tokens) == (TaskName.ZERO_SHOT_CLASSIFICATION, MAX_LENGTH)
    assert [measured.rows for measured in model.manifest.measurements] == [len(pairs), len(topics)]
    loaded = pipelines.load_all(model, engine_options(threads=2))
    request: dict[str, Any] = {"inputs": ["the film was good", "it is bad " * 50], "candidate_labels": "good, bad"}
    answers: list[list[Any]] = loaded[model.manifest.task].answer([ZeroShotClassificationRequest.parse(request)])
    for result in answers[0]:
        assert sorted(result["labels"]) == ["bad", "good"]
        assert sum(result["scores"]) == pytest.approx(1.0)
    pair = {"inputs": {"text": "it is bad " * 50, "text_pair": "it is good"}, "top_k": None}
    ((scores,),) = loaded[TaskName.TEXT_CLASSIFICATION].answer([TextClassificationRequest.parse(pair)])
    assert isinstance(scores, list)
    assert {entry["label"] for entry in scores} == set(INFERENCE_LABELS)


def test_a_model_for_questions_is_measured_by_f1_and_reads_no_more_than_its_tokenizer_allows(
    checkpoints: Path, tmp_path: Path
) -> None:
    write_checkpoint(checkpoints / "questions", None, model_max_length=40)
    asked = [{"question": "it is ?", "context": text, "answers": [{"text": "good"}]} for text in TEXTS]
    prepare(tmp_path, checkpoints / "questions", asked)
    model = find("mine", tmp_path)
    model.verify()
    assert (model.manifest.task, model.manifest.max_length_tokens) == (TaskName.QUESTION_ANSWERING, 40)
    assert [(measured.metric, measured.rows) for measured in model.manifest.measurements] == [("f1", len(asked))]
    pipeline = pipelines.load(model, engine_options(threads=2))
    contexts = ["the film was good .", "it is bad . " * 50]
    several = {"question": ["it is ?"] * 2, "context": contexts, "top_k": 3}
    answers: list[list[Any]] = pipeline.answer([QuestionAnsweringRequest.parse(several)])
    for context, result in zip(contexts, answers[0], strict=True):
        assert len(result) == 3
        assert all(context[answer["start"] : answer["end"]] == answer["answer"] for answer in result)
    too_long = {"question": "it is ?", "context": contexts[1], "max_seq_len": 41}
    ((error,),) = pipeline.answer([QuestionAnsweringRequest.parse(too_long)])
    assert isinstance(error, InvalidRequest)
    assert (error.field, error.limit) == ("max_seq_len", 40)


def refused(checkpoint: Path, target: Path, calibration: Path, capsys: pytest.CaptureFixture[str]) -> str:
    """The last line of a command that must fail; it must leave nothing beside the target."""
    before = sorted(target.parent.iterdir()) if target.parent.exists() else []
    arguments = ["prepare", str(checkpoint), "--as", "mine", "--calibration", str(calibration)]
    assert main([*arguments, "--output", str(target)]) == 1
    assert (sorted(target.parent.iterdir()) if target.parent.exists() else []) == before
    captured = capsys.readouterr()
    assert captured.out == ""
    return captured.err.splitlines()[-1]


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("config.json", "is not a model that can be prepared: it has no config.json"),
        ("model.safetensors", "is not a model that can be prepared: it has none of openvino_model.xml, model.onnx, "),
        ("tokenizer.json", "has no readable tokenizer: "),
    ],
)
def test_a_checkpoint_that_misses_a_file_is_refused_by_its_name(
    checkpoint: Path, tmp_path: Path, rows: Rows, capsys: pytest.CaptureFixture[str], name: str, shown: str
) -> None:
    broken = shutil.copytree(checkpoint, tmp_path / "broken")
    (broken / name).unlink()
    calibration = rows({"text": text} for text in TEXTS)
    message = refused(broken, tmp_path / "models" / "mine", calibration, capsys)
    assert message.startswith(f"error: {broken} {shown}")


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
        ("[]", "is not a JSON object"),
        ('{"architectures": ["BertForSequenceClassification"]}', "model_type is None"),
        (
            '{"architectures": ["BertForSequenceClassification"], "model_type": "bert"}',
            "max_position_embeddings is None",
        ),
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
    assert "needs rows with premise, hypothesis or text" in refused(
        checkpoint, target, rows([{"label": "YES"}]), capsys
    )
    StoredModel(target, find("mine", target.parent).manifest).verify()
