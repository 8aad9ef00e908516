"""Texts per second of our pipeline by token budget, rounding, and how many texts are sorted together.

``python -m benchmarks.batch_shapes``, and the same with ``--together 1 --together 4 --together 16``.

The variants take turns, so that a machine whose speed drifts treats all alike; the median of the rounds is printed, and
beside it the shares of the computed tokens that hold nothing: what the rounding of lengths adds, and empty rows.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from tqdm import tqdm

from config import load_settings
from examples.demo.texts import generate, read_examples
from models.engine.batching import BatchingOptions, plan_batches
from models.evaluation.rows import read_rows
from models.store import find
from producer.contract import MAX_INPUTS, RequestError, TextClassificationRequest

if TYPE_CHECKING:
    from models.pipelines.base import AnyPipeline

VARIANTS = [(128, 8), (256, 8), (512, 8), (1024, 8), (2048, 8), (512, 1), (512, 4), (512, 16)]


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.batch_shapes", description=__doc__)
    parser.add_argument("--data", type=Path, help="JSON Lines with a column text; generated texts when left out")
    parser.add_argument("--texts", type=int, default=1024, help="default: %(default)s")
    parser.add_argument(
        "--together",
        type=int,
        action="append",
        help="requests of 64 texts answered together, repeatable, with the default shapes (default: one, all shapes)",
    )
    parser.add_argument("--rounds", type=int, default=5, help="default: %(default)s")
    options = parser.parse_args()
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    from models import pipelines
    from models.engine.engine import EngineOptions

    if options.data:
        texts = [row["text"] for row in read_rows(options.data, {"text": str})][: options.texts]
    else:
        texts = generate(read_examples(), options.texts)
    requests = [
        TextClassificationRequest.parse({"inputs": texts[start : start + MAX_INPUTS]})
        for start in range(0, len(texts), MAX_INPUTS)
    ]
    settings = load_settings()
    model = find("sentiment", settings.model_dir)
    default = settings.batch.max_tokens, settings.batch.length_multiple
    variants = [(*default, count) for count in options.together] if options.together else [(*v, 1) for v in VARIANTS]
    engine_options = {v[:2]: EngineOptions(1, "f32", BatchingOptions(*v[:2])) for v in variants}
    loaded = {shape: pipelines.load(model, chosen) for shape, chosen in engine_options.items()}
    speeds: dict[tuple[int, int, int], list[float]] = {variant: [] for variant in variants}
    # The first round makes the kernels.
    for number in tqdm(range(options.rounds + 1), desc="rounds"):
        for variant in variants:
            pipeline, count = loaded[variant[:2]], variant[2]
            started_s = time.perf_counter()
            for start in range(0, len(requests), count):
                pipeline.answer(requests[start : start + count])
            if number:
                speeds[variant].append(len(texts) / (time.perf_counter() - started_s))
    best = max(statistics.median(s) for s in speeds.values())
    print("| tokens a batch | lengths rounded to | texts together | texts/s | of the best | rounding | empty rows |")
    print("| ---: | ---: | ---: | ---: | ---: | ---: | ---: |")
    for (tokens, multiple, count), seen in speeds.items():
        speed = statistics.median(seen)
        lengths = [
            _token_counts(loaded[tokens, multiple], requests[i : i + count]) for i in range(0, len(requests), count)
        ]
        rounding, empty = _padding(lengths, model.manifest.max_length_tokens, BatchingOptions(tokens, multiple))
        print(
            f"| {tokens} | {multiple} | {count * MAX_INPUTS} | {speed:.0f} | {speed / best:.2f} "
            f"| {rounding:.1%} | {empty:.1%} |"
        )
    return 0


def _token_counts(pipeline: AnyPipeline, requests: list[TextClassificationRequest]) -> list[int]:
    items = [item for items in pipeline.preprocess(requests) for item in items if not isinstance(item, RequestError)]
    return [len(sequence.ids) for item in items for sequence in item.sequences]


def _padding(windows: list[list[int]], max_length: int, options: BatchingOptions) -> tuple[float, float]:
    """Shares of the computed tokens: what lengths are rounded up by, and rows that hold nothing."""
    real = rounded = computed = 0
    for lengths in windows:
        real += sum(lengths)
        for plan in plan_batches(lengths, max_length, options):
            rounded += len(plan.indices) * plan.padded_length
            computed += plan.rows * plan.padded_length
    return (rounded - real) / computed, (computed - rounded) / computed


if __name__ == "__main__":
    sys.exit(main())
