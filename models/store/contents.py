"""What a served directory holds: a graph (IR or ONNX), JSON, a card, and nothing that could run or lead elsewhere."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from models.errors import CorruptModelError

__all__ = ["CARD_NAME", "CONFIG_NAME", "MANIFEST_NAME", "MODEL_NAME", "TOKENIZER_NAME", "check_contents"]

MANIFEST_NAME = "manifest.json"
MODEL_NAME = "openvino_model.xml"
TOKENIZER_NAME = "tokenizer.json"
CONFIG_NAME = "config.json"
CARD_NAME = "README.md"

_WEIGHTS_SUFFIX = ".bin"
_IR_SUFFIX, _ONNX_SUFFIX = ".xml", ".onnx"
_SUFFIXES = frozenset({_IR_SUFFIX, _WEIGHTS_SUFFIX, _ONNX_SUFFIX, ".json"})


def check_contents(directory: Path, names: Collection[str]) -> None:
    """Check what there is against the names that the manifest lists, without reading any file but the directory.

    Raises:
        CorruptModelError: naming the first file that is missing, that should not be there, or that is a link to
            another place; or the manifest, where that lists what no served directory has, or too little.
    """
    _check_names(directory / MANIFEST_NAME, names)
    home = directory.resolve()
    allowed = {*names, MANIFEST_NAME, CARD_NAME}
    try:
        found = sorted(directory.iterdir())
    except OSError as error:
        raise CorruptModelError(directory, f"cannot be read ({error.strerror})") from None
    for path in found:
        if path.name not in allowed:
            raise CorruptModelError(path, "is not in the manifest: a served directory holds nothing else")
        if path.is_symlink() and path.resolve().parent != home:
            raise CorruptModelError(path, "is a link to a place outside of its directory")
    for name in names:
        if not (directory / name).is_file():
            raise CorruptModelError(directory / name, "is missing")


def _check_names(manifest: Path, names: Collection[str]) -> None:
    for name in sorted(names):
        if not name or Path(name).name != name or "\\" in name or "\0" in name or name.startswith("."):
            raise CorruptModelError(manifest, f"lists {name!r}, which is no plain file name")
        if Path(name).suffix not in _SUFFIXES or name == MANIFEST_NAME:
            raise CorruptModelError(manifest, f"lists {name!r}: a served directory holds IR or ONNX, and JSON")
    graphs = [name for name in names if Path(name).suffix in {_IR_SUFFIX, _ONNX_SUFFIX}]
    weights = [str(Path(name).with_suffix(_WEIGHTS_SUFFIX)) for name in graphs if Path(name).suffix == _IR_SUFFIX]
    for needed in (CONFIG_NAME, TOKENIZER_NAME, *weights):
        if needed not in names:
            raise CorruptModelError(manifest, f"does not list {needed}")
    if not graphs:
        raise CorruptModelError(manifest, f"lists no model: neither {MODEL_NAME} nor an {_ONNX_SUFFIX} file")
