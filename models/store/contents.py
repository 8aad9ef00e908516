"""What a served directory may contain: a graph (IR or ONNX), JSON, a card. Nothing that could run or lead elsewhere."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from models.errors import CorruptModelError

__all__ = [
    "CARD_NAME",
    "CONFIG_NAME",
    "GRAPH_SUFFIXES",
    "MANIFEST_NAME",
    "MODEL_NAME",
    "TOKENIZER_NAME",
    "WEIGHTS_NAME",
    "check_contents",
]

MANIFEST_NAME = "manifest.json"
MODEL_NAME = "openvino_model.xml"
WEIGHTS_NAME = "openvino_model.bin"
TOKENIZER_NAME = "tokenizer.json"
CONFIG_NAME = "config.json"
CARD_NAME = "README.md"

_WEIGHTS_SUFFIX = ".bin"
_IR_SUFFIX, _ONNX_SUFFIX = ".xml", ".onnx"
#: File name suffixes of graphs: OpenVINO IR and ONNX.
GRAPH_SUFFIXES = frozenset({_IR_SUFFIX, _ONNX_SUFFIX})
_SUFFIXES = GRAPH_SUFFIXES | {_WEIGHTS_SUFFIX, ".json"}


def check_contents(directory: Path, names: Collection[str]) -> None:
    """Compare a directory with the file names that its manifest lists, without opening any file.

    Args:
        directory: the served directory.
        names: the file names in the manifest.

    Raises:
        CorruptModelError: naming the first file that is missing, unexpected, or a link out of the directory; or the
            manifest, if it lists files that no served directory may contain or leaves out required ones.
    """
    _check_names(directory / MANIFEST_NAME, names)
    root = directory.resolve()
    allowed = {*names, MANIFEST_NAME, CARD_NAME}
    try:
        paths = sorted(directory.iterdir())
    except OSError as error:
        raise CorruptModelError(directory, f"cannot be read ({error.strerror})") from None
    for path in paths:
        if path.name not in allowed:
            raise CorruptModelError(path, "is not in the manifest: a served directory contains nothing else")
        if path.is_symlink() and path.resolve().parent != root:
            raise CorruptModelError(path, "is a link to a file outside of its directory")
    for name in names:
        if not (directory / name).is_file():
            raise CorruptModelError(directory / name, "is missing")


def _check_names(manifest: Path, names: Collection[str]) -> None:
    for name in sorted(names):
        if not name or Path(name).name != name or "\\" in name or "\0" in name or name.startswith("."):
            raise CorruptModelError(manifest, f"lists {name!r}, which is not a plain file name")
        if Path(name).suffix not in _SUFFIXES or name == MANIFEST_NAME:
            raise CorruptModelError(manifest, f"lists {name!r}: only IR, ONNX and JSON files may be served")
    graphs = [name for name in names if Path(name).suffix in GRAPH_SUFFIXES]
    weights = [str(Path(name).with_suffix(_WEIGHTS_SUFFIX)) for name in graphs if Path(name).suffix == _IR_SUFFIX]
    for required in (CONFIG_NAME, TOKENIZER_NAME, *weights):
        if required not in names:
            raise CorruptModelError(manifest, f"does not list {required}")
    if not graphs:
        raise CorruptModelError(manifest, f"lists no model: neither {MODEL_NAME} nor an {_ONNX_SUFFIX} file")
