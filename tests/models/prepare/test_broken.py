"""A model that cannot be prepared ends with a typed error and status 1, and leaves nothing behind."""

from __future__ import annotations

import json
import os
import pickle
import resource
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from models.store.manifest import Manifest
from tests.models.hub import Fault, LocalHub
from tests.models.prepare.conftest import Prepare, left_behind
from tests.models.published import INFERENCE, ONNX, QUESTIONS, SPARSE, TINY

pytestmark = pytest.mark.prepare
#: Enough for a tokenizer, too small for the graph.
_FILE_BYTES = 20_000


@pytest.fixture
def refused(prepare: Prepare, tmp_path: Path) -> Callable[..., str]:
    """Prepares a model that must be refused, and returns the message."""

    def refuse(origin: str | Path, *arguments: str) -> str:
        status, message = prepare(origin, *arguments)
        assert (status, message[:7]) == (1, "error: ")
        assert left_behind(tmp_path / "models") == []
        return message.removeprefix("error: ")

    return refuse


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


@pytest.mark.parametrize(
    ("hub_id", "name", "reason"),
    [
        (ONNX, "model.onnx", "model.onnx cannot be read by OpenVINO"),
        (SPARSE, "openvino_model.bin", "openvino_model.xml cannot be read by OpenVINO"),
        (SPARSE, "openvino_model.xml", "openvino_model.xml cannot be read by OpenVINO"),
        (INFERENCE, "pytorch_model.bin", "pytorch_model.bin is truncated or not a PyTorch checkpoint"),
        (QUESTIONS, "model.safetensors", "cannot be exported: SafetensorError"),
        (TINY, "config.json", "config.json is not JSON"),
    ],
)
def test_truncated_files_are_refused(
    own_repositories: Path, refused: Callable[..., str], hub_id: str, name: str, reason: str
) -> None:
    truncate(own_repositories / hub_id / name)
    assert reason in refused(own_repositories / hub_id)


@pytest.mark.parametrize(
    ("hub_id", "name", "reason"),
    [
        (SPARSE, "openvino_model.bin", "it has openvino_model.xml but no openvino_model.bin"),
        (ONNX, "model.onnx", "it has none of openvino_model.xml, model.onnx, model.safetensors, pytorch_model.bin"),
        (TINY, "config.json", "it has no config.json"),
        (TINY, "vocab.txt", "has no readable tokenizer"),
    ],
)
def test_missing_files_are_refused_by_their_name(
    own_repositories: Path, refused: Callable[..., str], hub_id: str, name: str, reason: str
) -> None:
    (own_repositories / hub_id / name).unlink()
    assert reason in refused(own_repositories / hub_id)


class Malice:
    """Creates a directory when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("is_zip", [True, False])
def test_a_pickle_that_runs_code_is_refused_and_does_not_run(
    own_repositories: Path, refused: Callable[..., str], tmp_path: Path, is_zip: bool
) -> None:
    import torch

    weights = own_repositories / INFERENCE / "pytorch_model.bin"
    if is_zip:
        torch.save({"a": Malice(tmp_path / "was here")}, weights)
    else:
        weights.write_bytes(pickle.dumps({"a": Malice(tmp_path / "was here")}))
    assert "is refused: the pickle contains more than tensors" in refused(own_repositories / INFERENCE)
    assert not (tmp_path / "was here").exists()


def test_the_pickle_would_have_run(tmp_path: Path) -> None:
    pickle.loads(pickle.dumps(Malice(tmp_path / "was here")))  # noqa: S301 - what the test above is about
    assert (tmp_path / "was here").is_dir()


def test_a_pickle_that_holds_no_tensors_is_refused(own_repositories: Path, refused: Callable[..., str]) -> None:
    import torch

    torch.save({"weights": [1.0, 2.0]}, own_repositories / TINY / "pytorch_model.bin")
    assert "is not a mapping of names to tensors" in refused(own_repositories / TINY)


def test_weights_that_miss_a_layer_are_refused_by_its_name(own_repositories: Path, refused: Callable[..., str]) -> None:
    import torch

    path = own_repositories / INFERENCE / "pytorch_model.bin"
    weights = torch.load(path, weights_only=True)
    del weights["pre_classifier.weight"]
    torch.save(weights, path)
    assert "lacks weights that a model for zero-shot-classification needs: pre_classifier.weight" in refused(
        own_repositories / INFERENCE
    )


def change_config(directory: Path, **fields: Any) -> None:
    path = directory / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_bytes()), **fields}))


def test_an_architecture_that_optimum_does_not_know_is_refused(
    own_repositories: Path, refused: Callable[..., str]
) -> None:
    change_config(own_repositories / TINY, model_type="nonesuch", architectures=["NonesuchForQuestionAnswering"])
    assert "nonesuch" in refused(own_repositories / TINY)


@pytest.mark.parametrize(
    ("index", "reason"),
    [
        ('{"weight_map": {"a": "../elsewhere.safetensors"}}', "lists ../elsewhere.safetensors, which is not beside it"),
        ('{"weight_map": ["a"]}', "is not an index of weights"),
        ("{", "is not an index of weights"),
    ],
)
def test_an_index_of_weights_that_leads_elsewhere_or_is_none_is_refused(
    own_repositories: Path, refused: Callable[..., str], index: str, reason: str
) -> None:
    directory = own_repositories / QUESTIONS
    (directory / "model.safetensors").rename(directory / "model-00001-of-00001.safetensors")
    (directory / "model.safetensors.index.json").write_text(index)
    assert reason in refused(directory)


def test_a_task_that_nobody_knows_is_refused_and_can_be_given(
    own_repositories: Path, refused: Callable[..., str], prepare: Prepare
) -> None:
    change_config(own_repositories / ONNX, architectures=["DistilBertModel"])
    assert "architecture DistilBertModel is not supported" in refused(own_repositories / ONNX)
    assert prepare(own_repositories / ONNX, "--task", "text-classification")[0] == 0


def test_a_graph_whose_outputs_are_not_those_of_its_task_is_refused(
    own_repositories: Path, refused: Callable[..., str]
) -> None:
    message = refused(own_repositories / ONNX, "--task", "question-answering")
    assert "has the outputs logits; question answering needs end_logits, start_logits" in message


def test_a_tokenizer_that_gives_other_ids_than_the_models_own_is_mended_or_refused(
    own_repositories: Path, refused: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from transformers import BertTokenizer

    def another(_: Any, text: str) -> list[str]:
        return [*text.split(), "[UNK]"]

    monkeypatch.setattr(BertTokenizer, "_tokenize", another)
    message = refused(own_repositories / TINY)
    assert "no tokenizer.json gives the ids of the model's own tokenizer; they differ on 'café" in message


def test_what_a_tokenizers_configuration_changes_goes_into_the_file(
    own_repositories: Path, prepare: Prepare, tmp_path: Path
) -> None:
    from tokenizers import Tokenizer

    path = own_repositories / ONNX / "tokenizer_config.json"
    path.write_text(json.dumps({**json.loads(path.read_bytes()), "do_lower_case": False}))
    assert prepare(own_repositories / ONNX, "--as", "mine")[0] == 0
    made = Tokenizer.from_file(str(tmp_path / "models" / "mine" / "tokenizer.json"))
    assert "[UNK]" in made.encode("GOOD").tokens


def test_a_download_that_breaks_or_is_not_what_it_should_be_leaves_nothing(
    hub: LocalHub, refused: Callable[..., str]
) -> None:
    for fault, reason in ((Fault.CUT, "run again to resume"), (Fault.CHANGED, "does not match its checksum")):
        hub.faults[f"{ONNX}/model.onnx"] = fault
        assert reason in refused(ONNX)
    hub.is_down = True
    assert "the hub cannot be reached" in refused(SPARSE)


def command(models_dir: Path, origin: str | Path) -> list[str]:
    return [sys.executable, "-m", "models", "--models-dir", str(models_dir), "prepare", str(origin), "--as", "mine"]


def test_a_disk_that_is_too_small_is_said_before_anything_is_made(
    own_repositories: Path, refused: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage(own_repositories)._replace(free=1_000)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    assert "MB free, and preparing this model takes up to" in refused(own_repositories / ONNX)


def test_a_file_that_cannot_be_written_whole_leaves_nothing_behind(own_repositories: Path, tmp_path: Path) -> None:
    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (_FILE_BYTES, _FILE_BYTES))

    models_dir = tmp_path / "models"
    done = subprocess.run(
        command(models_dir, own_repositories / ONNX),
        capture_output=True,
        text=True,
        check=False,
        # Coverage could not write its data either.
        env={name: value for name, value in os.environ.items() if name != "COVERAGE_PROCESS_CONFIG"},
        preexec_fn=limit,
    )
    assert done.returncode == 1, done.stderr
    assert "openvino_model.xml could not be written; is the disk full?" in done.stderr.splitlines()[-1]
    assert left_behind(models_dir) == []


def test_two_that_prepare_the_same_at_once_both_succeed_and_ask_the_hub_that_the_environment_names(
    repositories: Path, tmp_path: Path
) -> None:
    models_dir = tmp_path / "models"
    with LocalHub(repositories) as hub:
        environment = {**os.environ, "HF_ENDPOINT": hub.url, "HF_HOME": str(tmp_path / "home")}
        running = [
            subprocess.Popen(command(models_dir, SPARSE), stderr=subprocess.PIPE, text=True, env=environment)
            for _ in range(2)
        ]
        said = [process.communicate()[1] for process in running]
    assert [process.returncode for process in running] == [0, 0], said
    assert left_behind(models_dir) == ["mine"]
    Manifest.read(models_dir / "mine").verify(models_dir / "mine")
    assert hub.downloads.count(f"{SPARSE}/openvino_model.bin") == 1


def test_one_that_is_terminated_leaves_nothing_behind(own_repositories: Path, tmp_path: Path) -> None:
    models_dir = tmp_path / "models"
    running = subprocess.Popen(command(models_dir, own_repositories / TINY), stderr=subprocess.PIPE, text=True)
    assert running.stderr is not None
    next(line for line in running.stderr if "checking the tokenizer" in line)
    assert left_behind(models_dir) != []
    running.send_signal(signal.SIGTERM)
    rest = running.communicate()[1]
    assert running.returncode == 128 + signal.SIGTERM
    assert "Traceback" not in rest
    assert left_behind(models_dir) == []
