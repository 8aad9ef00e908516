"""The arithmetic that a worker computes a model in on this machine: ``python -m benchmarks.fastest MODEL``."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from pathlib import Path

from config import load_settings
from models.engine.arithmetic import Arithmetic
from models.store import find
from worker.inference.loaded_models import LoadedModels

__all__ = ["fastest_arithmetic"]

_ROOT = Path(__file__).resolve().parents[1]


def fastest_arithmetic(directory: Path) -> Arithmetic:
    """The arithmetic of a model, measured if no worker has measured it yet.

    It is asked in a process of its own: OpenVINO does not survive a fork, and the benchmarks fork.

    Raises:
        CalledProcessError: the model cannot be loaded.
    """
    done = subprocess.run(  # noqa: S603 - this module
        [sys.executable, "-m", "benchmarks.fastest", str(directory)],
        cwd=_ROOT,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return Arithmetic(done.stdout.split()[-1])


def main() -> int:
    """Load the model as a worker's process does, and print its arithmetic."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.fastest", description=__doc__)
    parser.add_argument("model", help="name or path of a prepared model")
    options = parser.parse_args()
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    settings = load_settings()
    model = find(options.model, settings.model_dir)
    print(LoadedModels.load([model], settings, threads=1).arithmetic[model.name])
    return 0


if __name__ == "__main__":
    sys.exit(main())
