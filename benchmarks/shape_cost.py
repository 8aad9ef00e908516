"""What a shape costs: ``python -m benchmarks.shape_cost``.

The bundled sentiment model meets each shape (rows by length) for the first time, after another one, and twice in a row.
Medians are printed of what the first time and the change of shape cost beside a repetition, and the memory of a shape.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import time
from itertools import product

from tqdm import tqdm

from config import load_settings
from examples.local_stack.procfs import memory_of
from models.store import MODEL_NAME, find

_MEBIBYTE = 1024 * 1024
_LENGTHS = range(8, 72, 8)
#: Numbers of rows that the batching leaves as they are.
_ROWS = (1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 14, 16)


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.shape_cost", description=__doc__.splitlines()[0])
    parser.parse_args()
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    from models.engine.batching import BatchingOptions
    from models.engine.engine import Engine, EngineOptions

    settings = load_settings()
    model = find("sentiment", settings.model_dir)
    batching = BatchingOptions(_ROWS[-1] * _LENGTHS[-1], settings.batch.length_multiple)
    options = EngineOptions(threads=1, precision="f32", batching=batching)
    engine = Engine(model.directory / MODEL_NAME, model.manifest.max_length_tokens, options)
    engine.warm_up()

    def run_ms(rows: int, length: int) -> float:
        sequence = engine.feeding.sample.of_length(length)
        started_s = time.perf_counter()
        for batch in engine.run([sequence] * rows):
            del batch
        return (time.perf_counter() - started_s) * 1000

    shapes = list(product(_ROWS, _LENGTHS))
    before_bytes = memory_of(os.getpid()).private_bytes
    first = [run_ms(*shape) for shape in tqdm(shapes, desc="shapes", unit="shape")]
    grown_bytes = memory_of(os.getpid()).private_bytes - before_bytes
    changed, repeated = [run_ms(*shape) for shape in shapes], []
    for shape in shapes:
        run_ms(*shape)
        repeated.append(run_ms(*shape))
    print(f"{len(shapes)} shapes, up to {_ROWS[-1]} rows of {_LENGTHS[-1]} tokens")
    print(f"first time    {_median_of_differences(first, repeated):5.1f} ms more than when repeated")
    print(f"after another {_median_of_differences(changed, repeated):5.1f} ms more than when repeated")
    print(f"memory        {grown_bytes / len(shapes) / _MEBIBYTE:5.1f} MiB a shape")
    return 0


def _median_of_differences(these: list[float], those: list[float]) -> float:
    return statistics.median(this - that for this, that in zip(these, those, strict=True))


if __name__ == "__main__":
    sys.exit(main())
