"""Texts per second of the bare model by token budget and rounding: ``python -m benchmarks.batch_shapes``.

The variants take turns, so that a machine whose speed drifts treats all alike; the median of the rounds is printed.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import time
from pathlib import Path

from tqdm import tqdm

from examples.demo.texts import generate, read_examples
from models.batching import BatchingOptions
from models.evaluation.rows import read_rows
from models.store import DEFAULT_MODELS_DIR, find
from producer.contract import MAX_INPUTS, TextClassificationRequest

VARIANTS = [(128, 8), (256, 8), (512, 8), (1024, 8), (2048, 8), (512, 1), (512, 4), (512, 16)]


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.batch_shapes", description=__doc__)
    parser.add_argument("--data", type=Path, help="JSON Lines with a column text; generated texts when left out")
    parser.add_argument("--texts", type=int, default=1024, help="default: %(default)s")
    parser.add_argument("--rounds", type=int, default=5, help="default: %(default)s")
    options = parser.parse_args()
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    from models import pipelines
    from models.engine import EngineOptions

    if options.data:
        texts = [row["text"] for row in read_rows(options.data, {"text": str})][: options.texts]
    else:
        texts = generate(read_examples(), options.texts)
    requests = [
        TextClassificationRequest.parse({"inputs": texts[start : start + MAX_INPUTS]})
        for start in range(0, len(texts), MAX_INPUTS)
    ]
    model = find("sentiment", DEFAULT_MODELS_DIR.expanduser())
    loaded = {v: pipelines.load(model, EngineOptions(batching=BatchingOptions(*v))) for v in VARIANTS}
    speeds: dict[tuple[int, int], list[float]] = {variant: [] for variant in VARIANTS}
    for _ in tqdm(range(options.rounds), desc="rounds"):
        for variant, pipeline in loaded.items():
            started_s = time.perf_counter()
            for request in requests:
                pipeline.answer([request])
            speeds[variant].append(len(texts) / (time.perf_counter() - started_s))
    best = max(statistics.median(s) for s in speeds.values())
    print("| tokens a batch | lengths rounded to | texts/s | of the best |\n| ---: | ---: | ---: | ---: |")
    for (tokens, multiple), seen in speeds.items():
        print(f"| {tokens} | {multiple} | {statistics.median(seen):.0f} | {statistics.median(seen) / best:.2f} |")
    return 0


if __name__ == "__main__":
    sys.exit(main())
