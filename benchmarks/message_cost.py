"""CPU time that one single-text message costs each party: ``python -m benchmarks.message_cost``."""

from __future__ import annotations

import argparse
import os
import sys
import tempfile

from tqdm import tqdm

from benchmarks.processes import cpu_seconds
from examples.demo.load import run_callers
from examples.demo.texts import generate, read_examples
from examples.local_stack import LocalServer, LocalWorker
from producer import Client


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.message_cost", description=__doc__)
    parser.add_argument("--texts", type=int, default=800, help="default: %(default)s")
    parser.add_argument("--callers", type=int, default=8, help="default: %(default)s")
    options = parser.parse_args()
    with LocalServer() as server, tempfile.TemporaryDirectory() as leases:
        environment = {"CELERIAC_BROKER_URL": server.url, "CELERIAC_CORES_LEASE_DIR": leases}
        with LocalWorker(environment=environment) as worker, Client(server.url, timeout_s=60) as client:
            worker.wait_until_ready()
            parties = {
                "processes": list(worker.processes.values()),
                "parent": [worker.pid],
                "server": [server.pid],
                "client": [os.getpid()],
            }
            before = {name: cpu_seconds(pids) for name, pids in parties.items()}
            with tqdm(total=options.texts, unit="text") as bar:
                texts = generate(read_examples(), options.texts)
                load = run_callers(client, texts, callers=options.callers, advance=bar.update)
            costs = {name: (cpu_seconds(pids) - before[name]) / load.texts * 1000 for name, pids in parties.items()}
    print(f"{load.texts_per_second:.0f} texts/s, p50 {load.latency_ms(50):.1f} ms, {options.callers} callers")
    for name, cost in costs.items():
        print(f"{name:<10} {cost:5.2f} ms CPU a message")
    return 0


if __name__ == "__main__":
    sys.exit(main())
