"""Recipes on a real graph: what each quantizes."""

from __future__ import annotations

from pathlib import Path

import pytest

from models.engine.engine import TokenSequence
from models.engine.openvino_core import shared_core
from models.prepare.graph.operations import count_operations, int8_share
from models.prepare.source.checkpoint import read_checkpoint
from models.store import MODEL_NAME
from tests.models.published import INFERENCE

pytestmark = pytest.mark.prepare
SEQUENCES = [TokenSequence([2, *range(10, 10 + length), 3], [0] * (length + 2)) for length in range(1, 20)]


@pytest.fixture(scope="module")
def fp32(repositories: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The exported graph of a tiny DistilBERT."""
    from models.prepare.graph.export import export

    directory = tmp_path_factory.mktemp("fp32")
    export(read_checkpoint(repositories / INFERENCE), directory)
    return directory


def test_the_chain_begins_with_products_in_int8_and_ends_with_weights_alone(fp32: Path, tmp_path: Path) -> None:
    from models.prepare.quantize.quantizer import Quantizer

    quantizer = Quantizer(fp32, SEQUENCES)
    sizes = {}
    for name, recipe in (("fastest", quantizer.recipes[0]), ("closest", quantizer.recipes[-1])):
        (tmp_path / name).mkdir()
        quantizer.write(recipe, tmp_path / name)
        sizes[name] = (tmp_path / name / "openvino_model.bin").stat().st_size
    assert int8_share(count_operations(tmp_path / "fastest" / MODEL_NAME)) > 0.8
    assert int8_share(count_operations(tmp_path / "closest" / MODEL_NAME)) == 0.0
    assert str(quantizer.recipes[-1]) == "weights alone"
    assert max(sizes.values()) < (fp32 / "openvino_model.bin").stat().st_size / 2


def test_with_weights_alone_openvino_does_not_quantize_the_activations_as_they_come(fp32: Path, tmp_path: Path) -> None:
    from models.prepare.quantize.quantizer import Quantizer

    quantizer = Quantizer(fp32, SEQUENCES)
    quantizer.write(quantizer.recipes[-1], tmp_path)
    compiled = shared_core().compile_model(tmp_path / MODEL_NAME, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    assert int(compiled.get_property("DYNAMIC_QUANTIZATION_GROUP_SIZE")) == 0


def test_an_fp32_graph_runs_no_product_in_int8(fp32: Path) -> None:
    assert int8_share(count_operations(fp32 / MODEL_NAME)) == 0.0
