"""What a message costs in this working tree beside another one: ``python -m benchmarks.transport_cost --before DIR``.

CPU time of a worker's parent, and the server's commands (those inside scripts count), per message that does nothing.
The two trees take turns, so that a drift in the machine's speed affects both alike. A tree is a checkout of this
project, such as ``git worktree add /tmp/before COMMIT`` makes.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
from pathlib import Path

from tqdm import tqdm

__all__ = ["main"]

_HERE = Path(__file__).resolve().parents[1]
#: Runs in either tree, with the modules of that tree.
_MEASURE = """
import json, signal, sys
import redis
from benchmarks.processes import cpu_seconds
from benchmarks.transport_worker import NoopWorker, enqueue
from examples.local_stack import LocalServer

messages, prefetch = int(sys.argv[1]), int(sys.argv[2])
with LocalServer() as server, NoopWorker("ours", server.url, prefetch=prefetch) as worker:
    worker.wait_until_ready()
    with redis.Redis.from_url(server.url) as keys:
        worker.run_until_settled(keys, 200)
        worker.signal(signal.SIGSTOP)
        enqueue(keys, messages)
        cpu_s, commands = cpu_seconds([worker.pid]), keys.info("stats")["total_commands_processed"]
        worker.signal(signal.SIGCONT)
        worker.wait_for(lambda: not keys.exists("celery", "unacked_index"), 300)
        cpu_us = (cpu_seconds([worker.pid]) - cpu_s) / messages * 1e6
        total = keys.info("stats")["total_commands_processed"] - commands
        print(json.dumps({"cpu_us": cpu_us, "commands": total / messages}))
"""


def main() -> int:
    """Measure in turns, and print medians and ratios."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.transport_cost",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--before", type=Path, required=True, help="the other tree")
    parser.add_argument("--messages", type=int, default=8000, help="default: %(default)s")
    parser.add_argument("--rounds", type=int, default=5, help="default: %(default)s")
    parser.add_argument("--prefetch", type=int, nargs="*", default=[64, 1], help="default: %(default)s")
    options = parser.parse_args()
    if not (options.before / "benchmarks" / "transport_worker.py").is_file():
        parser.error(f"--before: {options.before} is no checkout of this project")
    trees = {"before": options.before.resolve(), "now": _HERE}
    with tqdm(total=options.rounds * len(options.prefetch) * len(trees), desc="measurements") as bar:
        for prefetch in options.prefetch:
            seen: dict[str, list[dict[str, float]]] = {name: [] for name in trees}
            for _ in range(options.rounds):
                for name, tree in trees.items():
                    seen[name].append(_measure(tree, options.messages, prefetch))
                    bar.update()
            for figure in ("cpu_us", "commands"):
                before, now = (statistics.median(found[figure] for found in seen[name]) for name in trees)
                ratios = [b[figure] / a[figure] for a, b in zip(seen["before"], seen["now"], strict=True)]
                rounds = " ".join(f"{ratio:.2f}" for ratio in ratios)
                bar.write(
                    f"prefetch {prefetch}: {figure} {before:.2f} -> {now:.2f}, "
                    f"ratio {statistics.median(ratios):.3f} (by round {rounds})"
                )
    return 0


def _measure(tree: Path, messages: int, prefetch: int) -> dict[str, float]:
    done = subprocess.run(  # noqa: S603 - our own interpreter
        [sys.executable, "-W", "ignore", "-c", _MEASURE, str(messages), str(prefetch)],
        cwd=tree,
        env={**os.environ, "PYTHONPATH": str(tree)},
        capture_output=True,
        text=True,
        check=True,
    )
    figures: dict[str, float] = json.loads(done.stdout)
    return figures


if __name__ == "__main__":
    sys.exit(main())
