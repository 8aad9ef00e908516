"""``python -m benchmarks.sentry_cost``: CPU time that Sentry takes of a request, beside Sentry's own integration.

Celery's tracer runs a task that does nothing, as a pool process has it run for each request of a batch; what is sent
goes to a server in this process. Each figure is a process of its own, twice, interleaved.
"""

from __future__ import annotations

import argparse
import http.server
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

REQUESTS = 5000
SAMPLED_REQUESTS = 1000
BATCH = 8
ROUNDS = 2


class Mode(StrEnum):
    """What is switched on."""

    NOTHING = "no DSN"
    ERRORS = "errors only (CELERIAC_SENTRY_TRACES_SAMPLE_RATE=0)"
    UNSAMPLED = "traces on, request not sampled"
    SAMPLED = "traces on, request sampled"
    THEIRS = "Sentry's Celery integration, request not sampled"


#: Practically none, and yet tracing is on.
_RARELY = 1e-9


@dataclass(frozen=True)
class _Request:
    task: str = "text-classification"
    task_id: str = "an-id"


class _Sink(http.server.BaseHTTPRequestHandler):
    """Takes what it is sent."""

    def do_POST(self) -> None:
        """Take it."""
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"{}")

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def main() -> None:
    """Measure all modes, or one of them in this process."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.sentry_cost", description=__doc__)
    parser.add_argument("--mode", choices=[mode.name for mode in Mode], help=argparse.SUPPRESS)
    parser.add_argument("--dsn", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.mode:
        print(_measure_us(Mode[options.mode], options.dsn))
        return
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Sink) as sink:
        threading.Thread(target=sink.serve_forever, daemon=True).start()
        dsn = f"http://key@127.0.0.1:{sink.server_port}/1"
        runs = [{mode: _in_a_process_us(mode, dsn) for mode in Mode} for _ in range(ROUNDS)]
        sink.shutdown()
    for mode in Mode:
        print(f"{mode.value:55} {' '.join(f'{run[mode]:8.1f}' for run in runs)} us of CPU a request")


def _in_a_process_us(mode: Mode, dsn: str) -> float:
    command = [sys.executable, "-m", "benchmarks.sentry_cost", "--mode", mode.name, "--dsn", dsn]
    return float(subprocess.run(command, capture_output=True, text=True, check=True).stdout)  # noqa: S603 - our own


def _measure_us(mode: Mode, dsn: str) -> float:
    from celery import Celery

    app = Celery("cost", broker="memory://", backend="disabled://", set_as_current=True)

    @app.task(name=_Request.task)
    def nothing(**_: object) -> None:
        pass

    _switch_on(mode, dsn)
    # Looked up late: Sentry's integration replaces it.
    from celery.app import trace

    tracer = trace.build_tracer(_Request.task, nothing, app.loader, "host", app=app)
    count = SAMPLED_REQUESTS if mode is Mode.SAMPLED else REQUESTS
    _trace(tracer, BATCH)
    started_s = time.process_time()
    _trace(tracer, count)
    if "sentry_sdk" in sys.modules:
        sys.modules["sentry_sdk"].flush(timeout=60)
    return (time.process_time() - started_s) / count * 1e6


def _switch_on(mode: Mode, dsn: str) -> None:
    if mode is Mode.NOTHING:
        return
    import sentry_sdk

    if mode is Mode.THEIRS:
        from sentry_sdk.integrations.celery import CeleryIntegration

        sentry_sdk.init(dsn=dsn, traces_sample_rate=_RARELY, integrations=[CeleryIntegration()])
        return
    from celery import signals

    from config import Settings
    from worker.observability import sentry

    rate = {Mode.ERRORS: 0.0, Mode.UNSAMPLED: _RARELY, Mode.SAMPLED: 1.0}[mode]
    sentry.connect(Settings.model_validate({"sentry": {"dsn": dsn, "traces_sample_rate": rate}}), list)
    signals.worker_process_init.send(sender="host")


def _trace(tracer: Any, count: int) -> None:
    from worker.pool import work_context

    for number in range(count // BATCH * BATCH):
        if number % BATCH == 0:
            work_context.begin([_Request()] * BATCH).mark_computed()
        delivery = {"routing_key": _Request.task, "exchange": ""}
        request = {"id": f"id-{number}", "delivery_info": delivery, "headers": None, "ignore_result": True}
        tracer(request["id"], (), {"inputs": "so good"}, request)


if __name__ == "__main__":
    main()
