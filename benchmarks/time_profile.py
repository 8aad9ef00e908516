"""Where a single message's time goes: ``python -m benchmarks.time_profile``.

Single messages of the workload ``short`` saturate a worker, as in ``make bench``; py-spy looks at its parent and at one
of its processes meanwhile.
"""

from __future__ import annotations

import argparse
import itertools
import sys

from tqdm import tqdm

from benchmarks.contestants.base import Contestant
from benchmarks.processes import cpu_seconds
from benchmarks.stack import open_stack
from benchmarks.stack_samples import Parts, print_table, record, shares
from benchmarks.workloads import make_workload

_ITEMS = 2048
_PARENT: Parts = {
    "waiting (epoll)": ("kombu/utils/eventio.py",),
    "fetching, acknowledging": ("worker/transport/", "kombu/transport/", "kombu/message.py"),
    "guard against malformed messages": ("worker/intake/message_checks.py", "worker/transport/json_depth.py"),
    "Celery's strategy and request": (
        "celery/worker/strategy.py",
        "celery/worker/request.py",
        "worker/intake/request.py",
        "worker/pool/surviving_request.py",
    ),
    "events": ("celery/events/", "worker/observability/events.py"),
    "forming and writing batches": (
        "worker/pool/batch_queue.py",
        "worker/pool/slots.py",
        "worker/pool/dispatcher.py",
        "_write_job",
    ),
    "reading results": ("_recv_message", "worker/pool/pipe_reader.py", "on_state_change", "worker/pool/batch.py"),
    "the pool's bookkeeping": ("worker/pool/", "celery/concurrency/"),
    "held work and scaling": (
        "worker/intake/prefetch_gate.py",
        "worker/scaling/autoscaler.py",
        "worker/scaling/queue_depth.py",
    ),
}
_PROCESS: Parts = {
    "the model (OpenVINO)": ("infer (openvino", "run (models/engine/engine.py", "openvino/"),
    "packing tensors, cutting shapes": ("models/engine/engine.py", "models/engine/batching.py"),
    "tokenizing": ("flatten (", "tokenizers/"),
    "reading logits": ("postprocess (models/pipelines", "models/pipelines/"),
    "checking the arguments": ("producer/", "pydantic"),
    "storing results": ("worker/results/backend.py",),
    "Celery's tracer": ("celery/app/trace.py", "celery/backends/"),
    "pipes to the parent": ("billiard/",),
}


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.time_profile", description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=int, default=15, help="how long py-spy looks (default: %(default)s)")
    parser.add_argument("--bulk", action="store_true", help="bulk messages of many texts instead")
    options = parser.parse_args()
    name, items = ("celeriac_bulk", 4 * _ITEMS) if options.bulk else ("celeriac_single", _ITEMS)
    workload = make_workload("short", items, model=None, checkpoint=None, same_weights=False)
    with open_stack(workload, (name,), in_flight=_ITEMS, quick=False, step=itertools.repeat(None)) as stack:
        if stack.unavailable:
            print(f"error: {stack.unavailable}", file=sys.stderr)
            return 1
        contestant = stack.contestants[name]
        contestant.answer(workload.items)
        for party, parts in (("parent", _PARENT), ("processes", _PROCESS)):
            stacks, cost_ms = _sample(contestant, party, options.seconds)
            print_table(party, cost_ms, shares(stacks, parts), "text")
    return 0


def _sample(contestant: Contestant, party: str, seconds: int) -> tuple[list[str], float]:
    """Sampled stacks, and CPU milliseconds that the party spent on a text meanwhile."""
    pids = contestant.parties()[party]
    before_s, answered = cpu_seconds(pids), 0
    with record(pids[0], seconds) as recording, tqdm(desc=party, unit="text") as bar:
        while recording.goes_on:
            answered += len(contestant.answer(contestant.workload.items))
            bar.update(len(contestant.workload.items))
        cost_ms = (cpu_seconds(pids) - before_s) / answered * 1000
        return recording.stacks(), cost_ms


if __name__ == "__main__":
    sys.exit(main())
