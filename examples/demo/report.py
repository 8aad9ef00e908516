"""What the demo prints."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

from examples.demo.load import LoadReport
from examples.demo.texts import Example
from examples.local_stack.procfs import memory_of, open_libraries, thread_cores

__all__ = ["print_answers", "print_loads", "print_processes"]

_SHOWN_CHARACTERS = 72
_MEBIBYTE = 1024 * 1024


def print_answers(console: Console, examples: Sequence[Example], answers: Sequence[Any]) -> None:
    """A line for each text: its kind, its beginning, the label and the score."""
    table = Table(title="Answers", title_justify="left")
    for column in ("kind", "text", "label"):
        table.add_column(column, no_wrap=True)
    table.add_column("score", justify="right")
    for example, (best,) in zip(examples, answers, strict=True):
        text = example["text"]
        shown = text if len(text) <= _SHOWN_CHARACTERS else text[: _SHOWN_CHARACTERS - 1] + "…"
        colour = "green" if best["label"] == "POSITIVE" else "red"
        table.add_row(example["kind"], shown, f"[{colour}]{best['label']}[/]", f"{best['score']:.3f}")
    console.print(table)


def print_processes(console: Console, parent: int, processes: Mapping[int, int]) -> None:
    """A line for each process of the worker: its cores by the kernel's account, its memory, whether it has OpenVINO."""
    table = Table(title="Processes", title_justify="left")
    table.add_column("process")
    for column in ("pid", "threads", "on cores", "private MiB", "shared MiB", "openvino mapped"):
        table.add_column(column, justify="right")
    for name, pid in [("parent", parent), *((f"inference {index}", pid) for index, pid in processes.items())]:
        cores = thread_cores(pid)
        memory = memory_of(pid)
        table.add_row(
            name,
            str(pid),
            str(len(cores)),
            " ".join(sorted(set(cores.values()))),
            f"{memory.private_bytes / _MEBIBYTE:.0f}",
            f"{memory.shared_bytes / _MEBIBYTE:.0f}",
            "yes" if open_libraries(pid, "openvino") else "no",
        )
    console.print(table)


def print_loads(console: Console, loads: Mapping[str, LoadReport]) -> None:
    """A line for each load: throughput and latencies."""
    table = Table(title="Load", title_justify="left")
    table.add_column("load")
    for column in ("texts", "texts/s", "p50 ms", "p95 ms", "p99 ms", "failed"):
        table.add_column(column, justify="right")
    for name, load in loads.items():
        table.add_row(
            name,
            str(load.texts),
            f"{load.texts_per_second:.0f}",
            *(f"{load.latency_ms(percent):.1f}" for percent in (50, 95, 99)),
            str(len(load.failures)),
        )
    console.print(table)
