"""What the names and texts of files say, without any of the heavy libraries."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from models.__main__ import main
from models.engine.cpu import cpu_name, runs_sparse_weights
from models.errors import PreparationError
from models.evaluation.data_sets import read_data_set
from models.prepare.probe_texts import probe_texts
from models.prepare.quantize.calibration import built_in_rows
from models.prepare.source.layout import Layout, detect, needed_files
from models.prepare.source.source import is_hub_id
from producer.contract import TaskName

IR = {"openvino_model.xml", "openvino_model.bin"}


@pytest.mark.parametrize(
    ("names", "layout"),
    [
        (IR, Layout.OPENVINO),
        (IR | {"pytorch_model.bin", "model.onnx"}, Layout.OPENVINO),
        ({"model.onnx"}, Layout.ONNX),
        ({"model.onnx", "pytorch_model.bin", "inc_config.json"}, Layout.ONNX),
        ({"model.safetensors", "pytorch_model.bin"}, Layout.SAFETENSORS),
        ({"pytorch_model.bin", "tf_model.h5"}, Layout.PICKLE),
        ({"pytorch_model.bin", "inc_config.json"}, Layout.INC),
        ({"model.safetensors", "best_configure.yaml"}, Layout.INC),
    ],
)
def test_the_layout_is_told_by_the_names_of_files(names: set[str], layout: Layout) -> None:
    assert detect(names, "a test") is layout


@pytest.mark.parametrize(
    ("names", "reason"),
    [
        ({"config.json", "tf_model.h5"}, "it has none of openvino_model.xml, model.onnx, model.safetensors, pytorch"),
        ({"openvino_model.xml"}, "it has openvino_model.xml but no openvino_model.bin"),
        ({"model.safetensors.index.json"}, r"several files \(model.safetensors.index.json\) are not supported"),
    ],
)
def test_what_cannot_be_read_is_refused_with_what_is_missing(names: set[str], reason: str) -> None:
    with pytest.raises(PreparationError, match=f"^a test is not a model that can be prepared: .*{reason}"):
        detect(names, "a test")


def test_weights_in_other_formats_are_not_needed() -> None:
    names = ["config.json", "vocab.txt", "model.safetensors", "pytorch_model.bin", "tf_model.h5", "training_args.bin"]
    assert needed_files(names, "a test") == ["config.json", "model.safetensors", "vocab.txt"]
    assert needed_files(["model.onnx", "model.onnx_data", "config.json"], "a test") == [
        "config.json",
        "model.onnx",
        "model.onnx_data",
    ]


def test_a_hub_id_has_an_owner_and_a_name_or_a_name_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "here").mkdir()
    for text in ("typeform/distilbert-base-uncased-mnli", "bert-base-uncased", "a/b.c_d"):
        assert is_hub_id(text)
    for text in ("here", "a/b/c", "./a", "../a/b", "/a", "~/a", "-a", ""):
        assert not is_hub_id(text)


@pytest.mark.parametrize("task", TaskName)
def test_there_are_a_few_hundred_built_in_rows_for_each_task_and_none_twice(task: TaskName) -> None:
    data = read_data_set(built_in_rows(task), task, labelled=False)
    assert len(data.rows) >= 300
    assert len({tuple(row.items()) for row in data.rows}) == len(data.rows)


def test_tokenizers_are_compared_on_1000_different_texts_that_are_always_the_same() -> None:
    texts = probe_texts()
    assert len(set(texts)) >= 990
    assert len(texts) == 1_000
    assert texts == probe_texts()
    assert any("\u0301" in text for text in texts)


def test_the_cpu_is_known_by_its_name() -> None:
    assert cpu_name() in Path("/proc/cpuinfo").read_text(encoding="utf-8")
    assert runs_sparse_weights() == (" amx_int8" in Path("/proc/cpuinfo").read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", ["a/b", ".hidden", "a b", "", "x" * 201])
def test_a_name_that_is_no_directory_name_is_wrong_usage(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["prepare", "owner/name", "--as", name])
    assert "cannot be the name of a model" in capsys.readouterr().err


def test_a_directory_whose_name_is_none_for_a_model_needs_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "my model").mkdir()
    assert main(["prepare", str(tmp_path / "my model")]) == 1
    assert "'my model' cannot be the name of a model" in (error := capsys.readouterr().err)
    assert error.endswith(": choose one with --as NAME\n")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_a_preparation_as_an_error_does_and_is_everybodys_again_afterwards(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: signal.Signals
) -> None:
    monkeypatch.setattr("models.prepare.workflow.prepare", lambda _: signal.raise_signal(number))
    before = signal.getsignal(number)
    with pytest.raises(SystemExit) as ended:
        main(["prepare", str(tmp_path), "--as", "mine"])
    assert ended.value.code == 128 + number
    assert signal.getsignal(number) is before


@pytest.mark.prepare
@pytest.mark.parametrize(
    ("card", "licence"),
    [
        ("---\nlicense: mit\n---\n", "mit"),
        ("---\nlicense: other\nlicense_name: my-licence\n---\n", "my-licence"),
        ("---\nlicense: [mit, apache-2.0]\n---\n", "mit, apache-2.0"),
        ("---\nlanguage: en\n---\n", "unknown"),
        ("# No front matter\n", "unknown"),
        ("---\nlicense: [\n---\n", "unknown"),
        (None, "unknown"),
    ],
)
def test_the_licence_is_what_the_card_names(tmp_path: Path, card: str | None, licence: str) -> None:
    pytest.importorskip("huggingface_hub")
    from models.prepare.source.licence import read_licence

    if card is not None:
        (tmp_path / "README.md").write_text(card)
    assert read_licence(tmp_path) == licence
