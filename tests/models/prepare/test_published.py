"""Each of the five published models, from its hub id to answers through the queue."""

from __future__ import annotations

import contextlib
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from examples.local_stack import PATIENCE_S, LocalServer, LocalWorker
from models.__main__ import main
from models.engine import cpu
from models.engine.arithmetic import Arithmetic
from models.engine.compilation import ModelFile, compile_for_this_cpu
from models.engine.engine import Engine, TokenSequence
from models.engine.openvino_core import shared_core
from models.engine.verdict import verdicts_of
from models.pipelines import load
from models.prepare.graph.operations import int8_share
from models.store import MODEL_NAME, StoredModel, find
from models.store.graph_quantization import ActivationQuantization, quantization_of
from producer import Client
from producer.contract import TaskName
from tests.conftest import ARITHMETIC, COMPILED_DIR
from tests.models.engine.products import ATTENTION, LINEAR, QUANTIZERS, products_of
from tests.models.hub import LocalHub
from tests.models.options import engine_options
from tests.models.prepare.conftest import Prepare, left_behind, serve
from tests.models.published import INC, LABELS, ONNX, PUBLISHED, SPARSE, original

Array = npt.NDArray[np.float32]
pytestmark = pytest.mark.prepare
NAMES = dict(zip(PUBLISHED, ("onnx", "sparse", "topics", "answers", "tiny"), strict=True))
#: Texts of equal length.
IDS = [[2, *range(start, start + 7), 3] for start in (10, 25, 40, 55, 70)]
COUNT = 40
ROWS = {
    "topics": [
        {"premise": f"the food was good {number}", "hypothesis": "This example is food."} for number in range(COUNT)
    ],
    "answers": [{"question": "who was in paris?", "context": f"ada was in paris {number}."} for number in range(COUNT)],
}


@pytest.fixture(scope="module")
def prepared(repositories: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, dict[str, str]]]:
    """A models directory with all five, and the output of each preparation by the model's name."""
    directory = tmp_path_factory.mktemp("five")
    models_dir = directory / "models"
    output: dict[str, str] = {}
    with pytest.MonkeyPatch.context() as patch:
        for hub in serve(repositories, directory, patch):
            for hub_id, name in NAMES.items():
                output[name] = _prepare(hub, models_dir, hub_id, name)
        yield models_dir, output


def _prepare(hub: LocalHub, models_dir: Path, hub_id: str, name: str) -> str:
    # With random weights any distance is possible.
    arguments = ["--models-dir", str(models_dir), "prepare", hub_id, "--as", name, "--max-distance", "1"]
    if name in ROWS:
        rows = models_dir.parent / f"{name}.jsonl"
        rows.write_text("".join(f"{json.dumps(row)}\n" for row in ROWS[name]))
        arguments += ["--calibration", str(rows)]
    output = io.StringIO()
    with contextlib.redirect_stderr(output), contextlib.redirect_stdout(output):
        assert main(arguments) == 0, output.getvalue()
    assert hub.downloads
    return output.getvalue()


@pytest.fixture(scope="module")
def models(prepared: tuple[Path, dict[str, str]]) -> dict[str, StoredModel]:
    """All five by name."""
    return {name: find(name, prepared[0]) for name in NAMES.values()}


@pytest.mark.parametrize("arithmetic", ["int8", "f32"])
def test_all_five_are_served_through_the_queue_by_one_worker(
    prepared: tuple[Path, dict[str, str]], own_server: LocalServer, own_environment: dict[str, str], arithmetic: str
) -> None:
    environment = {
        **own_environment,
        "CELERIAC_MODEL_DIR": str(prepared[0]),
        "CELERIAC_MODELS": ",".join(NAMES.values()),
        "CELERIAC_PROCESSES_MAX": "1",
        ARITHMETIC: arithmetic,
    }
    context = "ada was in paris. the food was good."
    with LocalWorker(environment=environment) as worker, Client(own_server.url, timeout_s=PATIENCE_S) as client:
        worker.wait_until_ready()
        revisions = {name: find(name, prepared[0]).manifest.revision for name in NAMES.values()}
        assert all(f"{name} {revision} ({arithmetic})" in worker.log for name, revision in revisions.items())
        for name in ("onnx", "sparse"):
            scored = client.classify("this film was terrible", top_k=None, model=name)
            assert {entry["label"] for entry in scored} == set(LABELS.values())
        zero_shot = client.classify_zero_shot("the food was good", ["food", "film"], model="topics")
        assert sorted(zero_shot["labels"]) == ["film", "food"]
        for name in ("answers", "tiny"):
            answer = client.answer(question="who was in paris?", context=context, model=name)
            assert context[answer["start"] : answer["end"]] == answer["answer"] != ""


def test_the_manifests_say_where_each_comes_from_and_how_it_was_made(
    models: dict[str, StoredModel],
) -> None:
    for hub_id, name in NAMES.items():
        manifest = models[name].manifest
        assert manifest.source == hub_id
        assert len(manifest.source_revision) == 40
        assert manifest.operations_cpu == cpu.cpu_name()
        assert int8_share(manifest.operations) > 0.8
        models[name].verify()
    assert [models[name].manifest.source_layout for name in NAMES.values()] == [
        "ONNX",
        "OpenVINO IR",
        "PyTorch (pytorch_model.bin)",
        "PyTorch (safetensors)",
        "PyTorch (pytorch_model.bin)",
    ]
    assert models["onnx"].manifest.recipe == {"method": "used as published, ONNX"}
    assert models["topics"].manifest.recipe["calibration_data"] == "topics.jsonl"
    assert models["topics"].manifest.recipe["calibration_rows"] == COUNT // 2
    assert models["tiny"].manifest.recipe["calibration_data"] == "question-answering.jsonl"
    assert [models[name].manifest.task for name in NAMES.values()] == [
        TaskName.TEXT_CLASSIFICATION,
        TaskName.TEXT_CLASSIFICATION,
        TaskName.ZERO_SHOT_CLASSIFICATION,
        TaskName.QUESTION_ANSWERING,
        TaskName.QUESTION_ANSWERING,
    ]
    assert (models["onnx"].manifest.licence, models["topics"].manifest.licence) == ("apache-2.0", "unknown")


def test_a_served_directory_holds_a_graph_and_json_and_its_card_alone(models: dict[str, StoredModel]) -> None:
    for model in models.values():
        assert {path.name for path in model.directory.iterdir()} == {
            "README.md",
            "config.json",
            "manifest.json",
            "openvino_model.bin",
            "openvino_model.xml",
            "tokenizer.json",
        }


def test_what_is_quantized_already_has_the_answers_of_its_publisher(
    models: dict[str, StoredModel], repositories: Path
) -> None:

    ids = [2, 40, 50, 60, 3]
    inputs = {"input_ids": [ids], "attention_mask": [[1] * 5], "token_type_ids": [[0] * 5]}
    for hub_id, name, graph in ((ONNX, "onnx", "model.onnx"), (SPARSE, "sparse", "openvino_model.xml")):
        published = shared_core().compile_model(
            repositories / hub_id / graph, "CPU", {"INFERENCE_PRECISION_HINT": "f32"}
        )
        wanted = published({port.any_name: np.array(inputs[port.any_name]) for port in published.inputs})[0]
        engine = Engine(models[name].directory / MODEL_NAME, 64, engine_options())
        ((logits,),) = engine.compute([TokenSequence(ids, [0] * 5)])
        np.testing.assert_allclose(logits, wanted[0], atol=1e-6)


@pytest.mark.parametrize("hub_id", NAMES)
def test_each_is_computed_in_floating_point_from_the_same_directory(
    models: dict[str, StoredModel], hub_id: str
) -> None:
    path = models[NAMES[hub_id]].directory / MODEL_NAME
    compilation = compile_for_this_cpu(ModelFile(path, 64), engine_options(arithmetic=Arithmetic.F32))
    found = products_of(compilation, path)
    assert quantization_of(path) is not ActivationQuantization.NONE
    assert found[LINEAR].keys() == found[ATTENTION].keys() == {Arithmetic.F32}
    assert found[QUANTIZERS] == {}

    if NAMES[hub_id] not in ROWS:
        # Rows that are nearly equal are no calibration, so there the distances mean nothing.
        published = _answers_before_quantization(hub_id)
        in_int8, in_f32 = (
            float(np.abs(_answers(path, arithmetic) - published).mean())
            for arithmetic in (Arithmetic.INT8, Arithmetic.F32)
        )
        assert in_f32 < in_int8
        assert in_f32 < 0.05 * float(np.ptp(published))


def _answers(path: Path, arithmetic: Arithmetic) -> Array:
    engine = Engine(path, 64, engine_options(arithmetic=arithmetic, length_multiple=1))
    outputs = engine.compute([TokenSequence(ids, [0] * len(ids)) for ids in IDS])
    return np.array([np.concatenate(logits) for logits in outputs])


def _answers_before_quantization(hub_id: str) -> Array:
    import torch

    ids = torch.tensor(IDS)
    with torch.no_grad():
        outputs = original(hub_id)(input_ids=ids, attention_mask=torch.ones_like(ids))
    return np.concatenate([logits.numpy() for name, logits in outputs.items() if name.endswith("logits")], axis=1)


def test_the_sparse_model_is_known_as_sparse_and_the_report_says_whether_the_cpu_makes_use_of_it(
    prepared: tuple[Path, dict[str, str]], models: dict[str, StoredModel]
) -> None:
    assert models["sparse"].manifest.zero_weights == pytest.approx(0.8, abs=0.1)
    assert models["onnx"].manifest.zero_weights < 0.2
    has = "has" if cpu.runs_sparse_weights() else "does not have"
    assert f"of the weights are zero; this CPU {has} the kernels (AMX)" in prepared[1]["sparse"]


def test_the_engine_takes_the_option_for_sparse_weights_where_the_cpu_has_kernels_for_them(
    models: dict[str, StoredModel], monkeypatch: pytest.MonkeyPatch
) -> None:
    # OpenVINO accepts the option on every CPU, and ignores it if it has no kernels for sparse weights.
    path = models["sparse"].directory / MODEL_NAME
    sequences = [TokenSequence([2, 40, 50, 60, 3], [0] * 5)]
    monkeypatch.setattr("models.engine.compilation.runs_sparse_weights", lambda: True)
    with_option = Engine(path, 64, engine_options(), zero_weights=0.8)
    assert with_option.sparse_rate == 0.5
    assert Engine(path, 64, engine_options(), zero_weights=0.4).sparse_rate == 1.0
    monkeypatch.setattr("models.engine.compilation.runs_sparse_weights", lambda: False)
    without = Engine(path, 64, engine_options(), zero_weights=0.8)
    assert without.sparse_rate == 1.0
    np.testing.assert_allclose(with_option.compute(sequences)[0][0], without.compute(sequences)[0][0], atol=1e-6)


def test_only_what_was_not_quantized_yet_has_recipes_to_choose_from(
    prepared: tuple[Path, dict[str, str]], models: dict[str, StoredModel]
) -> None:
    assert "20 rows calibrate, 20 rows measure the distance from FP32" in prepared[1]["topics"]
    assert [len(models[name].manifest.trials) for name in NAMES.values()] == [0, 0, 1, 1, 1]
    assert "no recipes were compared at preparation" in prepared[1]["onnx"]
    assert "Not measured: FP32 is not published." in (models["onnx"].directory / "README.md").read_text()


@pytest.mark.usefixtures("hub")
def test_the_sibling_in_a_format_of_its_own_is_refused_with_the_name_of_the_one_that_can_be_served(
    prepare: Prepare, tmp_path: Path
) -> None:
    status, message = prepare(INC)
    assert status == 1
    assert message.startswith(f"error: {INC} is a PyTorch checkpoint quantized by Intel Neural Compressor")
    assert message.endswith(f"its ONNX sibling can be served: python -m models prepare {ONNX}")
    assert left_behind(tmp_path / "models") == []


@pytest.mark.usefixtures("hub")
def test_a_preparation_measures_on_this_cpu_so_that_workers_need_not(
    prepare: Prepare, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(ARITHMETIC, "auto")
    monkeypatch.setenv(COMPILED_DIR, str(tmp_path / "compiled"))
    assert prepare(ONNX, "--as", "mine")[0] == 0
    model = find("mine", tmp_path / "models")
    (verdict,) = verdicts_of(tmp_path / "compiled", model.manifest.revision)
    assert verdict.is_for_this_cpu()
    kept = set((tmp_path / "compiled").glob("*.blob"))
    options = engine_options(arithmetic=None, cache_dir=tmp_path / "compiled")
    assert load(model, options).engine.arithmetic == verdict.arithmetic
    assert set((tmp_path / "compiled").glob("*.blob")) == kept


def test_a_prepared_model_is_replaced_by_another_with_its_name(hub: LocalHub, prepare: Prepare, tmp_path: Path) -> None:
    revisions: list[Any] = []
    for hub_id in (ONNX, SPARSE):
        assert prepare(hub_id, "--as", "mine")[0] == 0
        revisions.append(find("mine", tmp_path / "models").manifest.source_revision)
    assert revisions == [hub.commit(ONNX), hub.commit(SPARSE)]
    assert left_behind(tmp_path / "models") == ["mine"]
