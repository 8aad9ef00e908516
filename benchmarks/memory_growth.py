"""Memory of one process as it meets more and more shapes: ``python -m benchmarks.memory_growth``.

With ``--cache`` the compiled model is kept in a directory and mapped, as a worker does by default. The last line sets
what was measured beside the estimate by which a worker bounds its processes (``worker/boot/memory_bound.py``).
``CELERIAC_ENGINE_ARITHMETIC`` names the arithmetic; a first run that measures which is the fastest holds two models.
``ONEDNN_PRIMITIVE_CACHE_CAPACITY`` in the environment bounds what grows most.
"""

from __future__ import annotations

import argparse
import os
import random
import sys
import time
from collections.abc import Callable
from pathlib import Path

from tqdm import tqdm

from benchmarks.processes import rss_anon_mib
from config import load_settings
from examples.demo.texts import generate, read_examples
from models.engine.arithmetic import wanted_arithmetic
from models.engine.batching import BatchingOptions
from models.store import find
from producer.contract import (
    QuestionAnsweringRequest,
    Request,
    TaskName,
    TextClassificationRequest,
    ZeroShotClassificationRequest,
)
from worker.boot.memory_bound import needs_of

_SIZES = (1, 1, 1, 4, 64)
_STEP = 2000
_BYTES_PER_MIB = 1024 * 1024
_REQUESTS: dict[TaskName, Callable[[list[str]], Request]] = {
    TaskName.TEXT_CLASSIFICATION: lambda texts: TextClassificationRequest.parse({"inputs": texts}),
    TaskName.ZERO_SHOT_CLASSIFICATION: lambda texts: ZeroShotClassificationRequest.parse(
        {"inputs": texts, "candidate_labels": ["praise", "delivery times"]}
    ),
    TaskName.QUESTION_ANSWERING: lambda texts: QuestionAnsweringRequest.parse(
        {"question": ["What is this about?"] * len(texts), "context": texts}
    ),
}


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.memory_growth",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--texts", type=int, default=12_000, help="default: %(default)s")
    parser.add_argument("--model", default="sentiment", help="name or path of a model (default: %(default)s)")
    parser.add_argument("--cache", type=Path, help="keep the compiled model in this directory, and map it")
    options = parser.parse_args()
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    from models import pipelines
    from models.engine.engine import EngineOptions

    settings = load_settings()
    model = find(options.model, settings.model_dir)
    batching = BatchingOptions(settings.batch.max_tokens, settings.batch.length_multiple)
    engine_options = EngineOptions(
        threads=1,
        precision="f32",
        batching=batching,
        cache_dir=options.cache,
        arithmetic=wanted_arithmetic(settings.engine.arithmetic.value),
    )
    pipeline = pipelines.load(model, engine_options)
    pipeline.warm_up()
    request_of = _REQUESTS[model.manifest.task]
    texts = generate(read_examples(), options.texts)
    dice = random.Random(1)  # noqa: S311 - request sizes for a measurement
    started_s = time.perf_counter()
    done = 0
    seen = {0: rss_anon_mib(os.getpid())}
    with tqdm(total=len(texts), unit="text") as bar:
        while done < len(texts):
            chunk = texts[done : done + dice.choice(_SIZES)]
            pipeline.answer([request_of(chunk)])
            done += len(chunk)
            bar.update(len(chunk))
            seen.setdefault(done // _STEP * _STEP, rss_anon_mib(os.getpid()))
    for texts_done, mib in seen.items():
        print(f"after {texts_done:6d} texts: {mib:.0f} MiB")
    print(f"{len(texts) / (time.perf_counter() - started_s):.0f} texts/s")
    needs = needs_of([model], is_shared=options.cache is not None)
    print(
        f"{model.name} in {pipeline.engine.arithmetic}: {rss_anon_mib(os.getpid()):.0f} MiB, "
        f"estimated {needs.process_bytes / _BYTES_PER_MIB:.0f} MiB"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
