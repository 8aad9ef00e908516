"""The manifest of a prepared model: what it is, where it came from, and a checksum of every file."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from models.errors import CorruptModelError, InvalidNameError
from models.store.contents import MANIFEST_NAME, check_contents
from models.store.names import check_name
from producer.contract import TaskName

__all__ = ["MANIFEST_NAME", "FileRecord", "Manifest", "Measurement", "digest", "record_files"]

_REVISION_CHARACTERS = 12


class _Record(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class FileRecord(_Record):
    """Size and checksum of one file."""

    sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
    size_bytes: Annotated[int, Field(ge=0)]


class Measurement(_Record):
    """What was measured on one set of rows when the model was prepared.

    Attributes:
        metric: what the shares (0 to 1) are of; F1 or accuracy.
        fp32: before quantization; None where that is not published.
        int8: with f32 arithmetic for what is not quantized.
        int8_bf16: with bf16 arithmetic, where the CPU had it; else the same as ``int8``.
        rows_per_second: on one core, by the three names above; to compare, not to promise.
    """

    metric: str
    data: str
    rows: Annotated[int, Field(gt=0)]
    fp32: float | None = None
    int8: float
    int8_bf16: float
    rows_per_second: dict[str, float]


class Manifest(_Record):
    """Everything that a worker must know of a model before it loads it, and an owner wants to know.

    Attributes:
        source: the hub id, or what its owner says of where it comes from.
        source_revision: the hub's commit; empty for a directory.
        source_layout: how it is published; empty in manifests older than this field.
        recipe: how it was made.
        fp32_size_bytes: of the graph before quantization; None where that is not published.
        zero_weights: share of the weights of matrix products that are zero, from 0 to 1.
        operations: by OpenVINO's layer type, how many of the compiled graph run in which precision.
        operations_cpu: the CPU that they were counted on; another one may run some in another precision.
    """

    format: Literal[1] = 1
    name: str
    task: TaskName
    source: str
    source_sha256: str
    source_revision: str = ""
    source_layout: str = ""
    licence: str
    max_length_tokens: Annotated[int, Field(gt=0)]
    recipe: dict[str, str | int | float]
    versions: dict[str, str]
    files: dict[str, FileRecord]
    measurements: list[Measurement] = []
    fp32_size_bytes: Annotated[int, Field(gt=0)] | None = None
    zero_weights: Annotated[float, Field(ge=0, le=1)] = 0.0
    operations: dict[str, dict[str, int]] = {}
    operations_cpu: str = ""

    @property
    def size_bytes(self) -> int:
        """All files together."""
        return sum(record.size_bytes for record in self.files.values())

    @property
    def revision(self) -> str:
        """Names exactly these files: the same revision gives the same answers on the same CPU."""
        lines = "".join(f"{name} {record.sha256}\n" for name, record in sorted(self.files.items()))
        return hashlib.sha256(lines.encode()).hexdigest()[:_REVISION_CHARACTERS]

    @classmethod
    def read(cls, directory: Path) -> Manifest:
        """Read the manifest of a prepared model.

        Raises:
            CorruptModelError: it is missing or not a manifest.
        """
        path = directory / MANIFEST_NAME
        try:
            manifest = cls.model_validate_json(path.read_bytes())
            check_name(manifest.name)
        except FileNotFoundError:
            raise CorruptModelError(path, "is missing") from None
        except OSError as error:
            raise CorruptModelError(path, f"cannot be read ({error.strerror})") from None
        except InvalidNameError as error:
            raise CorruptModelError(path, f"has a wrong name ({error})") from None
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(map(str, first["loc"]))
            raise CorruptModelError(path, f"is not a manifest ({where}: {first['msg']})") from None
        return manifest

    def write(self, directory: Path) -> None:
        """Write the manifest into ``directory``."""
        (directory / MANIFEST_NAME).write_text(self.model_dump_json(indent=2) + "\n", encoding="utf-8")

    def verify(self, directory: Path) -> None:
        """Check what the directory holds, and every file against its size and checksum.

        Raises:
            CorruptModelError: naming the first file that differs, is missing, or should not be there.
        """
        check_contents(directory, self.files)
        for name, record in self.files.items():
            path = directory / name
            try:
                size_bytes = path.stat().st_size
                if size_bytes != record.size_bytes:
                    raise CorruptModelError(path, f"has {size_bytes} bytes instead of {record.size_bytes}")
                if digest(path) != record.sha256:
                    raise CorruptModelError(path, "does not match its checksum")
            except OSError as error:
                raise CorruptModelError(path, f"cannot be read ({error.strerror})") from None


def digest(path: Path) -> str:
    """SHA-256 of a file, as 64 hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def record_files(directory: Path, names: list[str]) -> dict[str, FileRecord]:
    """The records of ``names`` as they are on disk now."""
    return {
        name: FileRecord(sha256=digest(directory / name), size_bytes=(directory / name).stat().st_size)
        for name in names
    }
