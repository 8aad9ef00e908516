"""The manifest of a prepared model: what it is, where it came from, and a checksum of every file."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from models.errors import CorruptModelError, InvalidNameError
from models.store.contents import MANIFEST_NAME, check_contents
from models.store.feeding_record import FeedingRecord
from models.store.names import check_name
from producer.contract import TaskName

__all__ = [
    "MANIFEST_NAME",
    "AnswerDistance",
    "CheckRecord",
    "FileRecord",
    "Manifest",
    "Measurement",
    "RecipeTrial",
    "TrialConditions",
    "digest",
    "digest_of_all",
    "record_files",
]

_REVISION_CHARACTERS = 12
#: Most accuracy that bf16 may cost: what INT8 may cost by default when a model is prepared.
_MAX_POINTS_LOST_IN_BF16 = 0.5
#: Accuracies have four digits, so points have two; more would be noise of the subtraction.
_POINTS_DIGITS = 2


class _Record(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class FileRecord(_Record):
    """Size and checksum of one file."""

    sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
    size_bytes: Annotated[int, Field(ge=0)]


class Measurement(_Record):
    """Accuracy and speed on one labelled file, measured when the model was prepared.

    Attributes:
        metric: what the three accuracies are, such as ``accuracy`` or ``f1``; each is from 0 to 1.
        data: the labelled file, as its directory and name.
        rows: how many rows it has.
        fp32: accuracy before quantization; None if the FP32 model is not published.
        int8: accuracy of the INT8 model, with f32 arithmetic for the operations that are not quantized.
        int8_bf16: the same with bf16 arithmetic, if the CPU supports it; otherwise equal to ``int8``.
        rows_per_second: speed on one core, by the three names above; meaningful only relative to each other.
    """

    metric: str
    data: str
    rows: Annotated[int, Field(gt=0)]
    fp32: float | None = None
    int8: float
    int8_bf16: float
    rows_per_second: dict[str, float]

    @property
    def points_lost(self) -> float | None:
        """Accuracy that quantization cost, in percentage points; None if the FP32 model is not published."""
        return None if self.fp32 is None else round((self.fp32 - self.int8) * 100, _POINTS_DIGITS)

    @property
    def points_lost_in_bf16(self) -> float:
        """Accuracy that INT8 with bf16 for the rest costs, in percentage points of FP32's, or of INT8's without it."""
        return round(((self.int8 if self.fp32 is None else self.fp32) - self.int8_bf16) * 100, _POINTS_DIGITS)


class AnswerDistance(_Record):
    """How far a model's answers are from those of the model before quantization, on rows held back from calibration.

    Attributes:
        mean: mean over the rows of the largest change of a score: a probability, or for regression a value, in
            multiples of the range of the values.
        p999: the 99.9th percentile over the rows.
        largest: the largest over the rows.
        logits: mean over the rows of the mean change of a logit.
        equal_spans: share of the rows with the same best span, for question answering alone.
    """

    mean: float
    p999: float
    largest: float
    logits: float
    equal_spans: float | None = None


class RecipeTrial(_Record):
    """One recipe that was tried.

    Attributes:
        recipe: what was tried, in words.
        distance: how far the model that it made is from the one before quantization.
        speed: how many times as fast as FP32 it is, as the geometric mean over three shapes.
        is_chosen: whether this is the recipe of the model.
    """

    recipe: str
    distance: AnswerDistance
    speed: float
    is_chosen: bool = False


class TrialConditions(_Record):
    """What the trials of recipes were measured on.

    Attributes:
        data: name of the file of the rows.
        held_back_rows: number of rows that were held back from calibration.
        max_distance: the limit: of the mean distance, or for question answering of the share of other spans.
        cpu: the CPU, and the limit on its instructions if there was one.
        arithmetic: of the matrix products.
    """

    data: str
    held_back_rows: Annotated[int, Field(gt=0)]
    max_distance: float
    cpu: str
    arithmetic: str


class CheckRecord(_Record):
    """What was seen when the answers of the served graph were compared with those of the published model.

    Attributes:
        reference: what gave the published answers.
        probes: how many groups of texts were answered together.
        texts: how many texts they consist of.
        sequences: how many sequences were compared.
        shortest_tokens: the shortest of them, in tokens.
        longest_tokens: the longest of them, in tokens.
        largest_score_difference: of any score of a label or an answer.
        largest_logit_difference: of any logit, relative to the largest of its sequence where that is over 1.
        score_range: from the lowest to the highest published score: a check shows little if it is near 0.
        seconds: how long it took.
    """

    reference: str
    probes: Annotated[int, Field(gt=0)]
    texts: Annotated[int, Field(gt=0)]
    sequences: Annotated[int, Field(gt=0)]
    shortest_tokens: int
    longest_tokens: int
    largest_score_difference: float
    largest_logit_difference: float
    score_range: float
    seconds: float


class Manifest(_Record):
    """Everything that a worker must know about a model before loading it, and what its owner may want to know.

    Attributes:
        format: version of the manifest's format.
        name: the name that requests use.
        task: the task that the model is made for.
        source: the hub id, or the owner's description of where the model comes from.
        source_sha256: checksum of the published weights; of the list of their files and checksums if there are several.
        source_revision: commit of the hub's repository; empty for a local directory.
        source_layout: the format in which the model was published; empty in manifests older than this field.
        licence: as the model's card states it.
        max_length_tokens: longest sequence that the model reads, in tokens.
        entailment_label: the label that says "entailed", if its name does not; empty if it is found by its name.
        contradiction_label: the label that says "contradicted", likewise.
        recipe: how the model was quantized.
        versions: versions of the libraries that prepared it.
        files: size and checksum of every file, by name.
        measurements: accuracy and speed, one entry per labelled file.
        fp32_size_bytes: size of the weights before quantization; None if the FP32 model is not published.
        zero_weights: share of the weights of matrix products that are zero, from 0 to 1.
        operations: how many operations of the compiled graph run in each precision, by OpenVINO's layer type.
        operations_cpu: the CPU on which they were counted; another CPU may run some in another precision.
        feeding: how the model is fed.
        trials: the recipes that were tried, fastest first; empty if there was nothing to choose, and in manifests older
            than this field.
        trial_conditions: what they were measured on.
        distance_in_f32: distance of the model's answers in f32, as a CPU without instructions for INT8 computes them.
        check: how its answers compare with those of the published model; None in manifests older than this field.
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
    entailment_label: str = ""
    contradiction_label: str = ""
    recipe: dict[str, str | int | float]
    versions: dict[str, str]
    files: dict[str, FileRecord]
    measurements: list[Measurement] = []
    fp32_size_bytes: Annotated[int, Field(gt=0)] | None = None
    zero_weights: Annotated[float, Field(ge=0, le=1)] = 0.0
    operations: dict[str, dict[str, int]] = {}
    operations_cpu: str = ""
    feeding: FeedingRecord = FeedingRecord()
    check: CheckRecord | None = None
    trials: list[RecipeTrial] = []
    trial_conditions: TrialConditions | None = None
    distance_in_f32: AnswerDistance | None = None

    @property
    def size_bytes(self) -> int:
        """Total size of all files."""
        return sum(record.size_bytes for record in self.files.values())

    @property
    def keeps_accuracy_in_bf16(self) -> bool:
        """Whether the model was measured with bf16, and lost little on every labelled file."""
        lost = [measurement.points_lost_in_bf16 for measurement in self.measurements]
        return bool(lost) and max(lost) <= _MAX_POINTS_LOST_IN_BF16

    @property
    def revision(self) -> str:
        """Identifies the exact files and what labels mean: a revision gives the same results on the same CPU."""
        lines = "".join(f"{name} {record.sha256}\n" for name, record in sorted(self.files.items()))
        if self.entailment_label or self.contradiction_label:
            lines += f"{self.entailment_label}\n{self.contradiction_label}\n"
        return hashlib.sha256(lines.encode()).hexdigest()[:_REVISION_CHARACTERS]

    @classmethod
    def read(cls, directory: Path) -> Manifest:
        """Read the manifest of a prepared model.

        Raises:
            CorruptModelError: the manifest is missing, unreadable or invalid.
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
            raise CorruptModelError(path, f"has an invalid name ({error})") from None
        except ValidationError as error:
            first = error.errors()[0]
            field = ".".join(map(str, first["loc"]))
            raise CorruptModelError(path, f"is not a manifest ({field}: {first['msg']})") from None
        return manifest

    def write(self, directory: Path) -> None:
        """Write the manifest into ``directory``."""
        (directory / MANIFEST_NAME).write_text(self.model_dump_json(indent=2) + "\n", encoding="utf-8")

    def verify(self, directory: Path) -> None:
        """Check the contents of the directory, and every file against its size and checksum.

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


def digest_of_all(paths: Sequence[Path]) -> str:
    """SHA-256 of one file; of several, that of the lines that ``sha256sum`` prints for them in their directory."""
    if len(paths) == 1:
        return digest(paths[0])
    return hashlib.sha256("".join(f"{digest(path)}  {path.name}\n" for path in paths).encode()).hexdigest()


def record_files(directory: Path, names: list[str]) -> dict[str, FileRecord]:
    """Size and checksum of each of ``names`` in ``directory``, as they are now."""
    return {
        name: FileRecord(sha256=digest(directory / name), size_bytes=(directory / name).stat().st_size)
        for name in names
    }
