"""The parts of the benchmark suite that can be wrong without a machine: arrivals, ratios, targets, the report."""

from __future__ import annotations

import statistics
from typing import Any

import pytest

from benchmarks.arrivals import percentile, poisson_arrivals
from benchmarks.contestants import CONTESTANTS
from benchmarks.contestants.base import Round
from benchmarks.markdown import report, table
from benchmarks.rounds import equal_share, turns
from benchmarks.targets import BASELINES, TARGETS, judge, ratios
from benchmarks.workloads import WORKLOADS, make_workload
from models.store import BUNDLED_DIRECTORY


def measured(**speeds: float) -> dict[str, dict[str, Any]]:
    return {name: {"texts_per_second": speed, "answers_right": True} for name, speed in speeds.items()}


def verdict(workloads: dict[str, Any], contestant: str, baseline: str, workload: str = "short") -> dict[str, Any]:
    (found,) = [
        one
        for one in judge(workloads)
        if (one["workload"], one["contestant"], one["baseline"]) == (workload, contestant, baseline)
    ]
    return found


def test_arrivals_are_a_poisson_process() -> None:
    moments = poisson_arrivals(100.0, 100.0, seed=3)

    gaps = [after - before for before, after in zip([0.0, *moments], moments, strict=False)]
    assert moments == sorted(moments)
    assert moments[-1] < 100.0
    assert len(moments) == pytest.approx(10_000, rel=0.05)
    # Of exponential gaps, mean and standard deviation are the same, and one in e is longer than the mean.
    assert statistics.stdev(gaps) == pytest.approx(statistics.mean(gaps), rel=0.05)
    assert sum(gap > 0.01 for gap in gaps) / len(gaps) == pytest.approx(0.368, abs=0.02)


def test_arrivals_are_the_same_for_the_same_seed() -> None:
    assert poisson_arrivals(5.0, 10.0, seed=1) == poisson_arrivals(5.0, 10.0, seed=1)
    assert poisson_arrivals(5.0, 10.0, seed=1) != poisson_arrivals(5.0, 10.0, seed=2)


@pytest.mark.parametrize(("per_second", "seconds"), [(0.0, 1.0), (1.0, 0.0), (-1.0, 1.0)])
def test_no_rate_and_no_time_are_refused(per_second: float, seconds: float) -> None:
    with pytest.raises(ValueError, match="more than 0"):
        poisson_arrivals(per_second, seconds, seed=1)


@pytest.mark.parametrize(
    ("percent", "expected"), [(0, 1.0), (7, 7.0), (50, 50.0), (95, 95.0), (99, 99.0), (99.5, 100.0), (100, 100.0)]
)
def test_a_percentile_is_the_nearest_rank(percent: float, expected: float) -> None:
    assert percentile([float(value) for value in range(100, 0, -1)], percent) == expected


def test_a_percentile_of_one_value_is_that_value() -> None:
    assert [percentile([3.0], percent) for percent in (0, 50, 99)] == [3.0, 3.0, 3.0]


@pytest.mark.parametrize(("values", "percent"), [([], 50), ([1.0], 101), ([1.0], -1)])
def test_a_percentile_that_does_not_exist_is_refused(values: list[float], percent: float) -> None:
    with pytest.raises(ValueError, match="no percentile"):
        percentile(values, percent)


def test_ratios_are_of_what_was_measured() -> None:
    seen = measured(bound=1000, celeriac_single=600, celery_optimum=200)
    seen["http_peer"] = {"unavailable": "not installed: litserve"}

    assert ratios(seen) == {
        "bound": {"celery_optimum": 5.0},
        "celeriac_single": {"bound": 0.6, "celery_optimum": 3.0},
        "celery_optimum": {"bound": 0.2},
    }


@pytest.mark.parametrize(("bulk", "met"), [(949.0, False), (950.0, True), (1200.0, True)])
def test_a_target_is_met_from_its_ratio_on(bulk: float, met: bool) -> None:
    workloads = {"short": {"contestants": measured(bound=1000, celeriac_bulk=bulk)}}

    found = verdict(workloads, "celeriac_bulk", "bound")
    assert (found["met"], found["ratio"], found["wanted"]) == (met, bulk / 1000, ">= 0.95")


def test_to_be_ahead_is_to_be_faster_not_as_fast() -> None:
    same = {"nli": {"contestants": measured(http_peer=100, celeriac_single=100)}}
    faster = {"nli": {"contestants": measured(http_peer=100, celeriac_single=101)}}

    assert verdict(same, "celeriac_single", "http_peer", "nli")["met"] is False
    assert verdict(faster, "celeriac_single", "http_peer", "nli")["met"] is True


def test_what_was_not_measured_is_neither_met_nor_missed() -> None:
    assert {one["met"] for one in judge({})} == {None}
    assert verdict({"short": {"contestants": measured(bound=1)}}, "celeriac_bulk", "bound")["met"] is None


def test_wrong_answers_meet_no_target() -> None:
    contestants = measured(bound=1000, celeriac_bulk=5000)
    contestants["celeriac_bulk"]["answers_right"] = False

    assert verdict({"short": {"contestants": contestants}}, "celeriac_bulk", "bound")["met"] is False


def test_targets_name_contestants_and_workloads_that_exist() -> None:
    assert {target.workload for target in TARGETS} == set(WORKLOADS)
    assert {target.contestant for target in TARGETS} | {*BASELINES} == set(CONTESTANTS)
    assert len({(t.workload, t.contestant, t.baseline) for t in TARGETS}) == len(TARGETS)


def test_every_contestant_begins_a_round() -> None:
    names = ["a", "b", "c"]

    assert [turns(names, number) for number in range(4)] == [
        ["a", "b", "c"],
        ["b", "c", "a"],
        ["c", "a", "b"],
        ["a", "b", "c"],
    ]
    assert turns([], 1) == []


def test_answers_are_held_against_those_of_the_bound_that_both_gave() -> None:
    rounds = [Round(["x", "y"], 1.0, {}), Round(["x", None], 1.0, {})]

    assert equal_share(rounds, ["x", "y", "z"]) == 0.75
    assert equal_share(rounds, []) is None


def test_a_round_counts_all_its_answers_or_its_own_rate() -> None:
    assert Round(["x"] * 10, 2.0, {}).texts_per_second == 5.0
    assert Round(["x"] * 10, 2.0, {}, rate=7.0).texts_per_second == 7.0


@pytest.mark.parametrize("name", list(WORKLOADS))
def test_a_workload_makes_valid_requests_and_always_the_same(name: str) -> None:
    def make(count: int) -> Any:
        return make_workload(name, count, model=BUNDLED_DIRECTORY / "sentiment", checkpoint=None, same_weights=False)

    workload = make(64)
    assert list(workload.items) == list(make(80).items)[:64]
    assert workload.request(workload.items, several=True).has_several
    assert not workload.request(workload.items[:1], several=False).has_several


def test_contexts_have_the_words_that_they_should_have() -> None:
    workload = make_workload("qa", 50, model=None, checkpoint=None, same_weights=False)

    assert {len(item[1].split()) for item in workload.items} == {150}


def test_a_workload_without_its_model_is_refused() -> None:
    with pytest.raises(ValueError, match="needs a model"):
        make_workload("short_distilbert", 1, model=None, checkpoint=None, same_weights=False)


def test_a_table_aligns_figures_to_the_right() -> None:
    assert table(("name", "texts/s"), [("x", "1")]) == "| name | texts/s |\n| --- | ---: |\n| x | 1 |"


def test_the_report_says_per_target_what_was_seen_and_who_could_not_run() -> None:
    layout = {"processes": {"processes": 2, "threads": [4, 4], "rss_anon_mib": [200.0, 201.0]}}
    one: dict[str, Any] = {
        "summary": "a summary", "arithmetic": "f32", "details": {},
        "texts_per_second": 1000.0, "rounds": [990.0, 1000.0], "spread": 0.01, "texts_a_round": 2048,
        "answered": 1.0, "equal_answers": 1.0, "answers_right": True, "cold_start_s": 2.0,
        "cpu_seconds": {}, "cpu_ms_a_text": {"producer": 0.5}, "layout": layout,
    }  # fmt: skip
    contestants = {
        "bound": one,
        "celeriac_bulk": {**one, "texts_per_second": 900.0, "rounds": [891.0, 950.0]},
        "http_peer": {"unavailable": "not installed: litserve"},
    }
    workloads = {"short": {"description": "texts", "contestants": contestants, "ratios": ratios(contestants)}}
    machine = {
        "processor": "CPU",
        "cores_used": [0, 1],
        "instructions": ["vnni"],
        "load_before": 0.1,
        "limited_to": "AVX2",
    }
    results = {
        "date": "today", "revision": "abc", "machine": machine, "versions": {"celery": "5.7"},
        "settings": {"rounds": 3, "seconds": 2.0}, "workloads": workloads, "targets": judge(workloads),
    }  # fmt: skip

    text = report(results, ["throughput.png"])

    assert "| short | celeriac_bulk / bound | >= 0.95 | 0.90 | 0.90 0.95 | **missed** |" in text
    assert "0 of 1 met" in text
    assert "`http_peer` could not run: not installed: litserve" in text
    assert "| celeriac_bulk | f32 | 900 | 1 % | 0.90 | - | - | - | 100.0 % | 2048 |" in text
    assert "(vnni, OpenVINO limited to AVX2)" in text
    assert "not idle" not in text
    assert "![throughput](throughput.png)" in text
