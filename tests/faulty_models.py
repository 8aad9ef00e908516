"""Models that compute numbers which are none: for texts with one word, and for those only."""

from __future__ import annotations

import shutil
from pathlib import Path

import openvino as ov
from openvino import opset13 as ops
from tokenizers import Tokenizer

from models.engine.openvino_core import shared_core
from models.store import MODEL_NAME, TOKENIZER_NAME, find
from models.store.manifest import record_files

__all__ = ["CURSED", "prepare_faulty"]

#: The word for which the models fail.
CURSED = "plague"


def prepare_faulty(models_dir: Path, like: str, value: float) -> str:
    """Prepare a model like a bundled one, whose logits are ``value`` for sequences with the word.

    Returns:
        The model's name.
    """
    original = find(like, models_dir)
    name = f"faulty-{like}"
    directory = Path(shutil.copytree(original.directory, models_dir / name))
    _spoil(directory, value)
    files = record_files(directory, sorted(original.manifest.files))
    original.manifest.model_copy(update={"name": name, "files": files}).write(directory)
    return name


def _spoil(directory: Path, value: float) -> None:
    path = directory / MODEL_NAME
    token = Tokenizer.from_file(str(directory / TOKENIZER_NAME)).token_to_id(CURSED)
    graph = shared_core().read_model(path)
    ids = next(port for port in graph.inputs if port.any_name == "input_ids")
    is_cursed = ops.reduce_logical_or(ops.equal(ids, ops.constant(token, ids.element_type)), [1], keep_dims=True)
    for result in graph.get_results():
        computed = result.input(0).get_source_output()
        names = computed.names
        spoiled = ops.select(is_cursed, ops.constant(value, computed.element_type), computed).output(0)
        result.input(0).replace_source_output(spoiled)
        computed.set_names(set())
        spoiled.set_names(names)
    graph.validate_nodes_and_infer_types()
    # The graph still maps the file that it was read from.
    saved = directory / "saved.xml"
    ov.save_model(graph, saved, compress_to_fp16=False)
    saved.rename(path)
    saved.with_suffix(".bin").rename(path.with_suffix(".bin"))
