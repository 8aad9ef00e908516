"""Quantizes by one recipe after another, measures each, and keeps the one that is chosen."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from models import pipelines
from models.engine.arithmetic import Arithmetic
from models.engine.cpu import cpu_name, max_isa
from models.engine.engine import EngineOptions
from models.engine.race import time_inferences, times_faster
from models.evaluation.data_sets import DataSet
from models.pipelines.base import AnyPipeline
from models.prepare.quantize.distance import Fp32Distance, measure_distance, read_answers
from models.prepare.quantize.recipe import QuantizationRecipe
from models.prepare.quantize.recipe_search import Trial, most_trials, search_recipe
from models.progress import progress_bar, report
from models.store import StoredModel
from models.store.manifest import Manifest, RecipeTrial, TrialConditions

__all__ = ["Choice", "RecipeChooser"]

_SPEED_DIGITS = 2
_FP32, _QUANTIZED = "FP32", "quantized"


@dataclass(frozen=True)
class Choice:
    """The outcome.

    Attributes:
        model: the model that the chosen recipe made.
        chosen: its trial.
        trials: all trials, that of the fastest recipe first.
        in_f32: distance of the model's answers in f32.
        conditions: what was measured, on which CPU.
    """

    model: StoredModel
    chosen: Trial
    trials: Sequence[Trial]
    in_f32: Fp32Distance
    conditions: TrialConditions

    def add_to(self, manifest: Manifest) -> Manifest:
        """The manifest with the trials."""
        trials = [
            RecipeTrial(
                recipe=str(trial.recipe),
                distance=trial.distance.to_record(),
                speed=round(trial.speed, _SPEED_DIGITS),
                is_chosen=trial is self.chosen,
            )
            for trial in self.trials
        ]
        facts = {"trials": trials, "trial_conditions": self.conditions, "distance_in_f32": self.in_f32.to_record()}
        return manifest.model_copy(update=facts)


class RecipeChooser:
    """Chooses a recipe for one model.

    Args:
        fp32: the model before quantization, loaded for the task of the rows.
        held_back: rows that no recipe is calibrated on.
        options: how models are compiled, apart from the arithmetic.
        max_distance: most that :attr:`Fp32Distance.value` may be.
        quantize: makes the model of a recipe, in a directory of its own.
    """

    def __init__(
        self,
        fp32: AnyPipeline,
        held_back: DataSet,
        options: EngineOptions,
        max_distance: float,
        quantize: Callable[[QuantizationRecipe], StoredModel],
    ) -> None:
        self._fp32 = fp32
        self._held_back = held_back
        self._options = options
        self._max_distance = max_distance
        self._quantize = quantize
        self._originals = read_answers(fp32, held_back)
        self._best: StoredModel | None = None

    def choose(self, recipes: Sequence[QuantizationRecipe]) -> Choice:
        """Try recipes until the fastest one within the limit is found. The others leave no files.

        Args:
            recipes: fastest first, each closer than the one before.

        Raises:
            AccuracyError: none is within the limit.
            PreparationError: the model cannot be quantized.
        """
        with progress_bar(most_trials(len(recipes)), "recipes", "trial") as bar:

            def try_recipe(recipe: QuantizationRecipe) -> Trial:
                trial = self._try(recipe)
                bar.update()
                return trial

            chosen, trials = search_recipe(recipes, try_recipe, self._max_distance)
        if self._best is None:
            raise RuntimeError("a recipe was chosen that was not kept")
        in_f32 = self._distance(self._load(self._best, Arithmetic.F32))
        report(f"chosen: {chosen.recipe}; computed in f32 instead of INT8, its {in_f32}")
        limit = f", limited to {max_isa()}" if max_isa() else ""
        conditions = TrialConditions(
            data=self._held_back.path.name,
            held_back_rows=chosen.distance.rows,
            max_distance=self._max_distance,
            cpu=f"{cpu_name()}{limit}",
            # A CPU without INT8 products computes dynamic inputs in f32.
            arithmetic=self._load(self._best, Arithmetic.INT8).engine.arithmetic.value,
        )
        return Choice(self._best, chosen, trials, in_f32, conditions)

    def _try(self, recipe: QuantizationRecipe) -> Trial:
        model = self._quantize(recipe)
        pipeline = self._load(model, Arithmetic.INT8)
        times = time_inferences(
            {_FP32: self._fp32.engine.compiled, _QUANTIZED: pipeline.engine.compiled},
            pipeline.max_length,
            pipeline.engine.feeding,
        )
        trial = Trial(recipe, self._distance(pipeline), times_faster(times[_QUANTIZED], times[_FP32]))
        loser: StoredModel | None = model
        if trial.distance.value <= self._max_distance:
            # It is faster than the one that was within the limit before.
            loser, self._best = self._best, model
        if loser is not None:
            shutil.rmtree(loser.directory)
        report(f"  {trial}")
        return trial

    def _load(self, model: StoredModel, arithmetic: Arithmetic) -> AnyPipeline:
        return pipelines.load_all(model, replace(self._options, arithmetic=arithmetic))[self._held_back.task]

    def _distance(self, pipeline: AnyPipeline) -> Fp32Distance:
        return measure_distance(read_answers(pipeline, self._held_back), self._originals)
