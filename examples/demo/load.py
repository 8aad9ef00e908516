"""Two kinds of load: callers that each wait for their answer, and bulk messages of many texts."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from producer import Client, TextClassificationRequest
from producer.contract import QueueClass

__all__ = ["LoadReport", "run_bulk", "run_callers"]

Advance = Callable[[int], object]


@dataclass(frozen=True)
class LoadReport:
    """What a load showed; latencies are from sending a message to reading its answer."""

    texts: int
    seconds: float
    latencies_s: list[float]
    failures: list[str]

    @property
    def texts_per_second(self) -> float:
        """Throughput."""
        return self.texts / self.seconds

    def latency_ms(self, percent: float) -> float:
        """A percentile of the latencies, in milliseconds."""
        ordered = sorted(self.latencies_s)
        return ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))] * 1000


def run_callers(client: Client, texts: Sequence[str], *, callers: int, advance: Advance) -> LoadReport:
    """``callers`` threads, each of which sends a text, waits for its answer, and sends the next."""
    latencies: list[float] = []
    failures: list[str] = []

    def call(text: str) -> None:
        started_s = time.perf_counter()
        try:
            client.classify(text)
        except Exception as error:  # noqa: BLE001 - the report says what went wrong
            failures.append(f"{type(error).__name__}: {error}")
        latencies.append(time.perf_counter() - started_s)
        advance(1)

    started_s = time.perf_counter()
    with ThreadPoolExecutor(callers) as threads:
        list(threads.map(call, texts))
    return LoadReport(len(texts), time.perf_counter() - started_s, latencies, failures)


def run_bulk(client: Client, texts: Sequence[str], *, per_message: int, advance: Advance) -> LoadReport:
    """All texts at once, ``per_message`` in each message of the bulk queue."""
    chunks = [list(texts[start : start + per_message]) for start in range(0, len(texts), per_message)]
    latencies: list[float] = []
    failures: list[str] = []
    started_s = time.perf_counter()
    sent = [
        (client.submit(TextClassificationRequest.parse({"inputs": chunk}), queue_class=QueueClass.BULK), chunk)
        for chunk in chunks
    ]
    for request_id, chunk in sent:
        answers = client.wait(request_id, timeout_s=60).result
        latencies.append(time.perf_counter() - started_s)
        if len(answers) != len(chunk):
            failures.append(f"{len(answers)} answers to {len(chunk)} texts")
        failures.extend(str(answer["error"]) for answer in answers if "error" in answer)
        advance(len(chunk))
    return LoadReport(len(texts), time.perf_counter() - started_s, latencies, failures)
