"""What the demo prints."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

from examples.demo.load import LoadReport
from examples.demo.texts import Example
from examples.local_stack.procfs import memory_of, open_libraries, thread_cores

__all__ = ["print_labels", "print_loads", "print_processes", "print_spans", "print_topics"]

_SHOWN_CHARACTERS = 72
_MEBIBYTE = 1024 * 1024


def print_labels(console: Console, examples: Sequence[Example], answers: Sequence[Any]) -> None:
    """A line for each text: its kind, its beginning, the label and the score."""
    table = _table("text-classification: which mood", "kind", "text", "label")
    for example, (best,) in zip(examples, answers, strict=True):
        colour = "green" if best["label"] == "POSITIVE" else "red"
        table.add_row(example["kind"], _shown(example["text"]), f"[{colour}]{best['label']}[/]", f"{best['score']:.3f}")
    console.print(table)


def print_topics(console: Console, answers: Sequence[Any]) -> None:
    """A line for each text: its beginning, the best of the labels that the request brought, and its score."""
    labels = ", ".join(sorted(answers[0]["labels"]))
    table = _table(f"zero-shot-classification: one of {labels}", "text", "label")
    for answer in answers:
        table.add_row(_shown(answer["sequence"]), answer["labels"][0], f"{answer['scores'][0]:.3f}")
    console.print(table)


def print_spans(console: Console, questions: Sequence[Example], answers: Sequence[Any]) -> None:
    """A line for each question: the answer, and where it stands in the context."""
    table = _table("question-answering: a piece of the context", "question", "answer", "characters")
    for question, answer in zip(questions, answers, strict=True):
        place = f"{answer['start']} to {answer['end']}"
        table.add_row(
            question["question"], _shown(answer["answer"], _SHOWN_CHARACTERS // 2), place, f"{answer['score']:.3f}"
        )
    console.print(table)


def _table(title: str, *columns: str) -> Table:
    table = Table(title=title, title_justify="left")
    for column in columns:
        table.add_column(column, no_wrap=True)
    table.add_column("score", justify="right")
    return table


def _shown(text: str, characters: int = _SHOWN_CHARACTERS) -> str:
    return text if len(text) <= characters else text[: characters - 1] + "…"


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
