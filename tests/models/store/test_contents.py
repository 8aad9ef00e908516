"""A served directory contains a graph, JSON and a card; nothing that could run, and nothing from elsewhere."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from models.errors import CorruptModelError
from models.store import StoredModel
from models.store.manifest import MANIFEST_NAME, FileRecord, Manifest, record_files
from tests.models.store.test_manifest import FILES, make


def problem(directory: Path) -> CorruptModelError:
    """The error of a directory that is not valid."""
    with pytest.raises(CorruptModelError) as caught:
        Manifest.read(directory).verify(directory)
    return caught.value


@pytest.mark.parametrize(
    "name", ["pytorch_model.bin", "weights.pkl", "modeling.py", ".hidden", "openvino_model.xml.orig", "more.json"]
)
def test_a_file_that_the_manifest_does_not_list_is_refused(tmp_path: Path, name: str) -> None:
    make(tmp_path)
    (tmp_path / name).write_bytes(b"x")
    error = problem(tmp_path)
    assert error.path == tmp_path / name
    assert "is not in the manifest" in str(error)


def test_a_directory_inside_is_refused(tmp_path: Path) -> None:
    make(tmp_path)
    (tmp_path / "__pycache__").mkdir()
    assert problem(tmp_path).path == tmp_path / "__pycache__"


def test_a_card_may_be_there(tmp_path: Path) -> None:
    manifest = make(tmp_path)
    (tmp_path / "README.md").write_text("# a card")
    manifest.verify(tmp_path)


@pytest.mark.parametrize("name", ["pytorch_model.pkl", "modeling.py", "model.safetensors", "model", "run.sh"])
def test_a_manifest_that_lists_what_is_neither_graph_nor_json_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"x")
    make(tmp_path, files={**_listed(tmp_path), **record_files(tmp_path, [name])})
    error = problem(tmp_path)
    assert error.path == tmp_path / MANIFEST_NAME
    assert f"lists {name!r}" in str(error)


@pytest.mark.parametrize(
    "name", ["../config.json", "/etc/hosts.json", "a/b.json", "..", ".", "", "a\\b.json", ".a.json", "a\0.json"]
)
def test_a_manifest_that_lists_a_path_is_refused(tmp_path: Path, name: str) -> None:
    record = FileRecord(sha256="0" * 64, size_bytes=0)
    make(tmp_path, files={**_listed(tmp_path), name: record})
    error = problem(tmp_path)
    assert error.path == tmp_path / MANIFEST_NAME
    assert "not a plain file name" in str(error)


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json", "openvino_model.bin"])
def test_a_manifest_that_leaves_out_what_a_model_needs_is_refused(tmp_path: Path, name: str) -> None:
    kept = {other: record for other, record in _listed(tmp_path).items() if other != name}
    make(tmp_path, files=kept)
    (tmp_path / name).unlink()
    assert f"does not list {name}" in str(problem(tmp_path))


def test_a_manifest_without_any_graph_is_refused_and_one_of_onnx_is_fine(tmp_path: Path) -> None:
    listed = _listed(tmp_path)
    kept = {name: record for name, record in listed.items() if name.endswith(".json")}
    make(tmp_path, files=kept)
    for name in listed.keys() - kept.keys():
        (tmp_path / name).unlink()
    assert "lists no model" in str(problem(tmp_path))
    (tmp_path / "model.onnx").write_bytes(b"graph")
    manifest = Manifest.read(tmp_path).model_copy(update={"files": {**kept, **record_files(tmp_path, ["model.onnx"])}})
    manifest.verify(tmp_path)


@pytest.mark.parametrize("name", [*FILES, "README.md"])
def test_a_link_to_a_file_elsewhere_is_refused_even_with_the_right_content(tmp_path: Path, name: str) -> None:
    model = tmp_path / "model"
    model.mkdir()
    make(model)
    (model / "README.md").write_text("# a card")
    shutil.move(model / name, tmp_path / name)
    (model / name).symlink_to(tmp_path / name)
    error = problem(model)
    assert error.path == model / name
    assert "outside of its directory" in str(error)


def test_a_model_directory_may_be_a_link_itself(tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    manifest = make(tmp_path / "model")
    (tmp_path / "link").symlink_to(tmp_path / "model")
    manifest.verify(tmp_path / "link")


def test_a_pipe_in_the_place_of_a_file_is_missing_and_nobody_waits_for_it(tmp_path: Path) -> None:
    make(tmp_path)
    (tmp_path / "config.json").unlink()
    os.mkfifo(tmp_path / "config.json")
    assert "config.json is missing" in str(problem(tmp_path))


@pytest.mark.parametrize("name", ["config.json", "openvino_model.bin", "openvino_model.xml", "tokenizer.json"])
@pytest.mark.parametrize("harm", ["missing", "truncated", "changed"])
def test_a_real_model_with_any_file_harmed_is_refused_by_its_name(
    tmp_path: Path, sentiment: StoredModel, name: str, harm: str
) -> None:
    model = StoredModel(shutil.copytree(sentiment.directory, tmp_path / "sentiment"), sentiment.manifest)
    path = model.directory / name
    match harm:
        case "missing":
            path.unlink()
        case "truncated":
            os.truncate(path, path.stat().st_size - 1)
        case _:
            with path.open("r+b") as file:
                file.seek(path.stat().st_size // 2)
                byte = file.read(1)
                file.seek(-1, os.SEEK_CUR)
                file.write(bytes([byte[0] ^ 1]))
    with pytest.raises(CorruptModelError) as caught:
        model.verify()
    assert caught.value.path == path


def _listed(directory: Path) -> dict[str, FileRecord]:
    return make(directory).files
