"""The models that the bundled ones do not cover, made once and kept outside of the project."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from benchmarks.workloads import WORKLOADS
from examples.demo.texts import generate, read_examples
from models.store import BUNDLED_DIRECTORY, MODEL_NAME

__all__ = ["ModelCache", "ModelCacheError"]

_ROOT = Path(__file__).resolve().parents[1]
_NAME = "bench-distilbert"
_CALIBRATION_ROWS = 300
_LOG_CHARACTERS = 2000

Say = Callable[[str], object]


class ModelCacheError(RuntimeError):
    """A model could not be made; the message has the end of what its maker said."""


class ModelCache:
    """Random checkpoints for torch, and an INT8 model of DistilBERT's size made from one.

    Args:
        directory: where they are kept.
        checkpoints: directory with real checkpoints by the bundled models' names, or None.
        say: told before something takes long.
    """

    def __init__(self, directory: Path, checkpoints: Path | None, say: Say) -> None:
        self._directory = directory
        self._checkpoints = checkpoints
        self._say = say

    def checkpoint(self, workload: str) -> tuple[Path, bool]:
        """A checkpoint for torch, and whether the workload's INT8 model was made from these weights.

        Raises:
            ModelCacheError: it could not be made.
        """
        bundled = WORKLOADS[workload][0]
        if bundled and self._checkpoints and (self._checkpoints / bundled / "model.safetensors").is_file():
            return self._checkpoints / bundled, True
        target = self._directory / "checkpoints" / (bundled or _NAME)
        if not (target / "model.safetensors").is_file():
            source = BUNDLED_DIRECTORY / (bundled or "sentiment")
            extra = [] if bundled else ["--distilbert"]
            self._say(f"making a checkpoint of random weights for {workload}")
            self._run(["benchmarks.random_checkpoint", str(source), str(target), *extra])
        return target, bundled is None

    def int8_model(self, workload: str) -> Path | None:
        """The INT8 model of a workload whose model is not bundled; None for the others.

        Raises:
            ModelCacheError: it could not be made.
        """
        if WORKLOADS[workload][0]:
            return None
        target = self._directory / "models" / _NAME
        if not (target / MODEL_NAME).is_file():
            checkpoint, _ = self.checkpoint(workload)
            rows = self._directory / "calibration.jsonl"
            texts = generate(read_examples(), _CALIBRATION_ROWS)
            rows.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts), encoding="utf-8")
            self._say(f"preparing the INT8 model of {workload} (a minute or two, once)")
            prepare = ["models", "--models-dir", str(target.parent), "prepare", str(checkpoint), "--as", _NAME]
            # The answers of random weights mean nothing, so they may be far from FP32's.
            extra = ["--calibration", str(rows), "--max-distance", "1", "--source", "random weights, for measurements"]
            self._run([*prepare, *extra])
        return target

    def _run(self, module: list[str]) -> None:
        self._directory.mkdir(parents=True, exist_ok=True)
        done = subprocess.run(  # noqa: S603 - the project's own modules
            [sys.executable, "-m", *module], cwd=_ROOT, env=os.environ, capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise ModelCacheError(f"python -m {module[0]} failed:\n{done.stderr[-_LOG_CHARACTERS:]}")
