"""Full-size models of random weights, prepared and served: ``python -m benchmarks.full_size``.

For DistilBERT and BERT-base: time and peak memory of the preparation, which recipes it tried and which one it chose,
the INT8 directory beside the FP32 checkpoint, the share of matrix products that run in i8, and what a process of a real
worker takes to start and in private memory, with and without the cache of compiled models.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from benchmarks.processes import rss_anon_mib
from examples.demo.texts import generate, read_examples
from examples.local_stack import LocalServer, LocalWorker
from models.store import BUNDLED_DIRECTORY, StoredModel, find
from models.store.describe import describe_trials
from producer import Client, TextClassificationRequest

__all__ = ["BENCHMARKS_CACHE", "prepared_model"]

_ROOT = Path(__file__).resolve().parents[1]
#: Where benchmarks keep the models that they make.
BENCHMARKS_CACHE = Path("~/.cache/celeriac/benchmarks")
_ARCHITECTURES = ("distilbert", "bert")
_MEBIBYTE, _KIB_PER_MIB = 1024 * 1024, 1024
_READY = re.compile(r"is ready on core .* after ([\d.]+) s")
_PRODUCTS = ("FullyConnected", "MatMul", "MatMul in Subgraph")
_TEXTS = 256
#: What was aimed at: the directory as a share of FP32's; private memory as a multiple of the INT8 graph, and this much.
_MAX_SIZE_SHARE, _MAX_MEMORY_SHARE, _MAX_MEMORY_BYTES = 0.27, 1.6, 140e6


@dataclass(frozen=True)
class Preparation:
    """What ``python -m models prepare`` took: by the clock, of CPU time, and at its peak of resident memory."""

    seconds: float
    cpu_seconds: float
    peak_mib: float


@dataclass(frozen=True)
class Start:
    """What one process of a worker took to be ready, and holds when it is warm, and after some texts."""

    seconds: float
    private_mib: float
    private_after_texts_mib: float


def main() -> int:
    """Make, measure, print."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.full_size", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--architecture", action="append", choices=_ARCHITECTURES, help="repeatable (default: both)")
    parser.add_argument(
        "--cache", type=Path, default=BENCHMARKS_CACHE, help="where models are made (default: %(default)s)"
    )
    parser.add_argument("--starts", type=int, default=3, help="starts of a worker with each (default: %(default)s)")
    parser.add_argument("--max-distance", help="of the preparation (default: its own)")
    parser.add_argument("--again", action="store_true", help="prepare again what is there")
    options = parser.parse_args()
    cache = options.cache.expanduser()
    for architecture in options.architecture or _ARCHITECTURES:
        checkpoint = _checkpoint(cache, architecture)
        models_dir = cache / "full-size"
        extra = ["--max-distance", options.max_distance] if options.max_distance else []
        is_there = (models_dir / architecture).is_dir() and not options.again
        preparation = None if is_there else _prepare(checkpoint, models_dir, architecture, extra)
        model = find(architecture, models_dir)
        print(f"\n{architecture}\n" + "\n".join(_describe(model, checkpoint, preparation)))
        with tempfile.TemporaryDirectory() as compiled:
            for label, settings in (
                ("without the cache", {"CELERIAC_ENGINE_CACHE": "false"}),
                ("with an empty cache", {"CELERIAC_COMPILED_DIR": f"{compiled}/NUMBER"}),
                ("with the cache", {"CELERIAC_COMPILED_DIR": f"{compiled}/0"}),
            ):
                starts = [_start(model, settings, number) for number in tqdm(range(options.starts), desc=label)]
                print(_describe_starts(label, starts, model))
    return 0


def prepared_model(cache: Path, architecture: str) -> StoredModel:
    """A model of random weights, prepared once.

    Args:
        cache: where models are made.
        architecture: ``distilbert`` or ``bert``.

    Raises:
        SystemExit: it cannot be prepared.
    """
    models_dir = cache / "full-size"
    if not (models_dir / architecture).is_dir():
        # The answers of random weights mean nothing, so they may be far from FP32's.
        _prepare(_checkpoint(cache, architecture), models_dir, architecture, ["--max-distance", "1"])
    return find(architecture, models_dir)


def _checkpoint(cache: Path, architecture: str) -> Path:
    target = cache / "checkpoints" / f"full-size-{architecture}"
    if not (target / "model.safetensors").is_file():
        source = str(BUNDLED_DIRECTORY / "sentiment")
        _run(["benchmarks.random_checkpoint", source, str(target), f"--{architecture}"])
    return target


def _prepare(checkpoint: Path, models_dir: Path, name: str, extra: list[str]) -> Preparation:
    return _run(["models", "--models-dir", str(models_dir), "prepare", str(checkpoint), "--as", name, *extra])


def _run(module: list[str]) -> Preparation:
    """Run a module of this project, and tell its time and the peak of its resident memory.

    Raises:
        SystemExit: it failed.
    """
    started_s = time.monotonic()
    process = subprocess.Popen([sys.executable, "-m", *module], cwd=_ROOT)  # noqa: S603 - the project's own modules
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"python -m {' '.join(module)} failed")
    cpu_seconds = usage.ru_utime + usage.ru_stime
    return Preparation(time.monotonic() - started_s, cpu_seconds, usage.ru_maxrss / _KIB_PER_MIB)


def _describe(model: StoredModel, checkpoint: Path, preparation: Preparation | None) -> list[str]:
    fp32, int8 = _size_mib(checkpoint), _size_mib(model.directory)
    lines = [f"FP32 checkpoint {fp32:.1f} MiB, INT8 directory {int8:.1f} MiB: {int8 / fp32:.3f} (<= {_MAX_SIZE_SHARE})"]
    counts = [model.manifest.operations.get(kind, {}) for kind in _PRODUCTS]
    total = sum(sum(found.values()) for found in counts)
    in_int8 = sum(found.get(name, 0) for found in counts for name in ("i8", "u8"))
    lines.append(f"{in_int8} of {total} matrix products run in i8: {in_int8 / max(1, total):.2f}")
    lines.append(f"operations: {json.dumps(model.manifest.operations)}")
    lines.append(describe_trials(model.manifest))
    if preparation is None:
        return [*lines, "prepared by an earlier run (--again)"]
    took = f"prepared in {preparation.seconds:.0f} s, {preparation.cpu_seconds:.0f} s of CPU"
    return [*lines, f"{took}, {preparation.peak_mib:.0f} MiB at most"]


def _size_mib(directory: Path) -> float:
    return sum(path.stat().st_size for path in directory.iterdir()) / _MEBIBYTE


def _start(model: StoredModel, settings: dict[str, str], number: int) -> Start:
    with LocalServer() as server, tempfile.TemporaryDirectory() as leases:
        environment = {
            "CELERIAC_BROKER_URL": server.url,
            "CELERIAC_CORES_LEASE_DIR": leases,
            "CELERIAC_MODELS": str(model.directory),
            **{name: value.replace("NUMBER", str(number)) for name, value in settings.items()},
        }
        with LocalWorker(["--concurrency=1"], environment) as worker, Client(server.url, timeout_s=60) as client:
            worker.wait_until_ready()
            found = _READY.search(worker.log)
            pid = worker.processes[0]
            warm_mib = rss_anon_mib(pid)
            requests = [TextClassificationRequest.parse({"inputs": text}) for text in generate(read_examples(), _TEXTS)]
            for _ in client.map(requests):
                pass
            return Start(float(found[1]) if found else float("nan"), warm_mib, rss_anon_mib(pid))


def _describe_starts(label: str, starts: list[Start], model: StoredModel) -> str:
    graph_bytes = (model.directory / "openvino_model.bin").stat().st_size
    limit_mib = (_MAX_MEMORY_SHARE * graph_bytes + _MAX_MEMORY_BYTES) / _MEBIBYTE
    seconds = statistics.median(start.seconds for start in starts)
    warm = statistics.median(start.private_mib for start in starts)
    used = statistics.median(start.private_after_texts_mib for start in starts)
    return (
        f"{label}: a process is ready after {seconds:.2f} s; private {warm:.0f} MiB when it is (<= {limit_mib:.0f}), "
        f"{used:.0f} MiB after {_TEXTS} texts"
    )


if __name__ == "__main__":
    sys.exit(main())
