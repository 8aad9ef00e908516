"""The models that a worker serves, and the tasks that they can do."""

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
    """The models of a worker, in the order of the setting.

    Attributes:
        models: the models; of each task the first one answers requests that name none.
    """

    models: Sequence[StoredModel]

    @classmethod
    def from_settings(cls, settings: Settings) -> ServedModels:
        """Find the configured models.

        Missing models are left out, since ``celery -A worker inspect`` and Flower load the app on machines without
        models. A worker checks before it starts that none is missing.
        """
        models = []
        for name in settings.models:
            try:
                models.append(store.find(name, settings.model_dir))
            except ModelError:
                continue
        return cls(models)

    @cached_property
    def own_tasks(self) -> list[TaskName]:
        """The tasks that the models were made for. The worker consumes their queues."""
        return sorted({model.manifest.task for model in self.models})

    @cached_property
    def tasks(self) -> list[TaskName]:
        """The tasks that the models can do, some of them only for requests that name the model."""
        return sorted({task for model in self.models for task in tasks_of(model)})

    @cached_property
    def names(self) -> list[str]:
        """The names of the models, without duplicates."""
        return list(dict.fromkeys(model.name for model in self.models))

    @cached_property
    def names_by_task(self) -> dict[str, list[str]]:
        """The names of the models made for each task. The first answers requests that name none."""
        names: dict[str, list[str]] = {}
        for model in self.models:
            names.setdefault(model.manifest.task.value, []).append(model.name)
        return names

    def has(self, task: TaskName, model: str | None) -> bool:
        """Whether this worker can answer a request for ``task`` that names ``model``, or names none."""
        return (task, model) in self._answered

    @cached_property
    def _answered(self) -> frozenset[tuple[TaskName, str | None]]:
        """Pairs of task and model, None for requests that name none. Cached, since every message needs it."""
        named = {(task, model.name) for model in self.models for task in tasks_of(model)}
        return frozenset(named | {(task, None) for task in self.own_tasks})
