"""Only necessary files are fetched, once, and only if they match the hub's checksums."""

from __future__ import annotations

from pathlib import Path

import pytest

from models.errors import HubError, PreparationError
from models.prepare.source.locate import locate
from tests.models.hub import Fault, LocalHub
from tests.models.published import INC, INFERENCE, ONNX, PUBLISHED, QUESTIONS, SPARSE

pytestmark = pytest.mark.prepare
WEIGHTS = {".bin", ".onnx", ".safetensors", ".h5", ".ot"}


def sent_weights(hub: LocalHub) -> list[str]:
    return [name for name in hub.downloads if Path(name).suffix in WEIGHTS]


@pytest.mark.parametrize("hub_id", PUBLISHED)
def test_of_each_published_model_one_set_of_weights_is_downloaded(hub: LocalHub, hub_id: str) -> None:
    source = locate(hub_id, None)
    assert [Path(name).name for name in sent_weights(hub)] == [PUBLISHED[hub_id]]
    assert (source.directory / "config.json").is_file()
    assert source.name == hub_id


def test_of_a_model_that_is_refused_by_its_format_no_weights_are_downloaded(hub: LocalHub) -> None:
    locate(INC, None)
    assert sent_weights(hub) == []


def test_the_revision_is_the_hubs_commit(hub: LocalHub) -> None:
    commit = hub.commit(ONNX)
    assert locate(ONNX, None).revision == commit
    assert locate(ONNX, "main").revision == commit
    assert locate(ONNX, commit).revision == commit


def test_what_is_cached_is_not_downloaded_again(hub: LocalHub) -> None:
    first = locate(INFERENCE, None)
    hub.downloads.clear()
    assert locate(INFERENCE, None) == first
    assert hub.downloads == []


def test_without_a_hub_what_is_cached_serves(hub: LocalHub, capsys: pytest.CaptureFixture[str]) -> None:
    first = locate(INFERENCE, None)
    hub.close()
    assert locate(INFERENCE, None) == first
    assert "no answer from the hub" in capsys.readouterr().err


def test_offline_the_hub_is_not_asked(hub: LocalHub, monkeypatch: pytest.MonkeyPatch) -> None:
    first = locate(INFERENCE, None)
    hub.is_down = True
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    assert locate(INFERENCE, None) == first
    with pytest.raises(HubError, match=r"is not cached, and the hub cannot be reached"):
        locate(SPARSE, None)


@pytest.mark.parametrize(
    ("hub_id", "revision", "reason"),
    [
        ("nobody/has-this", None, "is not on the hub, or is private"),
        (ONNX, "v9", "has no revision v9"),
    ],
)
def test_what_the_hub_does_not_have_is_an_error_that_says_so(
    hub: LocalHub, hub_id: str, revision: str | None, reason: str
) -> None:
    with pytest.raises(HubError, match=f"^{hub_id} {reason}"):
        locate(hub_id, revision)
    assert hub.downloads == []


def test_a_hub_that_is_down_is_an_error_that_names_the_settings(hub: LocalHub) -> None:
    hub.is_down = True
    with pytest.raises(HubError, match=r"cannot be reached \(HF_ENDPOINT, HF_HUB_OFFLINE\): 503 Server Error"):
        locate(ONNX, None)


def test_an_interrupted_download_is_an_error_and_goes_on_where_it_stopped(
    hub: LocalHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    # What is written at once, and kept after an interruption; the default is larger than these files.
    monkeypatch.setattr("huggingface_hub.constants.DOWNLOAD_CHUNK_SIZE", 1_000)
    weights = f"{ONNX}/model.onnx"
    hub.faults[weights] = Fault.CUT
    with pytest.raises(HubError, match="run again to resume the download"):
        locate(ONNX, None)
    del hub.faults[weights]
    hub.downloads.clear()
    hub.ranges.clear()
    assert (locate(ONNX, None).directory / "model.onnx").read_bytes() == hub.files(ONNX)["model.onnx"].read_bytes()
    assert hub.downloads == [weights]
    assert hub.ranges[weights] > 0


@pytest.mark.parametrize("name", ["model.onnx", "config.json"])
def test_a_file_that_is_not_what_the_hub_says_is_refused_and_fetched_anew(hub: LocalHub, name: str) -> None:
    hub.faults[f"{ONNX}/{name}"] = Fault.CHANGED
    with pytest.raises(HubError, match=f"{name} does not match its checksum"):
        locate(ONNX, None)
    del hub.faults[f"{ONNX}/{name}"]
    assert (locate(ONNX, None).directory / name).read_bytes() == hub.files(ONNX)[name].read_bytes()


@pytest.mark.usefixtures("hub")
def test_a_copy_that_was_changed_in_the_cache_is_refused() -> None:
    weights = (locate(QUESTIONS, None).directory / "model.safetensors").resolve()
    weights.write_bytes(weights.read_bytes()[:-1] + b"x")
    with pytest.raises(HubError, match=r"model.safetensors does not match its checksum"):
        locate(QUESTIONS, None)


def test_a_repository_without_weights_is_refused_before_anything_is_downloaded(own_hub: LocalHub) -> None:
    own_hub.files(ONNX)["model.onnx"].unlink()
    with pytest.raises(PreparationError, match=r"has none of openvino_model.xml, model.onnx"):
        locate(ONNX, None)
    assert own_hub.downloads == []


@pytest.mark.parametrize("text", ["no/such/place", "../nowhere", "a b", "owner/", "~/nothing-here"])
def test_what_is_neither_a_directory_nor_a_hub_id_is_refused(text: str) -> None:
    with pytest.raises(PreparationError, match=r"is neither a directory nor a hub id"):
        locate(text, None)


def test_a_directory_goes_before_a_hub_id_and_has_no_revisions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "owner" / "name").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    assert locate("owner/name", None).revision == ""
    with pytest.raises(PreparationError, match="--revision is for repositories"):
        locate("owner/name", "main")
