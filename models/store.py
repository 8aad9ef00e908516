"""From a model's name to a directory with a manifest: bundled, prepared here, or a path."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from models.errors import ModelNotFoundError
from models.manifest import MANIFEST_NAME, Manifest

__all__ = [
    "BUNDLED_DIRECTORY",
    "CONFIG_NAME",
    "DEFAULT_MODELS_DIR",
    "MODEL_NAME",
    "TOKENIZER_NAME",
    "StoredModel",
    "find",
]

DEFAULT_MODELS_DIR = Path("~/.cache/celeriac/models")
BUNDLED_DIRECTORY = Path(__file__).parent / "bundled"
MODEL_NAME = "openvino_model.xml"
TOKENIZER_NAME = "tokenizer.json"
CONFIG_NAME = "config.json"


@dataclass(frozen=True)
class StoredModel:
    """A prepared model on disk."""

    directory: Path
    manifest: Manifest

    @property
    def name(self) -> str:
        """The name that requests use."""
        return self.manifest.name

    def verify(self) -> None:
        """Check every file against its checksum.

        Raises:
            CorruptModelError: naming the first file that differs.
        """
        self.manifest.verify(self.directory)


def find(name: str, models_dir: Path) -> StoredModel:
    """Find a prepared model.

    Args:
        name: a bundled model, one prepared under ``models_dir``, or the path of a prepared directory.
        models_dir: where prepared models are kept; one there goes before a bundled one of the same name.

    Raises:
        ModelNotFoundError: no directory of that name has a manifest.
        CorruptModelError: it has one that cannot be read.
    """
    places = [Path(name).expanduser()] if "/" in name else [models_dir / name, BUNDLED_DIRECTORY / name]
    for place in places:
        if (place / MANIFEST_NAME).is_file():
            return StoredModel(place, Manifest.read(place))
    raise ModelNotFoundError(name, [place.parent for place in places])
