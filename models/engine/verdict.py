"""Which arithmetic is the fastest for a model on this CPU, as measured once and kept beside the compiled models."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import geometric_mean
from typing import Any, Self

from models.engine.arithmetic import Arithmetic
from models.engine.cache_files import CacheFile, cache_path
from models.engine.cpu import cpu_digest, cpu_name

__all__ = ["MAX_WAIT_S", "Verdict", "VerdictFile", "verdict_file", "verdicts_of"]

logger = logging.getLogger(__name__)

_SUFFIX = ".arithmetic.json"
#: How long to wait for another process to measure. A process that loads its models is killed after 60 s by default.
MAX_WAIT_S = 40.0


@dataclass(frozen=True)
class Verdict:
    """The outcome of one measurement.

    Attributes:
        arithmetic: the one to use.
        milliseconds: the time of one inference for each candidate, by the shape of its input such as ``1x16``.
        threads: number of compute threads.
        openvino: version that was measured.
        cpu: the model name of the CPU, for people.
        cpu_digest: what tells this type of CPU from others.
    """

    arithmetic: Arithmetic
    milliseconds: Mapping[Arithmetic, Mapping[str, float]]
    threads: int
    openvino: str
    cpu: str
    cpu_digest: str

    @classmethod
    def here(
        cls, arithmetic: Arithmetic, milliseconds: Mapping[Arithmetic, Mapping[str, float]], threads: int, openvino: str
    ) -> Self:
        """The verdict on what was measured on this CPU."""
        return cls(arithmetic, milliseconds, threads, openvino, cpu_name(), cpu_digest())

    def is_for_this_cpu(self) -> bool:
        """Whether it was measured on a CPU of this type."""
        return self.cpu_digest == cpu_digest()

    def __str__(self) -> str:
        times = (f"{name} {_mean(shapes):.1f} ms" for name, shapes in sorted(self.milliseconds.items()))
        return f"{self.arithmetic} ({', '.join(times)}; {self.cpu}, {self.threads} thread(s))"


class VerdictFile(CacheFile):
    """The file of one verdict."""

    def read(self) -> Verdict | None:
        """The verdict; None if there is no file, or its content is not a verdict."""
        try:
            fields: dict[str, Any] = json.loads(self.path.read_bytes())
            times = {Arithmetic(name): dict(shapes) for name, shapes in fields.pop("milliseconds").items()}
            verdict = Verdict(Arithmetic(fields.pop("arithmetic")), times, **fields)
        except OSError:
            return None
        except (ValueError, TypeError, KeyError, AttributeError):
            logger.warning("%s is damaged and is ignored", self.path)
            return None
        return verdict

    def write(self, verdict: Verdict) -> None:
        """Write a verdict; the file appears in one step.

        Raises:
            OSError: the file cannot be written.
        """
        self._write_in_one_step(json.dumps(asdict(verdict), indent=2).encode() + b"\n")

    def read_or_measure(self, measure: Callable[[], Verdict | None], max_wait_s: float = MAX_WAIT_S) -> Verdict | None:
        """The verdict. The first process measures while the others wait.

        Args:
            measure: measures the candidates; None if there is no time for that.
            max_wait_s: how long to wait for another process that measures.

        Returns:
            None if there is none, or if it cannot be kept: the disk is full, the directory is read-only, or another
            process takes too long.
        """
        verdict = self.read()
        if verdict is not None:
            self.mark_used()
            return verdict
        try:
            with self.locked(max_wait_s):
                verdict = self.read()
                if verdict is None:
                    verdict = measure()
                    if verdict is not None:
                        self.write(verdict)
                return verdict
        except OSError as error:
            logger.warning("the choice of arithmetic cannot be kept in %s: %s", self.path.parent, error)
            return None


def verdict_file(
    directory: Path, revision: str, openvino_version: str, options: Mapping[str, Any], candidates: Sequence[Arithmetic]
) -> VerdictFile:
    """The file of the verdict on a model on this type of CPU.

    Args:
        directory: of the compiled models.
        revision: identifies the exact model files.
        openvino_version: the version that runs the model.
        options: the compile options.
        candidates: what is measured.
    """
    depends_on = {**options, "candidates": sorted(candidates)}
    return VerdictFile(cache_path(directory, revision, openvino_version, depends_on, _SUFFIX))


def verdicts_of(directory: Path, revision: str) -> list[Verdict]:
    """All verdicts on a revision of a model, of any CPU."""
    files = sorted(directory.glob(f"{revision}-*{_SUFFIX}"))
    return [verdict for file in files if (verdict := VerdictFile(file).read()) is not None]


def _mean(times: Mapping[str, float]) -> float:
    return geometric_mean(times.values())
