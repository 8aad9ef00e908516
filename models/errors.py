"""The errors of this package. Each message says what is wrong, where, and what to do about it."""

from __future__ import annotations

from pathlib import Path

__all__ = [
    "AccuracyError",
    "BrokenEngineError",
    "CheckError",
    "CorruptModelError",
    "FeedingError",
    "HubError",
    "InvalidDataError",
    "InvalidNameError",
    "ModelError",
    "ModelNotFoundError",
    "NotRemovedError",
    "PreparationError",
    "QueueError",
    "TokenizerError",
    "UnsafeWeightsError",
    "first_line",
]


def first_line(error: BaseException) -> str:
    """The first line of an error's message that is not empty; the name of its type if there is none."""
    lines = (line.strip() for line in str(error).splitlines())
    return next((line for line in lines if line), type(error).__name__)


class ModelError(Exception):
    """Base class of the errors of this package."""


class InvalidNameError(ModelError):
    """The text cannot be a model's name."""


class ModelNotFoundError(ModelError):
    """No prepared model has this name.

    Args:
        name: the name or path that was looked up.
        directories: where it was looked for.
    """

    def __init__(self, name: str, directories: list[Path]) -> None:
        searched = ", ".join(str(directory) for directory in directories)
        super().__init__(
            f"there is no prepared model {name!r} in {searched}. "
            f"Prepare one with: python -m models prepare MODEL --as {name} (requires pip install "
            f"'celeriac-worker[prepare]'). The bundled models come with celeriac-worker and with a checkout"
        )


class CorruptModelError(ModelError):
    """A file of a prepared model is missing, changed or unreadable.

    Args:
        path: the file at fault.
        problem: what is wrong with it, as the end of a sentence that begins with the path.
    """

    def __init__(self, path: Path, problem: str) -> None:
        super().__init__(f"{path} {problem}; prepare the model again or restore the file")
        self.path = path


class NotRemovedError(ModelError):
    """The model was not removed."""


class BrokenEngineError(ModelError, RuntimeError):
    """OpenVINO has not computed what it was given, without saying so. This process must not use the model any more."""

    def __init__(self) -> None:
        super().__init__("OpenVINO has not computed a batch: this process may not get enough memory")


class PreparationError(ModelError):
    """The model cannot be prepared."""


class AccuracyError(PreparationError):
    """INT8 is further from FP32, or loses more accuracy, than allowed."""


class FeedingError(PreparationError):
    """The engine cannot feed the model as it was trained."""


class CheckError(PreparationError):
    """The served graph does not answer as the published model does.

    Args:
        reason: on what they differ, as a sentence.
        probe: what was asked.
        expected: what the published model answers or reads.
        found: what came out instead.
    """

    def __init__(self, reason: str, probe: str, expected: str, found: str) -> None:
        super().__init__(
            f"the model is refused, since it would not be served as it was published: {reason}. "
            f"Asked: {probe}; expected: {expected}; found: {found}"
        )
        self.reason = reason
        self.probe = probe
        self.expected = expected
        self.found = found


class HubError(PreparationError):
    """A repository could not be fetched from the hub.

    Args:
        hub_id: the repository.
        problem: what went wrong, as the end of a sentence that begins with the id.
    """

    def __init__(self, hub_id: str, problem: str) -> None:
        super().__init__(f"{hub_id} {problem}")
        self.hub_id = hub_id


class TokenizerError(PreparationError):
    """No ``tokenizer.json`` produces the token ids of the model's own tokenizer."""


class UnsafeWeightsError(PreparationError):
    """A pickled checkpoint contains something other than tensors.

    Args:
        path: the pickle.
        problem: why it was refused.
    """

    def __init__(self, path: Path, problem: str) -> None:
        super().__init__(
            f"{path} is refused: the pickle contains more than tensors and could run arbitrary code ({problem}). "
            "Nothing in it was executed. Ask its publisher for safetensors"
        )
        self.path = path


class QueueError(ModelError):
    """No answer came back through the queue."""


class InvalidDataError(ModelError):
    """An evaluation or calibration file does not contain what the task needs."""
