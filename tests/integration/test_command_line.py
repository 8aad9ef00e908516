"""``python -m producer map`` with a real worker: killed in the middle, gone on with, and nothing computed twice."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

from examples.local_stack import PATIENCE_S, LocalServer, LocalWorker
from tests.producer.helpers import wait_until

_LINES = 1500


def test_a_map_that_is_killed_answers_each_line_once(server: LocalServer, worker: LocalWorker, tmp_path: Path) -> None:
    path, output = tmp_path / "texts.csv", tmp_path / "answers.jsonl"
    texts = (f"{n},number {n} was a {('delight', 'bore')[n % 2]}\n" for n in range(_LINES))
    path.write_text("id,review\n" + "".join(texts))
    command = [
        sys.executable,
        "-m",
        "producer",
        "map",
        "--task",
        "text-classification",
        "--column",
        "review",
        str(path),
    ]
    command += ["--broker-url", server.url, "--timeout-s", f"{PATIENCE_S:g}", "--output", str(output), "--resume"]
    before = worker.log

    def lines() -> list[str]:
        return output.read_text().splitlines() if output.exists() else []

    with subprocess.Popen(command, env=os.environ) as killed:

        def is_stopped_with_all_confirmed() -> bool:
            """What was perhaps not sent is waited for a few seconds only, which a slow machine may exceed."""
            if len(lines()) <= _LINES // 3:
                return False
            killed.send_signal(signal.SIGSTOP)
            entries = [json.loads(line) for line in Path(f"{output}.run").read_text().splitlines()]
            is_confirmed = Counter(map(type, entries))[str] == Counter(map(type, entries))[list]
            killed.send_signal(signal.SIGSTOP if is_confirmed else signal.SIGCONT)
            return is_confirmed

        wait_until(is_stopped_with_all_confirmed)
        killed.kill()
    assert len(lines()) < _LINES, "it was killed in the middle"
    assert subprocess.run(command, check=False, timeout=PATIENCE_S).returncode == 0

    answers = [json.loads(line) for line in lines()]
    assert [answer["id"] for answer in answers] == [str(n) for n in range(_LINES)]
    assert all(answer["result"][0]["label"] for answer in answers)
    entries = [json.loads(line) for line in Path(f"{output}.run").read_text().splitlines()]
    messages = [entry for entry in entries if isinstance(entry, list)]
    # The messages that were entered have each line once, and each was computed once.
    assert [n for first, last, *_ in messages for n in range(first, last + 1)] == list(range(_LINES))
    computed = Counter(re.findall(r"Task text-classification\[(\S+)\] succeeded", worker.log.removeprefix(before)))
    assert set(computed.values()) == {1}
    assert len(computed) == len(messages)
