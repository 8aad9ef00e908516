"""Runs ``python -m producer`` as a separate process, or its commands in this one."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

from click.testing import CliRunner, Result

from examples.local_stack import PATIENCE_S
from producer.commands.group import CommandGroup, as_command_line
from producer.contract import TaskName

ROOT = Path(__file__).resolve().parents[2]
TEXT = TaskName.TEXT_CLASSIFICATION
Command = Callable[..., subprocess.Popen[bytes]]
#: Runs a command in this process. One at a time: standard output is the process's own.
Invoke = Callable[..., Result]


def invoker(url: str) -> Invoke:
    """Runs commands with the servers at a URL."""

    def invoke(*arguments: str | Path, given: str | bytes | None = None) -> Result:
        group = CommandGroup(name="producer")
        line = as_command_line([str(argument) for argument in arguments])
        return CliRunner().invoke(group, line, input=given, obj=lambda broker, backend: (broker or url, backend))

    return invoke


def lines_file(folder: Path, *lines: object) -> Path:
    """A file with these lines; values other than bytes are written as JSON."""
    path = folder / "requests.jsonl"
    path.write_bytes(
        b"".join((line if isinstance(line, bytes) else json.dumps(line).encode()) + b"\n" for line in lines)
    )
    return path


def request(text: str, **more: Any) -> dict[str, Any]:
    return {"task": TEXT.value, "inputs": text, **more}


def finish(process: subprocess.Popen[bytes], given: bytes = b"") -> tuple[int, list[Any], str]:
    """Exit status, the lines of standard output, and standard error."""
    out, err = process.communicate(given, timeout=PATIENCE_S)
    return process.returncode, [json.loads(line) for line in out.splitlines()], (err or b"").decode()
