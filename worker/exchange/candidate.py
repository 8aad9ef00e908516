"""``python -m worker.exchange.candidate``: loads new revisions and has them answer, in a process of its own.

A graph on which OpenVINO crashes ends this process and no other. What it compiles is kept, so the processes that load
the revision afterwards start as fast as ever.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

from config import Settings, load_settings
from models.store import StoredModel
from models.store.manifest import Manifest
from worker.exchange.errors import ExchangeError
from worker.exchange.probe import find_fault
from worker.inference.loaded_models import LoadedModels
from worker.inference.taken_models import TakenModel, take

__all__ = ["CheckedModel", "check", "main"]

#: The check shares its cores with a process that serves, and leaves it most of their time.
_NICENESS = 5


@dataclass(frozen=True)
class CheckedModel:
    """A revision that has passed its check.

    Attributes:
        source: the directory in which it was prepared.
        directory: what processes have to load: the copy, or the same directory.
        revision: the revision that was checked.
    """

    source: str
    directory: str
    revision: str

    @classmethod
    def read(cls, fields: Any) -> Self:
        """From JSON."""
        return cls(**fields)


def check(directory: Path, settings: Settings, threads: int) -> TakenModel:
    """Verify, copy and load the model in a directory, and have it answer.

    Raises:
        models.errors.ModelError: its files are not those of its manifest.
        RuntimeError: OpenVINO cannot compile or compute it.
        ExchangeError: what it computes is not finite.
        Exception: its tokenizer or its configuration cannot be used.
    """
    model = StoredModel(directory, Manifest.read(directory))
    model.verify()
    taken, _ = take(model, settings)
    loaded = LoadedModels.load([taken.model], settings, threads)
    for task, pipelines in loaded.pipelines.items():
        for pipeline in pipelines.values():
            fault = find_fault(task, pipeline)
            if fault is not None:
                raise ExchangeError(fault)
    return taken


def main(arguments: Sequence[str]) -> int:
    """Check the models in some directories, and print what came of it as JSON.

    Args:
        arguments: the cores to use, separated by commas, then the directories.
    """
    cores = [int(core) for core in arguments[0].split(",")]
    # Before OpenVINO is loaded, since its threads keep the mask.
    os.sched_setaffinity(0, cores)
    os.nice(_NICENESS)
    passed: list[CheckedModel] = []
    held: list[TakenModel] = []
    try:
        settings = load_settings()
        for directory in map(Path, arguments[1:]):
            taken = check(directory, settings, len(cores))
            held.append(taken)
            passed.append(CheckedModel(str(directory), str(taken.model.directory), taken.revision))
    except Exception as error:  # noqa: BLE001 - whatever it is, the revision cannot be served
        kind = "" if isinstance(error, ExchangeError) else f"{type(error).__name__}: "
        print(json.dumps({"problem": f"{kind}{error}"}))
        return 1
    print(json.dumps({"passed": [asdict(one) for one in passed]}))
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
