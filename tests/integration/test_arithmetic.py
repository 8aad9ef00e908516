"""A worker says in which arithmetic it computes, and measures again on another type of CPU."""

from __future__ import annotations

from pathlib import Path

import pytest
from celery import Celery

from examples.local_stack import PATIENCE_S, LocalServer, LocalWorker
from models.__main__ import main
from models.engine.arithmetic import has_int8_products
from models.engine.verdict import Verdict, verdicts_of
from models.store import find
from producer import Client
from producer.contract import TextClassificationRequest
from tests.conftest import ARITHMETIC, COMPILED_DIR
from tests.monitored_worker import MonitoredWorker

NAME = "worker@here"
TEXT = TextClassificationRequest.parse({"inputs": "A delight."})


def answered_in(server: LocalServer) -> str:
    """The arithmetic in the metadata of a result."""
    with Client(server.url, timeout_s=PATIENCE_S) as client:
        answer = client.wait(client.submit(TEXT))
    assert answer.result[0]["label"] == "POSITIVE"
    assert answer.model is not None
    return answer.model["arithmetic"]


@pytest.mark.parametrize("arithmetic", ["int8", "f32"])
def test_the_setting_decides_and_it_is_told_everywhere(
    own_environment: dict[str, str], own_server: LocalServer, own_stock: Celery, tmp_path: Path, arithmetic: str
) -> None:
    environment = {**own_environment, "CELERIAC_MODELS": "sentiment,nli", ARITHMETIC: arithmetic}
    # Some of what the products of nli read is quantized as it comes, which needs instructions for INT8.
    expected = {"sentiment": arithmetic, "nli": arithmetic if has_int8_products() else "f32"}
    with MonitoredWorker(["-n", NAME, "--concurrency=1"], environment) as worker:
        worker.wait_until_ready()
        revision_of = {name: find(name, tmp_path).manifest.revision for name in ("sentiment", "nli")}
        told = ", ".join(f"{name} {revision} ({expected[name]})" for name, revision in revision_of.items())
        assert f"with {told} after" in worker.log
        assert answered_in(own_server) == arithmetic
        stats = own_stock.control.inspect([NAME], timeout=PATIENCE_S).stats()[NAME]
        assert stats["pool"]["arithmetic"] == expected
        (info,) = [line for line in worker.get("/metrics")[1].splitlines() if line.startswith("celeriac_worker_info{")]
        assert f'arithmetic="sentiment={arithmetic},nli={expected["nli"]}"' in info


def test_a_worker_measures_again_where_the_verdict_came_from_another_cpu(
    own_environment: dict[str, str],
    own_server: LocalServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    revision = find("sentiment", tmp_path).manifest.revision
    compiled_dir = tmp_path / "compiled"
    environment = {**own_environment, ARITHMETIC: "auto", COMPILED_DIR: str(compiled_dir)}

    def serve(limit: str) -> tuple[list[Verdict], str]:
        with LocalWorker([], {**environment, "ONEDNN_MAX_CPU_ISA": limit}) as worker:
            worker.wait_until_ready()
            answered = answered_in(own_server)
            assert worker.log.count(f"sentiment {revision} ({answered})") == len(worker.processes)
            monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", limit)
            found = verdicts_of(compiled_dir, revision)
            assert [str(verdict.arithmetic) for verdict in found if verdict.is_for_this_cpu()] == [answered]
            return found, answered

    here, _ = serve("")
    everywhere, answered = serve("AVX2")
    assert len(here) == 1
    assert len(everywhere) == 2
    assert here[0] in everywhere
    # Nothing is measured twice.
    assert serve("AVX2") == (everywhere, answered)

    monkeypatch.setenv(ARITHMETIC, "auto")
    monkeypatch.setenv(COMPILED_DIR, str(compiled_dir))
    assert main(["show", "sentiment"]) == 0
    (line,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith("arithmetic")]
    assert line.count(") here") == line.count(") elsewhere") == 1
    assert f" {answered} (" in line
