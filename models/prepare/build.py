"""From the files of a model to a served directory in a workspace."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

import openvino as ov

from models.engine.cpu import SPARSE_SHARE, cpu_name, runs_sparse_weights
from models.engine.engine import EngineOptions
from models.errors import PreparationError
from models.evaluation.data_sets import DataSet
from models.prepare.card import model_card
from models.prepare.catalog import CATALOG
from models.prepare.feeding import with_feeding
from models.prepare.graph.operations import count_operations, int8_share
from models.prepare.graph.published import is_quantized, quantizes_activations, read_graph, save_graph, zero_share
from models.prepare.quantize.calibration import calibration_sequences
from models.prepare.quantize.measure import Measurer
from models.prepare.quantize.recipe import QuantizationRecipe
from models.prepare.quantize.recipe_search import SMOOTH_QUANT_ALPHA, recipes_from, search_recipe
from models.prepare.source.checkpoint import Checkpoint
from models.prepare.source.layout import Layout
from models.prepare.tokenizer import write_tokenizer
from models.progress import report
from models.store import CONFIG_NAME, MODEL_NAME, TOKENIZER_NAME, StoredModel
from models.store.contents import CARD_NAME, WEIGHTS_NAME
from models.store.manifest import Manifest, record_files

__all__ = ["ModelBuilder"]

_FILES = [CONFIG_NAME, MODEL_NAME, WEIGHTS_NAME, TOKENIZER_NAME]
_LAYOUTS_WITH_GRAPH = frozenset({Layout.OPENVINO, Layout.ONNX})
_ZERO_DIGITS = 4
#: Temporary directories are closed to other users, but a worker may run as another one.
_DIRECTORY_MODE = 0o755


class ModelBuilder:
    """Builds one model.

    Args:
        checkpoint: the published model.
        draft: the manifest as far as it is known.
        calibration: rows to calibrate on.
        evaluations: labelled files to measure on.
        max_points_lost: most accuracy that INT8 may lose on any of them, in percentage points.
        options: how models are compiled to calibrate and measure them.
        workspace: an empty directory.
    """

    def __init__(
        self,
        *,
        checkpoint: Checkpoint,
        draft: Manifest,
        calibration: DataSet,
        evaluations: Sequence[DataSet],
        max_points_lost: float,
        options: EngineOptions,
        workspace: Path,
    ) -> None:
        self._checkpoint = checkpoint
        self._draft = draft
        self._calibration = calibration
        self._evaluations = evaluations
        self._max_points_lost = max_points_lost
        self._options = options
        self._workspace = workspace

    def build(self) -> StoredModel:
        """Build the directory with its manifest and its card.

        Returns:
            The model, in a directory of the workspace.

        Raises:
            PreparationError: the model cannot be read or quantized, or does not run in INT8.
            InvalidDataError: the model cannot read any of the calibration rows.
        """
        report("checking the tokenizer on 1,000 texts")
        write_tokenizer(self._checkpoint.directory, self._workspace)
        self._draft = with_feeding(self._draft, self._checkpoint)
        directory = self._make_directory("graph")
        if self._checkpoint.layout in _LAYOUTS_WITH_GRAPH:
            graph = read_graph(self._checkpoint)
            save_graph(self._checkpoint, graph, directory)
            if is_quantized(graph):
                return self._adopt(directory, graph)
        else:
            from models.prepare.graph.export import export

            report("exporting to OpenVINO")
            export(self._checkpoint, directory)
        return self._quantize(self._check(self._record(directory, {}), is_published=False))

    def _check(self, model: StoredModel, *, is_published: bool) -> StoredModel:
        """Compare the graph with the published model, and add to the manifest what was seen."""
        from models.prepare.check.check import check

        seen = check(model, self._checkpoint, self._options, is_published=is_published)
        report(
            f"{seen.texts} texts are answered as by {seen.reference}: scores differ by {seen.largest_score_difference}"
        )
        self._draft = self._draft.model_copy(update={"check": seen})
        return StoredModel(model.directory, model.manifest.model_copy(update={"check": seen}))

    def _adopt(self, directory: Path, graph: ov.Model) -> StoredModel:
        """Use a graph that its publisher has quantized."""
        zeros = zero_share(graph)
        if zeros >= SPARSE_SHARE:
            has = "has" if runs_sparse_weights() else "does not have"
            report(f"{zeros:.1%} of the weights are zero; this CPU {has} the kernels (AMX) that benefit from it")
        recorded = self._record(directory, {"method": f"used as published, {self._checkpoint.layout.value}"})
        recorded = self._check(recorded, is_published=True)
        manifest = recorded.manifest.model_copy(update={"zero_weights": round(zeros, _ZERO_DIGITS)})
        measurer = Measurer(None, self._evaluations, self._options)
        model = self._complete(StoredModel(directory, manifest), measurer)
        if quantizes_activations(graph) and not int8_share(model.manifest.operations):
            raise PreparationError(
                f"{self._checkpoint.weights} is quantized, but none of its matrix products run in INT8 on this CPU"
            )
        return model

    def _quantize(self, fp32: StoredModel) -> StoredModel:
        measurer = Measurer(fp32, self._evaluations, self._options)
        entry = CATALOG.get(self._draft.name)
        sequences = calibration_sequences(fp32, self._calibration, self._options)

        def quantize(recipe: QuantizationRecipe) -> tuple[StoredModel, float | None]:
            from models.prepare.quantize import quantizer

            used = sequences[: recipe.calibration_rows]
            report(f"quantizing to INT8: {recipe}")
            directory = self._make_directory("int8")
            quantizer.quantize(fp32.directory, directory, used, recipe)
            facts = recipe.facts
            if used:
                facts |= {"calibration_rows": len(used), "calibration_data": self._calibration.path.name}
            model = self._record(directory, facts)
            return model, measurer.points_lost(model)

        recipes = recipes_from(entry.recipe if entry else QuantizationRecipe(smooth_quant_alpha=SMOOTH_QUANT_ALPHA))
        model, trials = search_recipe(recipes, quantize, self._max_points_lost, lambda trial: report(f"  {trial}"))
        *rejected, accepted = trials
        if accepted.points_lost is None:
            report("without labelled rows (--evaluate FILE) accuracy is not measured, and no other recipe is tried")
        tried = {"tried_before": "; ".join(map(str, rejected))} if rejected else {}
        manifest = model.manifest.model_copy(
            update={
                "recipe": {**model.manifest.recipe, **tried},
                "fp32_size_bytes": fp32.manifest.files[WEIGHTS_NAME].size_bytes,
            }
        )
        return self._complete(StoredModel(model.directory, manifest), measurer)

    def _make_directory(self, prefix: str) -> Path:
        return Path(tempfile.mkdtemp(dir=self._workspace, prefix=f"{prefix}-"))

    def _record(self, directory: Path, recipe: dict[str, str | int | float]) -> StoredModel:
        """Add the tokenizer to a directory and record the checksums of its files."""
        shutil.copyfile(self._workspace / TOKENIZER_NAME, directory / TOKENIZER_NAME)
        files = record_files(directory, _FILES)
        return StoredModel(directory, self._draft.model_copy(update={"files": files, "recipe": recipe}))

    def _complete(self, model: StoredModel, measurer: Measurer) -> StoredModel:
        """Count the operations, measure the model, and write its manifest and card."""
        operations = count_operations(model.directory / MODEL_NAME)
        report(f"{int8_share(operations):.1%} of the matrix products run in INT8")
        facts = {"operations": operations, "operations_cpu": cpu_name(), "measurements": measurer.measure(model)}
        manifest = model.manifest.model_copy(update=facts)
        manifest.write(model.directory)
        card = model_card(manifest, CATALOG.get(manifest.name))
        (model.directory / CARD_NAME).write_text(card, encoding="utf-8")
        model.directory.chmod(_DIRECTORY_MODE)
        return StoredModel(model.directory, manifest)
