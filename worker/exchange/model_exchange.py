"""How a worker takes newly prepared models: one step after another, on the event loop of its parent."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, Protocol

from config import Settings
from models import store
from models.errors import ModelError
from models.pipelines import tasks_of
from models.store import StoredModel
from models.store.manifest import Manifest
from worker.exchange.candidate import CheckedModel
from worker.exchange.errors import ExchangeError
from worker.exchange.revision_check import RevisionCheck
from worker.inference.taken_models import TakenModel, take_kept

__all__ = ["ExchangeOutcome", "ExchangeReport", "ModelExchange", "ReplaceableProcesses"]

logger = logging.getLogger(__name__)


class ReplaceableProcesses(Protocol):
    """The pool's processes, as far as an exchange needs them."""

    @property
    def pids(self) -> Sequence[int]:
        """All processes, those that are starting or ending included."""

    @property
    def pids_up(self) -> Sequence[int]:
        """The processes that serve, in the order in which they are best replaced."""

    @property
    def is_changing(self) -> bool:
        """Whether a process is starting, missing or being replaced."""

    def replace(self, pid: int) -> None:
        """Let a process finish its jobs, and start another in its place."""


class ExchangeOutcome(StrEnum):
    """What became of an exchange."""

    #: It goes on.
    STARTED = "started"
    #: The worker serves what is in the models' directories.
    NOTHING_NEW = "nothing_new"
    #: Every process has loaded the new revision.
    TAKEN = "taken"
    #: The new revision has not passed its check.
    REFUSED = "refused"
    #: The new revision has passed its check, but a process could not load it.
    TAKEN_BACK = "taken_back"


@dataclass(frozen=True)
class ExchangeReport:
    """What became of an exchange, and what the operator is told about it."""

    outcome: ExchangeOutcome
    message: str

    @property
    def is_failure(self) -> bool:
        """Whether the worker goes on with another revision than the one that was prepared."""
        return self.outcome in {ExchangeOutcome.REFUSED, ExchangeOutcome.TAKEN_BACK}


OnEnd = Callable[[ExchangeReport], object]


class _Phase(StrEnum):
    IDLE = "idle"
    CHECKING = "checking"
    REPLACING = "replacing"
    TAKING_BACK = "taking back"


class ModelExchange:
    """Exchanges the models of one worker for newly prepared revisions.

    First a process of its own checks the new revisions. Then the worker's processes are replaced one at a time, each
    when it has finished its batch: the memory of the old revision goes with its process. What a process loads that
    starts meanwhile, or later, is what the worker serves then.

    Args:
        settings: the settings of the worker.
        taken: returns the models that it serves, in the order of the setting.
        serve: makes processes that start from now on load other models.
    """

    def __init__(
        self,
        settings: Settings,
        taken: Callable[[], Sequence[TakenModel]],
        serve: Callable[[Sequence[TakenModel]], None],
    ) -> None:
        self._settings = settings
        self._taken = taken
        self._serve = serve
        self._phase = _Phase.IDLE
        self._check: RevisionCheck | None = None
        self._processes: ReplaceableProcesses | None = None
        self._on_end: list[OnEnd] = []
        #: What was served before, until every process has let go of it.
        self._previous: Sequence[TakenModel] = ()
        #: Processes that have to be replaced.
        self._old_pids: set[int] = set()
        self._changes = ""
        self._problem = ""
        self._started_s = 0.0
        self._last: ExchangeReport | None = None

    @property
    def is_active(self) -> bool:
        """Whether an exchange goes on."""
        return self._phase is not _Phase.IDLE

    def begin(
        self, processes: ReplaceableProcesses, cores: Sequence[int], on_end: OnEnd | None = None
    ) -> ExchangeReport:
        """Look for newly prepared models, and start to exchange what is served for them.

        Args:
            processes: the worker's processes.
            cores: cores of one process, which the check shares.
            on_end: called with the outcome if an exchange was started.
        """
        if self.is_active:
            if on_end is not None:
                self._on_end.append(on_end)
            return ExchangeReport(ExchangeOutcome.STARTED, f"an exchange goes on: {self._changes}")
        self._changes = "the models"
        try:
            changed = self._find_changed()
            if not changed:
                revisions = ", ".join(_named(one.model) for one in self._taken())
                return ExchangeReport(ExchangeOutcome.NOTHING_NEW, f"nothing new: {revisions}")
            self._changes = ", ".join(f"{_named(one.model)} -> {model.manifest.revision}" for one, model in changed)
            limit_s = self._settings.time.process_start_s * len(changed)
            self._check = RevisionCheck([model.directory for _, model in changed], cores, limit_s)
        except (ExchangeError, ModelError, OSError) as error:
            return self._refuse(str(error))
        self._on_end = [on_end] if on_end is not None else []
        self._processes = processes
        self._started_s = time.monotonic()
        self._phase = _Phase.CHECKING
        logger.info("checking %s", self._changes)
        return ExchangeReport(ExchangeOutcome.STARTED, f"checking {self._changes}")

    def tick(self) -> None:
        """Do what can be done now; called a few times a second while an exchange is active."""
        if self._phase is _Phase.CHECKING:
            self._look_at_check()
        elif self.is_active:
            self._replace_next()

    def on_failed_start(self, cause: str) -> None:
        """A process could not start: if it was to load a new revision, take back the previous one."""
        if self._phase is not _Phase.REPLACING or not all(one.can_be_loaded() for one in self._previous):
            return
        logger.error("%s is taken back: a process could not load it: %s", self._changes, cause)
        self._phase = _Phase.TAKING_BACK
        self._problem = cause
        self._old_pids = set(self._processes.pids) - self._old_pids if self._processes else set()
        refused = self._taken()
        self._serve(self._previous)
        self._previous = refused

    def forget_previous(self) -> None:
        """Let go of what was served before; in a process that has just been forked."""
        for one in self._gone():
            one.close()

    def stop(self) -> None:
        """Give up an exchange, since the worker ends."""
        if self._check is not None:
            self._check.stop()
            self._check = None

    def describe(self) -> dict[str, Any]:
        """The phase, what is being exchanged, and what became of the last exchange."""
        last = {} if self._last is None else {"last": self._last.outcome.value, "message": self._last.message}
        current = {"changes": self._changes} if self.is_active else {}
        return {"phase": self._phase.value, **current, **last}

    def _find_changed(self) -> list[tuple[TakenModel, StoredModel]]:
        """What is served, and what has been prepared to take its place.

        Raises:
            ModelError: a model has gone, or its manifest cannot be read.
            ExchangeError: a model has another name or other tasks than the one that it would replace.
        """
        changed = []
        for name, taken in zip(self._settings.models, self._taken(), strict=True):
            model = store.find(name, self._settings.model_dir)
            if model.manifest == taken.model.manifest:
                continue
            if model.name != taken.model.name or tasks_of(model) != tasks_of(taken.model):
                raise ExchangeError(
                    f"{name} is now {model.name} for {model.manifest.task.value}, was {taken.model.name} for "
                    f"{taken.model.manifest.task.value}: restart the worker to change its queues"
                )
            changed.append((taken, model))
        return changed

    def _look_at_check(self) -> None:
        try:
            passed = self._check.poll() if self._check is not None else None
            if passed is None:
                return
            taken = self._with_passed(passed)
        except (ExchangeError, ModelError) as error:
            self._refuse(str(error))
            return
        self._check = None
        self._previous = self._taken()
        self._old_pids = set(self._processes.pids) if self._processes else set()
        self._serve(taken)
        self._phase = _Phase.REPLACING
        logger.info("taking %s, one process after another", self._changes)
        self._replace_next()

    def _with_passed(self, passed: Sequence[CheckedModel]) -> list[TakenModel]:
        by_source = {one.source: one for one in passed}
        taken = []
        for name, current in zip(self._settings.models, self._taken(), strict=True):
            source = store.find(name, self._settings.model_dir).directory
            checked = by_source.get(str(source))
            taken.append(current if checked is None else _take_checked(checked, source))
        return taken

    def _replace_next(self) -> None:
        processes = self._processes
        if processes is None or processes.is_changing:
            return
        old = [pid for pid in processes.pids_up if pid in self._old_pids]
        if old:
            processes.replace(old[0])
            return
        self._finish(len(processes.pids_up))

    def _finish(self, processes: int) -> None:
        seconds = time.monotonic() - self._started_s
        is_taken = self._phase is _Phase.REPLACING
        for one in self._gone():
            one.close()
            one.delete_copy(self._settings.compiled_dir)
        self._previous = ()
        if is_taken:
            message = f"took {self._changes} in {_counted(processes)} after {seconds:.1f} s"
            logger.info("%s", message)
            self._end(ExchangeReport(ExchangeOutcome.TAKEN, message))
        else:
            message = f"took back {self._changes}: a process could not load it: {self._problem}"
            self._end(ExchangeReport(ExchangeOutcome.TAKEN_BACK, message))

    def _gone(self) -> list[TakenModel]:
        """What was served before, and is not served now."""
        return [one for one in self._previous if one not in self._taken()]

    def _refuse(self, problem: str) -> ExchangeReport:
        self._check = None
        message = f"did not take {self._changes}: {problem}"
        logger.error("%s. What was served before serves on", message)
        report = ExchangeReport(ExchangeOutcome.REFUSED, message)
        self._end(report)
        return report

    def _end(self, report: ExchangeReport) -> None:
        self._phase = _Phase.IDLE
        self._processes = None
        self._last = report
        on_end, self._on_end = self._on_end, []
        for callback in on_end:
            callback(report)


def _take_checked(checked: CheckedModel, source: Path) -> TakenModel:
    directory = Path(checked.directory)
    model = StoredModel(directory, Manifest.read(directory))
    if model.manifest.revision != checked.revision:
        raise ExchangeError(f"{source} was replaced again during the check")
    return take_kept(model, source)


def _counted(processes: int) -> str:
    return f"{processes} process{'' if processes == 1 else 'es'}"


def _named(model: StoredModel) -> str:
    return f"{model.name} {model.manifest.revision}"
