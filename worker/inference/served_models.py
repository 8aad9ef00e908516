"""The models of a worker: which tasks they do, and which of them answers a request."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from config import Settings
from models import store
from models.errors import ModelError
from models.pipelines import tasks_of
from models.store import StoredModel
from producer.contract import TaskName

__all__ = ["ServedModels"]


@dataclass(frozen=True)
class ServedModels:
    """The models of a worker, in the order of the setting."""

    models: Sequence[StoredModel]

    @classmethod
    def from_settings(cls, settings: Settings) -> ServedModels:
        """Find the configured models that are there.

        Missing ones are left out: ``celery -A worker inspect`` and Flower load the app on machines without models. A
        worker checks that none is missing before it starts.
        """
        found = []
        for name in settings.models:
            try:
                found.append(store.find(name, settings.model_dir))
            except ModelError:
                continue
        return cls(found)

    @cached_property
    def own_tasks(self) -> list[TaskName]:
        """The tasks that a model was made for; the worker consumes their queues."""
        return sorted({model.manifest.task for model in self.models})

    @cached_property
    def tasks(self) -> list[TaskName]:
        """The tasks that a model can do, some of them only when a request names the model."""
        return sorted({task for model in self.models for task in tasks_of(model)})

    @cached_property
    def names(self) -> list[str]:
        """The names of the models, each once."""
        return list(dict.fromkeys(model.name for model in self.models))

    @cached_property
    def names_by_task(self) -> dict[str, list[str]]:
        """The names of the models made for each task; the first answers requests that name none."""
        names: dict[str, list[str]] = {}
        for model in self.models:
            names.setdefault(model.manifest.task.value, []).append(model.name)
        return names

    def has(self, task: TaskName, model: str | None) -> bool:
        """Whether a request for ``task`` that names ``model``, or none, can be answered here."""
        return (task, model) in self._answered

    @cached_property
    def _answered(self) -> frozenset[tuple[TaskName, str | None]]:
        """By task, the models that may be named, and None where none need be; asked for every message."""
        named = {(task, model.name) for model in self.models for task in tasks_of(model)}
        return frozenset(named | {(task, None) for task in self.own_tasks})
