"""From the files of a model to a served directory in a workspace."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

import openvino as ov

from models import pipelines
from models.engine.cpu import SPARSE_SHARE, cpu_name, runs_sparse_weights
from models.engine.engine import EngineOptions
from models.errors import AccuracyError, PreparationError
from models.evaluation.data_sets import DataSet
from models.prepare.card import model_card
from models.prepare.catalog import CATALOG
from models.prepare.feeding import with_feeding
from models.prepare.graph.operations import count_operations, int8_share
from models.prepare.graph.published import is_quantized, quantizes_activations, read_graph, save_graph, zero_share
from models.prepare.quantize.calibration import RowSplit, calibration_sequences
from models.prepare.quantize.choose import RecipeChooser
from models.prepare.quantize.measure import Measurer
from models.prepare.quantize.recipe import QuantizationRecipe
from models.prepare.source.checkpoint import Checkpoint
from models.prepare.source.layout import Layout
from models.prepare.tokenizer import write_tokenizer
from models.progress import report
from models.store import CONFIG_NAME, MODEL_NAME, TOKENIZER_NAME, StoredModel
from models.store.contents import CARD_NAME, WEIGHTS_NAME
from models.store.manifest import Manifest, Measurement, record_files

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
        rows: rows to calibrate on, and rows to measure the distance from FP32 on.
        evaluations: labelled files to measure on.
        max_distance: how far from FP32 the answers may be, as :attr:`Fp32Distance.value`.
        max_points_lost: most accuracy that INT8 may lose on any of the files, in percentage points.
        options: how models are compiled to calibrate and measure them.
        workspace: an empty directory.
    """

    def __init__(
        self,
        *,
        checkpoint: Checkpoint,
        draft: Manifest,
        rows: RowSplit,
        evaluations: Sequence[DataSet],
        max_distance: float,
        max_points_lost: float,
        options: EngineOptions,
        workspace: Path,
    ) -> None:
        self._checkpoint = checkpoint
        self._draft = draft
        self._rows = rows
        self._evaluations = evaluations
        self._max_distance = max_distance
        self._max_points_lost = max_points_lost
        self._options = options
        self._workspace = workspace

    def build(self) -> StoredModel:
        """Build the directory with its manifest and its card.

        Returns:
            The model, in a directory of the workspace.

        Raises:
            PreparationError: the model cannot be read or quantized, or does not run in INT8.
            AccuracyError: no recipe is close enough to FP32, or the chosen one loses too much accuracy.
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
        is_published = self._checkpoint.layout in _LAYOUTS_WITH_GRAPH
        return self._quantize(self._check(self._record(directory, {}), is_published=is_published))

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
        """Quantize by the fastest recipe that is close enough to FP32."""
        from models.prepare.quantize.quantizer import Quantizer

        calibration, held_back = self._rows.calibration, self._rows.held_back
        pipeline = pipelines.load_all(fp32, self._options)[calibration.task]
        sequences = calibration_sequences(pipeline, calibration)
        quantizer = Quantizer(fp32.directory, sequences)
        data_facts: dict[str, str | int | float] = {
            "calibration_rows": len(sequences),
            "calibration_data": calibration.path.name,
        }

        def quantize(recipe: QuantizationRecipe) -> StoredModel:
            directory = self._make_directory("int8")
            quantizer.write(recipe, directory)
            return self._record(directory, {**recipe.facts, **data_facts})

        report(f"{len(sequences)} rows calibrate, {len(held_back.rows)} rows measure the distance from FP32")
        chooser = RecipeChooser(pipeline, held_back, self._options, self._max_distance, quantize)
        choice = chooser.choose(quantizer.recipes)
        size_bytes = fp32.manifest.files[WEIGHTS_NAME].size_bytes
        manifest = choice.add_to(choice.model.manifest).model_copy(update={"fp32_size_bytes": size_bytes})
        measurer = Measurer(fp32, self._evaluations, self._options)
        return self._complete(StoredModel(choice.model.directory, manifest), measurer)

    def _make_directory(self, prefix: str) -> Path:
        return Path(tempfile.mkdtemp(dir=self._workspace, prefix=f"{prefix}-"))

    def _record(self, directory: Path, recipe: dict[str, str | int | float]) -> StoredModel:
        """Add the tokenizer to a directory and record the checksums of its files."""
        shutil.copyfile(self._workspace / TOKENIZER_NAME, directory / TOKENIZER_NAME)
        files = record_files(directory, _FILES)
        return StoredModel(directory, self._draft.model_copy(update={"files": files, "recipe": recipe}))

    def _complete(self, model: StoredModel, measurer: Measurer) -> StoredModel:
        """Count the operations, measure the model, and write its manifest and card."""
        measurements = measurer.measure(model)
        self._check_accuracy(measurements)
        operations = count_operations(model.directory / MODEL_NAME)
        report(f"{int8_share(operations):.1%} of the matrix products run in INT8")
        facts = {"operations": operations, "operations_cpu": cpu_name(), "measurements": measurements}
        manifest = model.manifest.model_copy(update=facts)
        manifest.write(model.directory)
        card = model_card(manifest, CATALOG.get(manifest.name))
        (model.directory / CARD_NAME).write_text(card, encoding="utf-8")
        model.directory.chmod(_DIRECTORY_MODE)
        return StoredModel(model.directory, manifest)

    def _check_accuracy(self, measurements: Sequence[Measurement]) -> None:
        for measured in measurements:
            lost = measured.points_lost
            if lost is not None and lost > self._max_points_lost:
                raise AccuracyError(
                    f"INT8 loses {lost:.2f} points of {measured.metric} on {measured.data}; --max-drop allows "
                    f"{self._max_points_lost:g}. Try a --max-distance smaller than {self._max_distance:g}"
                )
