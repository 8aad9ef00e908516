"""Every file of a prepared model is checked against the manifest."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from models.errors import CorruptModelError
from models.store import StoredModel
from models.store.manifest import MANIFEST_NAME, Manifest, Measurement, digest, digest_of_all, record_files
from producer.contract import TaskName

FILES = {
    "config.json": b"{}",
    "openvino_model.bin": b"\1\2\3",
    "openvino_model.xml": b"<net/>",
    "tokenizer.json": b"[]",
}


def make(directory: Path, **fields: Any) -> Manifest:
    """A small model with its manifest on disk."""
    for name, content in FILES.items():
        (directory / name).write_bytes(content)
    known: dict[str, Any] = {
        "name": "tiny",
        "task": TaskName.TEXT_CLASSIFICATION,
        "source": "a test",
        "source_sha256": "0" * 64,
        "licence": "none",
        "max_length_tokens": 8,
        "recipe": {"preset": "mixed"},
        "versions": {"openvino": "1"},
        "files": record_files(directory, list(FILES)),
    }
    manifest = Manifest(**{**known, **fields})
    manifest.write(directory)
    return manifest


def test_what_was_written_is_read_back_and_verified(tmp_path: Path) -> None:
    shares = {"fp32": 0.9, "int8": 0.8, "int8_bf16": 0.7}
    measured = Measurement(metric="accuracy", data="dev.jsonl", rows=10, rows_per_second={"fp32": 5.0}, **shares)
    manifest = make(tmp_path, measurements=[measured])
    assert Manifest.read(tmp_path) == manifest
    Manifest.read(tmp_path).verify(tmp_path)


@pytest.mark.parametrize("name", FILES)
def test_a_missing_file_is_named(tmp_path: Path, name: str) -> None:
    make(tmp_path)
    (tmp_path / name).unlink()
    with pytest.raises(CorruptModelError, match="is missing") as caught:
        Manifest.read(tmp_path).verify(tmp_path)
    assert caught.value.path == tmp_path / name
    assert str(tmp_path / name) in str(caught.value)


@pytest.mark.parametrize("name", FILES)
def test_a_truncated_file_is_named_with_its_sizes(tmp_path: Path, name: str) -> None:
    make(tmp_path)
    size = len(FILES[name])
    (tmp_path / name).write_bytes(FILES[name][:-1])
    with pytest.raises(CorruptModelError, match=f"{name} has {size - 1} bytes instead of {size}"):
        Manifest.read(tmp_path).verify(tmp_path)


@pytest.mark.parametrize("name", FILES)
def test_a_changed_byte_is_noticed(tmp_path: Path, name: str) -> None:
    make(tmp_path)
    (tmp_path / name).write_bytes(b"x" + FILES[name][1:])
    with pytest.raises(CorruptModelError, match=f"{name} does not match its checksum"):
        Manifest.read(tmp_path).verify(tmp_path)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"format": 2}, "format"),
        ({"task": "translation"}, "task"),
        ({"max_length_tokens": 0}, "max_length_tokens"),
        ({"further": 1}, "further"),
        ({"files": {"a": {"sha256": "short", "size_bytes": 1}}}, "files.a.sha256"),
        ({"files": {"a": {"sha256": "0" * 64, "size_bytes": -1}}}, "files.a.size_bytes"),
    ],
)
def test_a_manifest_with_a_wrong_field_is_refused_by_its_name(
    tmp_path: Path, change: dict[str, Any], reason: str
) -> None:
    make(tmp_path)
    path = tmp_path / MANIFEST_NAME
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    with pytest.raises(CorruptModelError, match=f"is not a manifest \\({reason}: ") as caught:
        Manifest.read(tmp_path)
    assert caught.value.path == path


@pytest.mark.parametrize("share", [0.0, 0.5, 0.99])
def test_a_truncated_manifest_is_refused(tmp_path: Path, share: float) -> None:
    make(tmp_path)
    path = tmp_path / MANIFEST_NAME
    whole = path.read_bytes().rstrip()
    path.write_bytes(whole[: int(len(whole) * share)])
    with pytest.raises(CorruptModelError, match="is not a manifest") as caught:
        Manifest.read(tmp_path)
    assert caught.value.path == path


@pytest.mark.parametrize("name", ["", "my model", "../elsewhere", "-rf", "x" * 201, "naïve", "a:b"])
def test_a_manifest_with_a_name_that_no_model_can_have_is_refused(tmp_path: Path, name: str) -> None:
    make(tmp_path, name=name)
    with pytest.raises(CorruptModelError, match="has an invalid name"):
        Manifest.read(tmp_path)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff\xfe"])
def test_a_file_that_is_no_manifest_at_all_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / MANIFEST_NAME).write_bytes(content)
    with pytest.raises(CorruptModelError, match="is not a manifest"):
        Manifest.read(tmp_path)


def test_a_directory_without_a_manifest_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CorruptModelError, match=rf"{MANIFEST_NAME} is missing"):
        Manifest.read(tmp_path)


def test_the_revision_changes_with_the_content_and_the_names_of_the_files_and_with_nothing_else(tmp_path: Path) -> None:
    manifest = make(tmp_path)
    assert make(tmp_path, name="other", licence="other", files=dict(reversed(manifest.files.items()))).revision == (
        manifest.revision
    )
    (tmp_path / "config.json").write_bytes(b"[]")
    changed = record_files(tmp_path, list(FILES))
    renamed = {f"{name}.old": record for name, record in manifest.files.items()}
    revisions = {manifest.revision, make(tmp_path, files=changed).revision, make(tmp_path, files=renamed).revision}
    assert len(revisions) == 3


def test_the_revision_changes_with_what_labels_mean(tmp_path: Path) -> None:
    given: list[dict[str, str]] = [
        {},
        {"entailment_label": "A"},
        {"contradiction_label": "A"},
        {"entailment_label": "B"},
    ]
    assert len({make(tmp_path, **labels).revision for labels in given}) == len(given)


def test_the_checksum_of_several_files_is_that_of_what_sha256sum_prints(tmp_path: Path) -> None:
    paths = [tmp_path / name for name in ("one", "two")]
    for path in paths:
        path.write_bytes(path.name.encode())
    printed = "".join(f"{hashlib.sha256(path.name.encode()).hexdigest()}  {path.name}\n" for path in paths)
    assert digest_of_all(paths) == hashlib.sha256(printed.encode()).hexdigest()
    assert digest_of_all(paths[:1]) == digest(paths[0])


def test_every_bundled_model_is_as_its_manifest_says(sentiment: StoredModel, nli: StoredModel, qa: StoredModel) -> None:
    for model in (sentiment, nli, qa):
        model.verify()
        assert model.directory.name == model.name
        on_disk = {path.name for path in model.directory.iterdir()}
        assert on_disk == {*model.manifest.files, MANIFEST_NAME, "README.md"}
