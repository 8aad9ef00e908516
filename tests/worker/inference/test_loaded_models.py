"""What a pool process loads, and in which order it offers the models."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from config import Settings
from config.settings import ArithmeticChoice
from models.engine.usage import Usage
from models.engine.verdict import verdicts_of
from models.errors import ModelError
from models.store import StoredModel
from producer.contract import TaskName, TextClassificationRequest, ZeroShotClassificationRequest
from worker.inference.loaded_models import LoadedModels

TEXTS, TOPICS, QUESTIONS = TaskName


def test_each_task_offers_the_models_made_for_it_before_those_that_can_also_do_it(loaded: LoadedModels) -> None:
    assert {task: list(by_name) for task, by_name in loaded.pipelines.items()} == {
        TEXTS: ["sentiment", "nli"],
        TOPICS: ["nli"],
        QUESTIONS: ["qa"],
    }


def test_a_model_of_two_tasks_has_one_name(loaded: LoadedModels) -> None:
    assert sorted(loaded.names) == ["nli", "qa", "sentiment"]


def test_the_tasks_of_a_model_share_its_engine(loaded: LoadedModels) -> None:
    assert loaded.pipelines[TEXTS]["nli"].engine is loaded.pipelines[TOPICS]["nli"].engine
    assert loaded.pipelines[TEXTS]["nli"].engine is not loaded.pipelines[TEXTS]["sentiment"].engine


def test_usage_covers_all_models_counts_a_shared_engine_once_and_starts_again_from_zero(loaded: LoadedModels) -> None:
    loaded.take_usage()
    counts: list[int] = []
    loaded.pipelines[TEXTS]["sentiment"].answer([TextClassificationRequest.parse({"inputs": "one text"})], counts)
    loaded.pipelines[TEXTS]["nli"].answer([TextClassificationRequest.parse({"inputs": "another text"})], counts)
    topics = ZeroShotClassificationRequest(inputs="a third text", candidate_labels=["politics", "sports"])
    loaded.pipelines[TOPICS]["nli"].answer([topics], counts)

    usage = loaded.take_usage()

    assert usage.tokens == sum(counts) > 0
    assert usage.inferences >= 3
    assert usage.seconds > 0
    assert loaded.take_usage() == Usage()


def test_a_file_that_has_changed_since_the_worker_started_is_not_loaded(
    bundled: dict[str, StoredModel], settings: Settings, tmp_path: Path
) -> None:
    copy = tmp_path / "sentiment"
    shutil.copytree(bundled["sentiment"].directory, copy)
    with (copy / "openvino_model.bin").open("r+b") as weights:
        weights.write(b"\x00\x01\x02\x03")

    with pytest.raises(ModelError, match=r"openvino_model\.bin does not match its checksum"):
        LoadedModels.load([StoredModel(copy, bundled["sentiment"].manifest)], settings, threads=1)


@pytest.mark.parametrize(("start_s", "verdicts"), [(1e-9, 0), (3600.0, 1)])
def test_arithmetic_is_measured_only_while_the_start_has_time(
    bundled: dict[str, StoredModel], settings: Settings, tmp_path: Path, start_s: float, verdicts: int
) -> None:
    changes = {
        "compiled_dir": tmp_path,
        "engine": settings.engine.model_copy(update={"arithmetic": ArithmeticChoice.AUTO, "cache": True}),
        "time": settings.time.model_copy(update={"process_start_s": start_s}),
    }
    LoadedModels.load([bundled["sentiment"]], settings.model_copy(update=changes), threads=1)

    assert len(verdicts_of(tmp_path, bundled["sentiment"].manifest.revision)) == verdicts


def test_without_models_there_is_nothing_to_offer_and_no_usage(settings: Settings) -> None:
    nothing = LoadedModels.load([], settings, threads=1)

    assert (nothing.pipelines, nothing.names, nothing.take_usage()) == ({}, [], Usage())
