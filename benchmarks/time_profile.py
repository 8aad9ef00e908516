"""Where a single message's time goes: ``python -m benchmarks.time_profile``.

Single messages of the workload ``short`` saturate a worker, as in ``make bench``; py-spy looks at its parent and at one
of its processes meanwhile. Each sample counts for the innermost of its frames that belongs to a part of the table.
"""

from __future__ import annotations

import argparse
import itertools
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path

from tqdm import tqdm

from benchmarks.contestants.base import Contestant
from benchmarks.processes import cpu_seconds
from benchmarks.stack import open_stack
from benchmarks.workloads import make_workload

_CONTESTANT = "celeriac_single"
_SAMPLES_A_SECOND = 200
_ITEMS = 2048
_REST = "the rest"
_OTHER_THREAD = "Thread._bootstrap"
#: What a part's frames contain, as py-spy writes them: ``function (file:line)``.
Parts = Mapping[str, tuple[str, ...]]
_PARENT: Parts = {
    "waiting (epoll)": ("kombu/utils/eventio.py",),
    "fetching, acknowledging": ("worker/transport/", "kombu/transport/", "kombu/message.py"),
    "guard against malformed messages": ("worker/messages.py", "worker/nesting.py"),
    "Celery's strategy and request": ("celery/worker/strategy.py", "celery/worker/request.py", "worker/request.py"),
    "events": ("celery/events/", "worker/events.py"),
    "forming and writing batches": ("worker/pool/line.py", "worker/pool/slots.py", "_write_job", "_cut", "_dispatch"),
    "reading results": ("_recv_message", "worker/pool/result_reader.py", "on_state_change", "worker/pool/batch.py"),
    "the pool's bookkeeping": ("worker/pool/", "celery/concurrency/"),
    "held work and scaling": ("worker/held_work.py", "worker/autoscale.py", "worker/queue_depth.py"),
}
_PROCESS: Parts = {
    "the model (OpenVINO)": ("infer (openvino", "run (models/engine.py", "openvino/"),
    "packing tensors, cutting shapes": ("models/engine.py", "models/batching.py"),
    "tokenizing": ("flatten (", "tokenizers/"),
    "reading logits": ("read (models/pipelines", "models/pipelines/"),
    "checking the arguments": ("producer/", "pydantic"),
    "storing results": ("worker/results.py",),
    "Celery's tracer": ("celery/app/trace.py", "celery/backends/"),
    "pipes to the parent": ("billiard/",),
}


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.time_profile", description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=int, default=15, help="how long py-spy looks (default: %(default)s)")

    options = parser.parse_args()
    workload = make_workload("short", _ITEMS, model=None, checkpoint=None, same_weights=False)
    with open_stack(workload, (_CONTESTANT,), in_flight=_ITEMS, quick=False, step=itertools.repeat(None)) as stack:
        if stack.unavailable:
            print(f"error: {stack.unavailable}", file=sys.stderr)
            return 1
        contestant = stack.contestants[_CONTESTANT]
        contestant.answer(workload.items)
        for party, parts in (("parent", _PARENT), ("processes", _PROCESS)):
            stacks, cost_ms = _sample(contestant, party, options.seconds)
            _print_table(party, cost_ms, _shares(stacks, parts))
    return 0


def _sample(contestant: Contestant, party: str, seconds: int) -> tuple[list[str], float]:
    """Sampled stacks, and CPU milliseconds that the party spent on a text meanwhile."""
    pids = contestant.parties()[party]
    with tempfile.TemporaryDirectory() as room:
        output = Path(room) / "stacks"
        watching = [
            "-d",
            str(seconds),
            "-r",
            str(_SAMPLES_A_SECOND),
            "-f",
            "raw",
            "-o",
            str(output),
            "-p",
            str(pids[0]),
        ]
        py_spy = str(Path(sys.executable).parent / "py-spy")
        before_s, answered, started_s = cpu_seconds(pids), 0, time.monotonic()
        with subprocess.Popen([py_spy, "record", *watching], stdout=subprocess.DEVNULL) as spy:  # noqa: S603 - ours
            with tqdm(desc=party, unit="text") as bar:
                while spy.poll() is None or time.monotonic() - started_s < seconds:
                    answered += len(contestant.answer(contestant.workload.items))
                    bar.update(len(contestant.workload.items))
            if spy.wait():
                raise SystemExit(f"error: py-spy ended with status {spy.returncode}")
        cost_ms = (cpu_seconds(pids) - before_s) / answered * 1000
        return output.read_text(encoding="utf-8").splitlines(), cost_ms


def _shares(stacks: Iterable[str], parts: Parts) -> Counter[str]:
    """Samples of the main thread by part; others wait for work in ways that py-spy takes for working."""
    found: Counter[str] = Counter()
    for line in stacks:
        frames, _, count = line.rpartition(" ")
        if _OTHER_THREAD not in frames:
            found[_part_of(frames.split(";"), parts)] += int(count)
    return found


def _part_of(frames: list[str], parts: Parts) -> str:
    for frame in reversed(frames):
        for part, patterns in parts.items():
            if any(pattern in frame for pattern in patterns):
                return part
    return _REST


def _print_table(party: str, cost_ms: float, found: Counter[str]) -> None:
    print(f"\n{party}: {cost_ms:.2f} ms CPU a text\n\n| part | share | ms a text |\n| --- | ---: | ---: |")
    for part, samples in found.most_common():
        share = samples / found.total()
        print(f"| {part} | {share:.0%} | {share * cost_ms:.2f} |")


if __name__ == "__main__":
    sys.exit(main())
