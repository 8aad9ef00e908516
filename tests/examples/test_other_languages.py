"""The programs in other languages get answers and errors from a real worker."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from examples.local_stack import PATIENCE_S, LocalServer

ROOT = Path(__file__).resolve().parents[2]
PROGRAMS = ROOT / "examples" / "other_languages"
#: The command of a program, given the server and a directory of its own.
Program = Callable[[LocalServer, Path], Sequence[str | Path]]
#: Whatever an encoder may get wrong: quotes, lines, accents, a character beyond 16 bits.
TEXT = 'She said: "une très\nbelle histoire" \U0001f600'

pytestmark = pytest.mark.usefixtures("worker")


def found(name: str) -> str:
    """Where a program is; skips the test where it is not."""
    path = shutil.which(name)
    # What rustup installs are shims, which run nothing where the user has no toolchain.
    if path is None or subprocess.run([path, "--version"], capture_output=True, check=False).returncode:
        pytest.skip(f"{name} is not installed")
    return path


def bare_node(server: LocalServer, _: Path) -> Sequence[str | Path]:
    return found("node"), PROGRAMS / "bare_redis.mjs", server.url


def celery_node(server: LocalServer, _: Path) -> Sequence[str | Path]:
    node = found("node")
    if subprocess.run([node, "-e", "require('celery-node')"], capture_output=True, check=False).returncode:
        pytest.skip("the Node package celery-node is not in NODE_PATH")
    return node, PROGRAMS / "celery_node.mjs", server.url


def redis_cli(server: LocalServer, directory: Path) -> Sequence[str | Path]:
    cli = shutil.which("redis-cli") or shutil.which("valkey-cli")
    if cli is None:
        script = directory / "redis-cli"
        script.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{Path(__file__).parent}/cli_over_socket.py" "$@"\n')
        script.chmod(0o755)
        cli = str(script)
    return "env", f"REDIS_CLI={cli}", PROGRAMS / "redis_cli.sh", server.url


def rust(server: LocalServer, directory: Path) -> Sequence[str | Path]:
    program = directory / "bare_redis"
    command: list[str | Path] = [found("rustc"), "--edition", "2021", "-o", program, PROGRAMS / "bare_redis.rs"]
    subprocess.run(command, check=True, capture_output=True)
    return program, f"127.0.0.1:{server.port}"


def ask(
    program: Program, server: LocalServer, directory: Path, task: str, arguments: dict[str, Any]
) -> subprocess.CompletedProcess[str]:
    command = [*program(server, directory), task, json.dumps(arguments)]
    environment = {**os.environ, "TIMEOUT_S": f"{PATIENCE_S:.0f}"}
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=2 * PATIENCE_S, env=environment)


@pytest.mark.parametrize("program", [bare_node, celery_node, redis_cli, rust])
def test_a_program_gets_an_answer(program: Program, server: LocalServer, tmp_path: Path) -> None:
    done = ask(program, server, tmp_path, "text-classification", {"inputs": [TEXT, "dull"], "top_k": None})

    assert (done.returncode, done.stderr) == (0, "")
    printed = json.loads(done.stdout)
    first, second = printed["result"] if isinstance(printed, dict) else printed
    assert (first[0]["label"], second[0]["label"]) == ("POSITIVE", "NEGATIVE")


@pytest.mark.parametrize("program", [bare_node, redis_cli, rust])
def test_a_program_gets_the_error_of_its_request(program: Program, server: LocalServer, tmp_path: Path) -> None:
    done = ask(program, server, tmp_path, "question-answering", {"question": "Who?", "context": ""})

    assert (done.returncode, done.stdout) == (1, "")
    printed = json.loads(done.stderr)
    error = printed.get("result", printed)
    assert error["exc_type"] == "InvalidRequest"
    assert error["exc_message"][1] == {"code": "empty", "field": "context", "limit": None}


def test_celery_node_says_that_a_request_failed_and_not_why(server: LocalServer, tmp_path: Path) -> None:
    done = ask(celery_node, server, tmp_path, "text-classification", {"inputs": ""})
    assert done.returncode == 1
    assert "FAILURE" in done.stderr


@pytest.mark.parametrize("program", [bare_node, redis_cli, rust])
def test_a_program_without_an_answer_ends_by_its_deadline(
    program: Program, own_server: LocalServer, tmp_path: Path
) -> None:
    command = [*program(own_server, tmp_path), "text-classification", '{"inputs": "a"}']
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, timeout=PATIENCE_S, env={**os.environ, "TIMEOUT_S": "1"}
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert "no answer" in done.stderr
