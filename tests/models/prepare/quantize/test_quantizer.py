"""Recipes on a real graph: what each quantizes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import openvino as ov
import pytest
from openvino import opset13 as op

from models.engine.arithmetic import has_int8_products
from models.engine.engine import TokenSequence
from models.engine.openvino_core import shared_core
from models.errors import PreparationError
from models.prepare.graph.operations import count_operations, int8_share
from models.prepare.quantize.quantizer import Quantizer
from models.prepare.quantize.recipe import QuantizationRecipe
from models.prepare.quantize.statistics import logits_of
from models.prepare.source.checkpoint import read_checkpoint
from models.store import MODEL_NAME
from models.store.contents import WEIGHTS_NAME
from tests.models.published import INFERENCE

pytestmark = pytest.mark.prepare
LAYERS, LINEAR_PRODUCTS = 2, 14
SEQUENCES = [TokenSequence([2, *range(10, 10 + length), 3], [0] * (length + 2)) for length in range(1, 20)]


@pytest.fixture(scope="module")
def fp32(repositories: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The exported graph of a tiny DistilBERT."""
    from models.prepare.graph.export import export

    directory = tmp_path_factory.mktemp("fp32")
    export(read_checkpoint(repositories / INFERENCE), directory)
    return directory


@pytest.fixture(scope="module")
def quantizer(fp32: Path) -> Quantizer:
    return Quantizer(fp32, SEQUENCES)


def written(quantizer: Quantizer, recipe: QuantizationRecipe, directory: Path) -> Path:
    quantizer.write(recipe, directory)
    return directory / MODEL_NAME


def linear_products(path: Path) -> dict[str, int]:
    return count_operations(path)["FullyConnected"]


def test_static_products_run_in_int8_and_with_weights_alone_none_does(quantizer: Quantizer, tmp_path: Path) -> None:
    (tmp_path / "static").mkdir()
    static, weights_alone = quantizer.recipes[0], quantizer.recipes[-1]
    # Two layers of six products with weights, and the head's two, of which the last has two results.
    assert sum(linear_products(written(quantizer, static, tmp_path / "static")).values()) == LINEAR_PRODUCTS
    assert linear_products(tmp_path / "static" / MODEL_NAME)["f32"] == 1
    path = written(quantizer, weights_alone, tmp_path)
    assert linear_products(path) == {"f32": LINEAR_PRODUCTS}
    assert int8_share(count_operations(path)) == 0.0
    compiled = shared_core().compile_model(path, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    assert int(compiled.get_property("DYNAMIC_QUANTIZATION_GROUP_SIZE")) == 0


def test_what_is_dynamic_has_no_range_in_the_graph_and_runs_in_int8(quantizer: Quantizer, tmp_path: Path) -> None:
    ranges = {}
    for recipe in quantizer.recipes[:-1]:
        path = written(quantizer, recipe, tmp_path)
        graph = shared_core().read_model(path)
        ranges[recipe] = sum(node.get_type_name() == "FakeQuantize" for node in graph.get_ops())
        if has_int8_products():
            assert linear_products(path).get("f32", 0) == 1, recipe
    for recipe, count in ranges.items():
        attention = 2 * LAYERS if recipe.has_int8_attention else 0
        assert count == recipe.inputs - recipe.dynamic_inputs + attention, recipe


def test_every_recipe_gives_a_small_file_and_answers_close_to_those_of_fp32(
    quantizer: Quantizer, fp32: Path, tmp_path: Path
) -> None:
    exact = np.array(logits_of(shared_core().read_model(fp32 / MODEL_NAME), SEQUENCES))
    full_bytes = (fp32 / WEIGHTS_NAME).stat().st_size
    for recipe in quantizer.recipes:
        graph = shared_core().read_model(written(quantizer, recipe, tmp_path))
        changed = np.array(logits_of(graph, SEQUENCES))
        assert np.abs(changed - exact).mean() < 0.1 * np.ptp(exact), recipe
        assert (tmp_path / WEIGHTS_NAME).stat().st_size < full_bytes / 2


def test_a_graph_without_such_products_is_an_error(tmp_path: Path) -> None:
    ids = op.parameter([-1, -1], ov.Type.i64, name="input_ids")
    ids.output(0).set_names({"input_ids"})
    ov.save_model(ov.Model([op.convert(ids, ov.Type.f32)], [ids]), tmp_path / MODEL_NAME)
    with pytest.raises(PreparationError, match="no matrix product"):
        Quantizer(tmp_path, SEQUENCES)


def test_an_fp32_graph_runs_no_product_in_int8(fp32: Path) -> None:
    assert int8_share(count_operations(fp32 / MODEL_NAME)) == 0.0
