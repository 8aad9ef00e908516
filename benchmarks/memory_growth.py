"""Anonymous memory of one process as it meets more and more shapes: ``python -m benchmarks.memory_growth``.

``ONEDNN_PRIMITIVE_CACHE_CAPACITY`` in the environment bounds what grows most.
"""

from __future__ import annotations

import argparse
import os
import random
import sys
import time

from tqdm import tqdm

from benchmarks.processes import rss_anon_mib
from examples.demo.texts import generate, read_examples
from models.store import DEFAULT_MODELS_DIR, find
from producer.contract import TextClassificationRequest

_SIZES = (1, 1, 1, 4, 64)
_STEP = 2000


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.memory_growth", description=__doc__)
    parser.add_argument("--texts", type=int, default=12_000, help="default: %(default)s")
    options = parser.parse_args()
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    from models import pipelines
    from models.engine import EngineOptions

    pipeline = pipelines.load(find("sentiment", DEFAULT_MODELS_DIR.expanduser()), EngineOptions())
    pipeline.warm_up()
    texts = generate(read_examples(), options.texts)
    dice = random.Random(1)  # noqa: S311 - request sizes for a measurement
    started_s = time.perf_counter()
    done = 0
    seen = {0: rss_anon_mib(os.getpid())}
    with tqdm(total=len(texts), unit="text") as bar:
        while done < len(texts):
            chunk = texts[done : done + dice.choice(_SIZES)]
            pipeline.answer([TextClassificationRequest.parse({"inputs": chunk})])
            done += len(chunk)
            bar.update(len(chunk))
            seen.setdefault(done // _STEP * _STEP, rss_anon_mib(os.getpid()))
    for texts_done, mib in seen.items():
        print(f"after {texts_done:6d} texts: {mib:.0f} MiB")
    print(f"{len(texts) / (time.perf_counter() - started_s):.0f} texts/s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
