"""Small runs with real servers and workers."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks.chaos import soak
from benchmarks.chaos.__main__ import main
from benchmarks.chaos.options import Contestant, Mode, RunOptions
from benchmarks.chaos.run import run_chaos


@pytest.mark.parametrize("at_steps", [False, True], ids=["at any moment", "between steps"])
def test_nothing_is_lost_when_workers_and_processes_are_killed(tmp_path: Path, at_steps: bool) -> None:
    options = RunOptions(
        messages=400,
        kills=4,
        worker_kills=2,
        seconds=8.0,
        seed=5,
        workers=2,
        visibility_timeout_s=4.0,
        at_steps=at_steps,
        is_timed=False,
    )

    verdict = run_chaos(options, Contestant.CELERIAC, tmp_path, quiet=True)

    assert verdict.problems == [], "\n".join(verdict.story)
    assert verdict.figures["messages"] == 400
    assert (verdict.figures["kills"], verdict.figures["worker_kills"]) == (4, 2)
    assert len(verdict.figures["poison"]) == 10
    assert len(list(tmp_path.glob("*.journal"))) > 4


def test_the_command_writes_figures_beside_those_of_stock_celery_and_keeps_other_runs(tmp_path: Path) -> None:
    output = tmp_path / "chaos.json"
    output.write_text(json.dumps({"runs": {"long": {"lost": 0}}}), encoding="utf-8")
    arguments = ["--messages", "60", "--kills", "1", "--worker-kills", "0", "--seconds", "4", "--seed", "3"]
    arguments += ["--workers", "1", "--only-kills", "--visibility-timeout", "4", "--contestant", "both", "--untimed"]

    status = main([*arguments, "--output", str(output), "--keep", str(tmp_path / "kept")])

    results = json.loads(output.read_text(encoding="utf-8"))
    assert status == (0 if results["is_good"] else 1)
    assert (results["seed"], results["messages"], results["lost"]) == (3, 60, 0)
    assert results["stock"]["messages"] == 60
    assert results["runs"] == {"long": {"lost": 0}}


def test_a_soak_samples_and_judges(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    soak.main(["--minutes", "0.15", "--mode", "noop", "--output", str(tmp_path), "--keep", str(tmp_path / "kept")])

    found = json.loads((tmp_path / "soak.json").read_text(encoding="utf-8"))
    assert found["lost"] == 0
    assert len(found["times_s"]) >= 6
    assert set(found["growth"]) == set(found["samples"])
    assert "connections to Redis" in capsys.readouterr().out


def test_the_workers_own_app_ends_all_poison_with_a_reason(tmp_path: Path) -> None:
    options = RunOptions(
        messages=100,
        kills=1,
        worker_kills=0,
        seconds=6.0,
        seed=2,
        mode=Mode.REAL,
        workers=1,
        visibility_timeout_s=30.0,
        text_share=0.4,
        other_faults=False,
        is_timed=False,
    )

    verdict = run_chaos(options, Contestant.CELERIAC, tmp_path, quiet=True)

    assert verdict.problems == [], "\n".join(verdict.story)
    assert not any("dropped" in ends for ends in verdict.figures["poison"].values())
