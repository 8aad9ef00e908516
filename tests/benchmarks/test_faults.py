"""The table of faults: it sees what is lost, and writes what it has seen."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import pytest
import redis

from benchmarks.faults import report
from benchmarks.faults.proxy import DelayProxy
from benchmarks.faults.run import Outcome, play
from benchmarks.faults.scenes import FAULTS
from examples.local_stack import LocalServer

GOOD = Outcome("restart", "restarted", 9, 9, {"BrokerUnavailable": 2}, {}, 0, "", 1.25, 1, 0.5, None)


@pytest.fixture
def files(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> tuple[Path, Path]:
    page, results = tmp_path / "operations.md", tmp_path / "faults.json"
    page.write_text("before\n<!-- faults: begin -->\nold\n<!-- faults: end -->\nafter\n", encoding="utf-8")
    monkeypatch.setattr(report, "OPERATIONS", page)
    monkeypatch.setattr(report, "RESULTS", results)
    return page, results


def test_the_table_takes_the_place_of_the_old_one_and_keeps_the_rows_of_other_faults(files: tuple[Path, Path]) -> None:
    page, _ = files
    report.write({}, [GOOD, replace(GOOD, fault="pause", what="paused")])
    report.write({}, [replace(GOOD, accepted=10, answered=9, lost=1)])
    text = page.read_text(encoding="utf-8")
    assert text.startswith("before\n<!-- faults: begin -->\n| fault |")
    assert text.endswith("<!-- faults: end -->\nafter\n")
    assert "| restarted | 10 | 9 | 2 BrokerUnavailable | 1 | 1.2 |" in text
    assert "| paused | 9 |" in text
    assert "old" not in text


@pytest.mark.parametrize(
    ("outcome", "is_good"),
    [
        (GOOD, True),
        (replace(GOOD, lost=1), False),
        (replace(GOOD, lost=1, may_lose="a setting"), True),
        (replace(GOOD, back_s=None), False),
        (replace(GOOD, worker_ended=1), False),
    ],
)
def test_a_fault_is_bad_where_something_is_lost_that_redis_keeps_or_nothing_comes_back(
    outcome: Outcome, is_good: bool
) -> None:
    assert outcome.is_good is is_good


def test_the_proxy_delays_replies(own_server: LocalServer) -> None:
    with DelayProxy(own_server.port) as proxy, redis.Redis(port=proxy.port) as connected:
        assert connected.ping()
        proxy.delay_s = 0.2
        started_s = time.monotonic()
        assert connected.ping()
        assert time.monotonic() - started_s >= proxy.delay_s


def test_what_a_server_without_a_file_loses_is_seen(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("CELERIAC_CORES_LEASE_DIR", str(tmp_path))
    outcome = play("kill-memory")
    assert outcome.lost > 0
    assert outcome.lost == outcome.accepted - outcome.answered
    assert outcome.back_s is not None
    assert FAULTS["kill-memory"].may_lose
