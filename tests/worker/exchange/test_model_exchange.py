"""A new revision is checked by a process of its own, and taken process by process, or taken back."""

from __future__ import annotations

import os
import re
import struct
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from config import Settings, load_settings
from examples.local_stack import PATIENCE_S
from examples.local_stack.model_revisions import ModelRevisions
from models import store
from models.store import CONFIG_NAME, MODEL_NAME, TOKENIZER_NAME
from models.store.contents import WEIGHTS_NAME
from models.store.in_use import is_in_use
from models.store.manifest import Manifest
from producer.contract import TaskName
from tests.producer.helpers import wait_until
from worker.exchange.model_exchange import ExchangeOutcome, ExchangeReport, ModelExchange
from worker.inference.served_models import ServedModels
from worker.inference.taken_models import take
from worker.runtime import WorkerRuntime

CORES = sorted(os.sched_getaffinity(0))[:1]


class Processes:
    """Processes that only have numbers; the next one is up at once."""

    def __init__(self, pids: Sequence[int]) -> None:
        self.pids: Sequence[int] = list(pids)
        self.is_changing = False
        self.on_replace: Callable[[], object] = lambda: None

    @property
    def pids_up(self) -> Sequence[int]:
        return self.pids

    def replace(self, pid: int) -> None:
        self.pids = [*(other for other in self.pids if other != pid), max(self.pids) + 1]
        self.on_replace()


@pytest.fixture
def revisions(tmp_path: Path) -> ModelRevisions:
    return ModelRevisions(tmp_path / "models")


@pytest.fixture
def settings(tmp_path: Path, revisions: ModelRevisions, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Settings, also for the processes that check, with a prepared model."""
    monkeypatch.setenv("CELERIAC_MODELS", "mine,sentiment")
    monkeypatch.setenv("CELERIAC_MODEL_DIR", str(tmp_path / "models"))
    monkeypatch.setenv("CELERIAC_COMPILED_DIR", str(tmp_path / "compiled"))
    monkeypatch.setenv("CELERIAC_TIME_PROCESS_START_S", f"{PATIENCE_S:g}")
    revisions.prepare("A")
    return load_settings()


@pytest.fixture
def runtime(settings: Settings) -> Iterator[WorkerRuntime]:
    """A worker that has taken the first revision."""
    made = WorkerRuntime(settings, ServedModels(()))
    made.serve([take(store.find(name, settings.model_dir), settings)[0] for name in settings.models])
    yield made
    for taken in made.taken:
        taken.close()


@pytest.fixture
def processes() -> Processes:
    return Processes([1, 2, 3])


def run(exchange: ModelExchange, processes: Processes) -> ExchangeReport:
    """Begin an exchange, and go on until it ends."""
    reports: list[ExchangeReport] = []
    begun = exchange.begin(processes, CORES, reports.append)

    def goes_on() -> bool:
        if exchange.is_active:
            exchange.tick()
        return exchange.is_active

    wait_until(lambda: not goes_on())
    assert len(reports) <= 1
    return reports[0] if reports else begun


def served(runtime: WorkerRuntime) -> dict[str, str]:
    return {model.name: model.manifest.revision for model in runtime.served.models}


def copies(settings: Settings) -> list[str]:
    """The revisions of which there are copies."""
    return [Manifest.read(path).revision for path in (settings.compiled_dir / "models").iterdir()]


def test_only_the_model_that_changed_is_exchanged_and_the_old_one_goes(
    runtime: WorkerRuntime, settings: Settings, revisions: ModelRevisions, processes: Processes
) -> None:
    before = served(runtime)
    old, kept = runtime.taken
    assert runtime.exchange.begin(processes, CORES).outcome is ExchangeOutcome.NOTHING_NEW

    revision = revisions.prepare("B")
    report = run(runtime.exchange, processes)

    assert report.outcome is ExchangeOutcome.TAKEN, report
    assert f"mine {before['mine']} -> {revision} in 3 processes" in report.message
    assert served(runtime) == {**before, "mine": revision}
    assert runtime.taken[1] is kept
    assert processes.pids == [4, 5, 6]
    assert copies(settings) == [revision]
    assert not old.model.directory.exists()
    assert {path.name.split("-")[0] for path in settings.compiled_dir.glob("*.blob")} == {revision}
    assert is_in_use(revisions.directory)
    assert is_in_use(runtime.taken[0].model.directory)
    assert runtime.exchange.describe() == {"phase": "idle", "last": "taken", "message": report.message}


def spoil_checksum(directory: Path) -> None:
    with (directory / CONFIG_NAME).open("a", encoding="utf-8") as file:
        file.write(" ")


def spoil_graph(directory: Path) -> None:
    (directory / MODEL_NAME).write_text("<net></net>", encoding="utf-8")


def spoil_tokenizer(directory: Path) -> None:
    (directory / TOKENIZER_NAME).write_text("{}", encoding="utf-8")


def spoil_bias(directory: Path) -> None:
    """Let the bias of the classifier be no number."""
    graph = (directory / MODEL_NAME).read_text(encoding="utf-8")
    offset = int(re.findall(r'element_type="f32" shape="1, 2" offset="(\d+)" size="8"', graph)[-1])
    with (directory / WEIGHTS_NAME).open("r+b") as weights:
        weights.seek(offset)
        weights.write(struct.pack("<2f", float("nan"), float("nan")))


@pytest.mark.parametrize(
    ("spoil", "problem"),
    [
        (spoil_graph, "RuntimeError"),
        (spoil_tokenizer, "Exception: "),
        (spoil_bias, "text-classification: what the model computes is not finite"),
    ],
    ids=["graph", "tokenizer", "bias"],
)
def test_a_revision_that_cannot_answer_is_not_taken(
    runtime: WorkerRuntime,
    revisions: ModelRevisions,
    processes: Processes,
    caplog: pytest.LogCaptureFixture,
    spoil: Callable[[Path], None],
    problem: str,
) -> None:
    before, taken = served(runtime), runtime.taken
    revisions.prepare("B", spoil)

    report = run(runtime.exchange, processes)

    assert report.outcome is ExchangeOutcome.REFUSED
    assert report.is_failure
    assert problem in report.message
    assert (served(runtime), runtime.taken) == (before, taken)
    assert processes.pids == [1, 2, 3]
    assert all(one.can_be_loaded() for one in taken)
    (record,) = [record for record in caplog.records if record.levelname == "ERROR"]
    assert "did not take mine" in record.getMessage()


def test_a_file_that_is_not_as_it_was_prepared_is_named(
    runtime: WorkerRuntime, revisions: ModelRevisions, processes: Processes
) -> None:
    revisions.prepare("B")
    spoil_checksum(revisions.directory)

    report = run(runtime.exchange, processes)

    assert report.outcome is ExchangeOutcome.REFUSED
    assert f"CorruptModelError: {revisions.directory / CONFIG_NAME} has " in report.message


def test_a_model_for_another_task_or_none_is_refused_at_once(
    runtime: WorkerRuntime, revisions: ModelRevisions, processes: Processes
) -> None:
    manifest = Manifest.read(revisions.directory)
    manifest.model_copy(update={"task": TaskName.QUESTION_ANSWERING}).write(revisions.directory)
    report = runtime.exchange.begin(processes, CORES)
    assert report.outcome is ExchangeOutcome.REFUSED
    assert "restart the worker to change its queues" in report.message

    (revisions.directory / "manifest.json").unlink()
    report = runtime.exchange.begin(processes, CORES)
    assert report.outcome is ExchangeOutcome.REFUSED
    assert "mine" in report.message
    assert not runtime.exchange.is_active


def test_what_a_process_cannot_load_is_taken_back(
    runtime: WorkerRuntime, settings: Settings, revisions: ModelRevisions, processes: Processes
) -> None:
    before = served(runtime)
    revision = revisions.prepare("B")
    loads: list[str] = []

    def on_replace() -> None:
        loads.append(served(runtime)["mine"])
        if len(loads) == 2:
            # The second process that is started ends while it loads, and the pool starts another.
            processes.pids = processes.pids[:-1]
            runtime.exchange.on_failed_start("no memory")
            loads.append(served(runtime)["mine"])
            processes.pids = [*processes.pids, 100]

    processes.on_replace = on_replace
    report = run(runtime.exchange, processes)

    assert report.outcome is ExchangeOutcome.TAKEN_BACK
    assert "no memory" in report.message
    assert loads == [revision, revision, before["mine"], before["mine"]]
    assert served(runtime) == before
    # One has never been replaced, one was started in the place of the one that failed, one has been replaced twice.
    assert processes.pids == [3, 100, 101]
    assert copies(settings) == [before["mine"]]
    assert runtime.taken[0].can_be_loaded()


def test_a_check_that_does_not_end_is_ended(
    runtime: WorkerRuntime, revisions: ModelRevisions, processes: Processes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CELERIAC_TIME_PROCESS_START_S", "0.001")
    exchange = ModelExchange(load_settings(), lambda: runtime.taken, runtime.serve)
    revisions.prepare("B")

    report = run(exchange, processes)

    assert report.outcome is ExchangeOutcome.REFUSED
    assert "its check did not end within 0.001 s" in report.message


def test_what_crashes_the_check_does_not_crash_the_worker(
    runtime: WorkerRuntime, revisions: ModelRevisions, processes: Processes
) -> None:
    revisions.prepare("B")
    reports: list[ExchangeReport] = []
    runtime.exchange.begin(processes, CORES, reports.append)
    check = runtime.exchange._check
    assert check is not None
    os.kill(check.pid, 11)

    def has_ended() -> bool:
        runtime.exchange.tick()
        return bool(reports)

    wait_until(has_ended)
    assert reports[0].outcome is ExchangeOutcome.REFUSED
    assert "its check ended with status -11: it wrote nothing" in reports[0].message
    assert runtime.exchange.begin(processes, CORES).outcome is ExchangeOutcome.STARTED
    runtime.exchange.stop()
