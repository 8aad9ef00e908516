"""Seconds from a worker's start until its processes are ready, and their memory: ``python -m benchmarks.startup``."""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time

from tqdm import tqdm

from examples.local_stack import LocalServer, LocalWorker
from examples.local_stack.procfs import Memory, memory_of

_MEBIBYTE = 1024 * 1024


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.startup", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="default: %(default)s")
    options = parser.parse_args()
    seconds = []
    with LocalServer() as server, tempfile.TemporaryDirectory() as leases:
        environment = {"CELERIAC_BROKER_URL": server.url, "CELERIAC_CORES_LEASE_DIR": leases}
        for _ in tqdm(range(options.rounds), desc="rounds"):
            with LocalWorker(environment=environment) as worker:
                started_s = time.monotonic()
                worker.wait_for(lambda: "processes are ready" in worker.log)
                seconds.append(time.monotonic() - started_s)
                worker.wait_until_ready()
                parent = memory_of(worker.pid)
                processes = [memory_of(pid) for pid in worker.processes.values()]
    print(f"all {len(processes)} processes ready: median {statistics.median(seconds):.2f} s, ", end="")
    print(f"from {min(seconds):.2f} to {max(seconds):.2f} s in {len(seconds)} starts")
    print(f"parent: {_show(parent)}; each process: {'; '.join(map(_show, processes))}")
    return 0


def _show(memory: Memory) -> str:
    return f"{memory.private_bytes / _MEBIBYTE:.0f} MiB private, {memory.shared_bytes / _MEBIBYTE:.0f} MiB shared"


if __name__ == "__main__":
    sys.exit(main())
