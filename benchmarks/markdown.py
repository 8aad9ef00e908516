"""The report for people."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from benchmarks.targets import ratios

__all__ = ["report", "table"]

_BASELINES = {
    "bound": "of the bound",
    "celery_transformers": "of transformers",
    "celery_optimum": "of optimum",
    "http_peer": "of HTTP",
}
_VERDICTS = {True: "met", False: "**missed**", None: "not measured"}


def report(results: Mapping[str, Any], plots: Sequence[str]) -> str:
    """The whole report."""
    parts = [*_head(results), *_targets(results["targets"])]
    for name, figures in results["workloads"].items():
        parts += _workload(name, figures)
    if "latency" in results:
        parts += _latency(results["latency"])
    if "scaling" in results:
        parts += _scaling(results["scaling"])
    parts += [f"![{plot.removesuffix('.png')}]({plot})" for plot in plots]
    return "\n\n".join(parts) + "\n"


def table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table, whose first column is text and whose others are figures."""
    lines = [heads, ["---", *["---:"] * (len(heads) - 1)], *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def _head(results: Mapping[str, Any]) -> Iterator[str]:
    machine, settings = results["machine"], results["settings"]
    cores = len(machine["cores_used"])
    instructions = ", ".join(machine["instructions"])
    if machine["limited_to"]:
        instructions += f", OpenVINO limited to {machine['limited_to']}"
    yield "# Benchmark results"
    yield (
        f"{results['date']}, revision {results['revision']}. {cores} core(s) of {machine['processor']} "
        f"({instructions}), shared by the model, the producer, Redis and the worker's parent. "
        f"{settings['rounds']} rounds of about {settings['seconds']:g} s a contestant, in turns; the median is shown, "
        "and the spread is the range over it. [README](../README.md) says what is compared and how."
    )
    if machine["load_before"] > cores / 4:
        yield f"**The machine was not idle:** load {machine['load_before']:g} before the run."
    yield ", ".join(f"{name} {version}" for name, version in results["versions"].items()) + "."


def _targets(verdicts: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    yield "## Targets"
    measured = [verdict for verdict in verdicts if verdict["met"] is not None]
    met = sum(verdict["met"] for verdict in measured)
    unmeasured = len(verdicts) - len(measured)
    yield f"{met} of {len(measured)} met" + (f"; {unmeasured} were not measured." if unmeasured else ".")
    heads = ("workload", "ratio", "wanted", "seen", "by round", "")
    yield table(
        heads,
        [
            (
                verdict["workload"],
                f"{verdict['contestant']} / {verdict['baseline']}",
                verdict["wanted"],
                f"{verdict['ratio']:.2f}",
                " ".join(f"{ratio:.2f}" for ratio in verdict["by_round"]),
                _VERDICTS[verdict["met"]],
            )
            for verdict in measured
        ],
    )


def _workload(name: str, figures: Mapping[str, Any]) -> Iterator[str]:
    yield f"## {name}"
    yield figures["description"]
    seen = {key: one for key, one in figures["contestants"].items() if "unavailable" not in one}
    yield table(
        ("contestant", "arithmetic", "texts/s", "spread", *_BASELINES.values(), "equal answers", "texts a round"),
        [
            (
                key,
                one["arithmetic"],
                f"{one['texts_per_second']:.0f}",
                f"{one['spread'] * 100:.0f} %",
                *(_ratio(figures["ratios"].get(key, {}).get(baseline)) for baseline in _BASELINES),
                _share(one["equal_answers"]) + ("" if one["answers_right"] else " **wrong**"),
                str(one["texts_a_round"]),
            )
            for key, one in seen.items()
        ],
    )
    yield "What a text costs, in ms of CPU time, and what each contestant consists of:"
    yield table(
        (
            "contestant", "producer", "redis", "parent", "processes", "idle others, s",
            "processes: number x threads", "their RssAnon, MiB",
            "others: number", "their RssAnon, MiB", "cold start, s",
        ),
        [_cost(key, one) for key, one in seen.items()],
    )  # fmt: skip
    for key, one in figures["contestants"].items():
        if "unavailable" in one:
            yield f"`{key}` could not run: {_reason(one['unavailable'])}"
        else:
            details = "; ".join(f"{name.replace('_', ' ')} {value}" for name, value in one["details"].items())
            yield f"`{key}`: {one['summary']}" + (f" ({details})" if details else "")


def _reason(log: str) -> str:
    """What was said first, and what a log that follows it ends with."""
    lines = [line for line in log.splitlines() if line.strip()]
    return " … ".join(dict.fromkeys([lines[0], lines[-1]]))


def _cost(name: str, one: Mapping[str, Any]) -> list[str]:
    cpu, layout = one["cpu_ms_a_text"], one["layout"]
    roles = [layout.get(role, {"processes": 0, "threads": [], "rss_anon_mib": []}) for role in ("processes", "parent")]
    counts = " + ".join(map(str, roles[0]["threads"]))
    return [
        name,
        *(f"{cpu.get(role, 0.0):.2f}" for role in ("producer", "redis", "parent", "processes")),
        f"{one['cpu_seconds'].get('other contestants, idle', 0.0):.2f}",
        f"{roles[0]['processes']} x ({counts})",
        " + ".join(f"{mib:.0f}" for mib in roles[0]["rss_anon_mib"]),
        str(roles[1]["processes"]),
        " + ".join(f"{mib:.0f}" for mib in roles[1]["rss_anon_mib"]) or "-",
        f"{one['cold_start_s']:.1f}",
    ]


def _latency(figures: Mapping[str, Any]) -> Iterator[str]:
    yield f"## Latency, on `{figures['workload']}`"
    yield "A lone request to an idle contestant, and the bare model on one core:"
    yield table(
        ("", "median ms", "p95 ms"),
        [
            ("bare model" if name == "bound" else name, f"{one['median_ms']:.2f}", f"{one['p95_ms']:.2f}")
            for name, one in figures["lone_requests"].items()
            if "failed" not in one
        ],
    )
    yield (
        "Open loop: requests arrive at random moments (Poisson), whether or not earlier ones are answered; a latency "
        "counts from the arrival. The share is of the contestant's own saturated rate."
    )
    for name, points in figures["under_load"].items():
        yield f"`{name}`"
        yield table(
            ("offered", "per second", "answered per second", "p50 ms", "p95 ms", "p99 ms"),
            [_point(one) for one in points],
        )


def _point(one: Mapping[str, Any]) -> list[str]:
    offered = [f"{one['share'] * 100:.0f} %", f"{one['offered_per_second']:.0f}"]
    if "failed" in one:
        return [*offered, one["failed"], "", "", ""]
    return [
        *offered,
        f"{one['answered_per_second']:.0f}",
        *(f"{one[key]:.1f}" for key in ("p50_ms", "p95_ms", "p99_ms")),
    ]


def _scaling(figures: Mapping[str, Any]) -> Iterator[str]:
    yield f"## One core and all, on `{figures['workload']}`"
    yield "Everything is on the cores: model, producer, Redis and the worker's parent."
    (few, ones), (many, alls) = figures["cores"].items()
    rows = []
    for name, one in ones.items():
        slow, fast = one.get("texts_per_second"), alls[name].get("texts_per_second")
        if slow and fast:
            of_bound = [_ratio(ratios(seen).get(name, {}).get("bound")) for seen in (ones, alls)]
            rows.append((name, f"{slow:.0f}", f"{fast:.0f}", f"{fast / slow:.2f}", *of_bound))
    heads = ("contestant", f"texts/s on {few}", f"texts/s on {many}", "ratio", f"of the bound on {few}", f"on {many}")
    yield table(heads, rows)


def _ratio(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value * 100:.1f} %"
