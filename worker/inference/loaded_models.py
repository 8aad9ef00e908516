"""The models that a pool process has loaded."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Self

from config import Settings
from models.engine.arithmetic import Arithmetic, wanted_arithmetic
from models.engine.usage import Usage, total
from models.store import StoredModel
from producer.contract import TaskName

if TYPE_CHECKING:
    from models.pipelines.base import AnyPipeline

__all__ = ["LoadedModels"]

#: Share of the time for a start within which arithmetic may be measured. The pool kills a process that takes longer,
#: and the next one would measure as long.
_MEASURING_SHARE = 0.5


@dataclass(frozen=True)
class LoadedModels:
    """The pipelines of a process.

    Attributes:
        pipelines: by task and by name of the model. The first of a task answers requests that name no model.
        token_s: seconds per token of the slowest model of each task, on the core of this process.
    """

    pipelines: Mapping[TaskName, Mapping[str, AnyPipeline]]
    token_s: Mapping[TaskName, float] = field(default_factory=dict)

    @classmethod
    def load(cls, models: Iterable[StoredModel], settings: Settings, threads: int) -> Self:
        """Verify, load and warm up models; in a pool process.

        Args:
            models: the models, in the order of the setting.
            settings: say how the models are compiled.
            threads: number of threads of each model.

        Raises:
            models.errors.ModelError: a file of a model does not match its manifest.
        """
        # Imported here, since OpenVINO does not survive a fork and must not be imported in the parent.
        from models import pipelines
        from models.engine.batching import BatchingOptions
        from models.engine.engine import EngineOptions
        from models.engine.pace import measure_token_s

        options = EngineOptions(
            threads=threads,
            precision=settings.engine.precision.value,
            batching=BatchingOptions(settings.batch.max_tokens, settings.batch.length_multiple),
            cache_dir=settings.compiled_dir if settings.engine.cache else None,
            arithmetic=wanted_arithmetic(settings.engine.arithmetic.value),
            measure_until_s=time.monotonic() + _MEASURING_SHARE * settings.time.process_start_s,
        )
        loaded: dict[TaskName, dict[str, AnyPipeline]] = {}
        secondary: list[tuple[TaskName, AnyPipeline]] = []
        token_s: dict[TaskName, float] = {}
        for model in models:
            # The parent has verified it too, but a process may start much later.
            model.verify()
            by_task = pipelines.load_all(model, options)
            own = by_task.pop(model.manifest.task)
            own.warm_up()
            loaded.setdefault(model.manifest.task, {})[model.name] = own
            secondary += by_task.items()
            # All pipelines of a model share its engine.
            model_token_s = measure_token_s(own.engine)
            for task in (model.manifest.task, *by_task):
                token_s[task] = max(token_s.get(task, 0.0), model_token_s)
        # Added last, so that a model made for the task comes first and answers requests that name none.
        for task, pipeline in secondary:
            loaded.setdefault(task, {}).setdefault(pipeline.model.name, pipeline)
        return cls(loaded, token_s)

    @property
    def names(self) -> list[str]:
        """The names of the models, without duplicates."""
        return list(dict.fromkeys(name for by_name in self.pipelines.values() for name in by_name))

    @property
    def arithmetic(self) -> dict[str, Arithmetic]:
        """In which arithmetic each model computes, by its name."""
        by_task = self.pipelines.values()
        return {name: pipeline.engine.arithmetic for by_name in by_task for name, pipeline in by_name.items()}

    @property
    def revisions(self) -> dict[str, str]:
        """The revision of each model, by its name."""
        by_task = self.pipelines.values()
        return {name: pipeline.model.manifest.revision for by_name in by_task for name, pipeline in by_name.items()}

    def take_usage(self) -> Usage:
        """Return what the models have computed since the last call, and reset the counts."""
        by_task = self.pipelines.values()
        # Pipelines may share an engine, which returns each usage only once.
        return total(pipeline.engine.take_usage() for by_name in by_task for pipeline in by_name.values())
