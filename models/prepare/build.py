"""From the files of a model to a served directory in a room of its own."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

import openvino as ov

from models.engine.cpu import SPARSE_SHARE, cpu_name, runs_sparse_weights
from models.errors import PreparationError
from models.evaluation.data_sets import DataSet
from models.prepare.card import model_card
from models.prepare.graph.operations import count_operations, int8_share
from models.prepare.graph.ready_made import is_quantized, quantizes_activations, read_graph, save_graph, zero_share
from models.prepare.progress import say
from models.prepare.quantize.calibration import calibration_sequences
from models.prepare.quantize.measure import Measurer
from models.prepare.quantize.recipes import SMOOTH_QUANT_ALPHA, choose, recipes_from
from models.prepare.source.checkpoint import Checkpoint
from models.prepare.source.layout import Layout
from models.prepare.tokenizer import write_tokenizer
from models.store import CONFIG_NAME, MODEL_NAME, TOKENIZER_NAME, StoredModel
from models.store.catalog import CATALOG, QuantizationRecipe
from models.store.manifest import Manifest, record_files

__all__ = ["Maker"]

CARD_NAME = "README.md"
_WEIGHTS_NAME = Path(MODEL_NAME).with_suffix(".bin").name
_FILES = [CONFIG_NAME, MODEL_NAME, _WEIGHTS_NAME, TOKENIZER_NAME]
_READY_MADE = frozenset({Layout.OPENVINO, Layout.ONNX})
_ZERO_DIGITS = 4
#: As a directory has that anybody makes; temporary ones are closed to others, and workers may be another user.
_DIRECTORY_MODE = 0o755


class Maker:
    """Makes one model.

    Args:
        checkpoint: what there is.
        draft: the manifest as far as it is known.
        calibration: rows to calibrate on.
        evaluations: labelled rows to measure on.
        max_drop_points: how much accuracy INT8 may lose.
        room: an empty directory.
    """

    def __init__(
        self,
        *,
        checkpoint: Checkpoint,
        draft: Manifest,
        calibration: DataSet,
        evaluations: Sequence[DataSet],
        max_drop_points: float,
        room: Path,
    ) -> None:
        self._checkpoint = checkpoint
        self._draft = draft
        self._calibration = calibration
        self._evaluations = evaluations
        self._max_drop_points = max_drop_points
        self._room = room

    def make(self) -> StoredModel:
        """Make the directory, its manifest and its card.

        Raises:
            PreparationError: the model cannot be read, quantized, or does not run in INT8.
            WrongDataError: none of the calibration rows can be read by the model.
        """
        say("checking the tokenizer on 1,000 texts")
        write_tokenizer(self._checkpoint.directory, self._room)
        directory = self._directory("graph")
        if self._checkpoint.layout in _READY_MADE:
            graph = read_graph(self._checkpoint)
            save_graph(self._checkpoint, graph, directory)
            if is_quantized(graph):
                return self._take(directory, graph)
        else:
            from models.prepare.graph.export import export

            say("exporting to OpenVINO")
            export(self._checkpoint, directory)
        return self._quantize(self._record(directory, {}))

    def _take(self, directory: Path, graph: ov.Model) -> StoredModel:
        """A graph that somebody has quantized already."""
        zeros = zero_share(graph)
        if zeros >= SPARSE_SHARE:
            can = "has" if runs_sparse_weights() else "does not have"
            say(f"{zeros:.1%} of the weights are zero; this CPU {can} the kernels (AMX) that make use of it")
        taken = self._record(directory, {"method": f"taken as it is published, {self._checkpoint.layout.value}"})
        taken = StoredModel(directory, taken.manifest.model_copy(update={"zero_weights": round(zeros, _ZERO_DIGITS)}))
        made = self._complete(taken, Measurer(None, self._evaluations))
        if quantizes_activations(graph) and not int8_share(made.manifest.operations):
            raise PreparationError(
                f"{self._checkpoint.weights} is quantized, but none of its matrix products run in INT8 on this CPU"
            )
        return made

    def _quantize(self, fp32: StoredModel) -> StoredModel:
        from models.prepare.quantize.quantizer import quantize

        measurer = Measurer(fp32, self._evaluations)
        entry = CATALOG.get(self._draft.name)
        sequences = calibration_sequences(fp32, self._calibration)

        def attempt(recipe: QuantizationRecipe) -> tuple[StoredModel, float | None]:
            used = sequences[: recipe.calibration_rows]
            say(f"quantizing to INT8: {recipe}")
            directory = self._directory("int8")
            quantize(fp32.directory, directory, used, recipe)
            facts = recipe.facts
            if used:
                facts |= {"calibration_rows": len(used), "calibration_data": self._calibration.path.name}
            made = self._record(directory, facts)
            return made, measurer.drop_points(made)

        recipes = recipes_from(entry.recipe if entry else QuantizationRecipe(smooth_quant_alpha=SMOOTH_QUANT_ALPHA))
        made, attempts = choose(recipes, attempt, self._max_drop_points, lambda done: say(f"  {done}"))
        *lost, won = attempts
        if won.drop_points is None:
            say("without labelled rows (--evaluate FILE) accuracy is not measured, and no other recipe is tried")
        tried = {"tried_before": "; ".join(map(str, lost))} if lost else {}
        manifest = made.manifest.model_copy(
            update={
                "recipe": {**made.manifest.recipe, **tried},
                "fp32_size_bytes": fp32.manifest.files[_WEIGHTS_NAME].size_bytes,
            }
        )
        return self._complete(StoredModel(made.directory, manifest), measurer)

    def _directory(self, prefix: str) -> Path:
        return Path(tempfile.mkdtemp(dir=self._room, prefix=f"{prefix}-"))

    def _record(self, directory: Path, recipe: dict[str, str | int | float]) -> StoredModel:
        """With its tokenizer, and the checksums of its files as they are now."""
        shutil.copyfile(self._room / TOKENIZER_NAME, directory / TOKENIZER_NAME)
        files = record_files(directory, _FILES)
        return StoredModel(directory, self._draft.model_copy(update={"files": files, "recipe": recipe}))

    def _complete(self, made: StoredModel, measurer: Measurer) -> StoredModel:
        """With what can be said only of the finished graph."""
        operations = count_operations(made.directory / MODEL_NAME)
        say(f"{int8_share(operations):.1%} of the matrix products run in INT8")
        facts = {"operations": operations, "operations_cpu": cpu_name(), "measurements": measurer.measure(made)}
        manifest = made.manifest.model_copy(update=facts)
        manifest.write(made.directory)
        card = model_card(manifest, CATALOG.get(manifest.name))
        (made.directory / CARD_NAME).write_text(card, encoding="utf-8")
        made.directory.chmod(_DIRECTORY_MODE)
        return StoredModel(made.directory, manifest)
