"""Where the milliseconds of a lone request go: ``python -m benchmarks.lone_timeline``.

Requests one at a time, with a pause that lets the caches go cold, to the bare model and to a worker; what the worker's
own metrics say of them in between is the middle of the table.
"""

from __future__ import annotations

import argparse
import itertools
import os
import sys
import urllib.request
from statistics import fmean, median

from prometheus_client.parser import text_string_to_metric_families

from benchmarks.stack import open_stack
from benchmarks.workloads import make_workload
from examples.local_stack import free_port

_CONTESTANTS = ("bound", "celeriac_single")
_SUMS = ("celeriac_wait_seconds_sum", "celeriac_batch_seconds_sum", "celeriac_inference_seconds_sum")


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.lone_timeline", description=__doc__)
    parser.add_argument("--requests", type=int, default=100, help="default: %(default)s")
    options = parser.parse_args()
    port = free_port()
    os.environ["CELERIAC_METRICS_PORT"] = str(port)
    workload = make_workload("short", options.requests, model=None, checkpoint=None, same_weights=False)
    with open_stack(workload, _CONTESTANTS, in_flight=1, quick=True, step=itertools.repeat(None)) as stack:
        if stack.unavailable:
            print(f"error: {stack.unavailable}", file=sys.stderr)
            return 1
        bare_s = stack.contestants["bound"].answer_alone(workload.items)
        ours = stack.contestants["celeriac_single"]
        ours.answer_alone(workload.items)  # the first time makes kernels for the shapes
        before = _sums_s(port)
        whole_s = ours.answer_alone(workload.items)
        wait_s, batch_s, model_s = (
            (after - first) / len(workload.items) for first, after in zip(before, _sums_s(port), strict=True)
        )
    print(f"the bare model: {median(bare_s) * 1000:.1f} ms (median), {fmean(bare_s) * 1000:.1f} ms (mean)")
    print(f"through the queue: {median(whole_s) * 1000:.1f} ms (median), {fmean(whole_s) * 1000:.1f} ms (mean)\n")
    print("| of the mean | ms |\n| --- | ---: |")
    print(f"| from sending until the parent knows that a process has begun | {wait_s * 1000:.1f} |")
    print(f"| the model | {model_s * 1000:.1f} |")
    print(f"| the rest of the process, with storing and the report to the parent | {_ms(batch_s, model_s)} |")
    print(f"| the client: before it sends, and from the stored result on | {_ms(fmean(whole_s), wait_s + batch_s)} |")
    return 0


def _ms(seconds: float, less_s: float) -> str:
    return f"{(seconds - less_s) * 1000:.1f}"


def _sums_s(port: int) -> list[float]:
    """The sums of the times that the worker has measured, in seconds."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as reply:
        samples = [s for family in text_string_to_metric_families(reply.read().decode()) for s in family.samples]
    return [sum(sample.value for sample in samples if sample.name == name) for name in _SUMS]


if __name__ == "__main__":
    sys.exit(main())
