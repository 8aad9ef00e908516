"""The web service of the examples under a real uvicorn, with a real worker, traced by OpenTelemetry's SDK."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
import redis

from examples.fastapi_service import app, client_of
from examples.local_stack import PATIENCE_S, LocalServer, LocalWorker, free_port
from producer import AsyncClient, Client, TextClassificationRequest
from tests.conftest import PATIENT
from tests.integration.otlp_sink import OtlpSink, ReceivedSpan
from tests.producer.helpers import wait_until

#: Callers at once, and calls of each.
CONNECTIONS, CALLS = 200, 3
#: What `AsyncClient` has to Redis: one for commands, one for the subscription.
REDIS_CONNECTIONS = 2
#: So long that its process is still computing when it is stopped.
LONG = TextClassificationRequest.parse({"inputs": ["a long walk along the shore " * 60] * 16})
LAUNCHER = str(Path(sys.executable).with_name("opentelemetry-instrument"))
OK, UNPROCESSABLE, UNAVAILABLE, TOO_LATE = 200, 422, 503, 504


@dataclass(frozen=True)
class Service:
    """The service, its worker and what they export."""

    url: str
    pid: int
    server: LocalServer
    worker: LocalWorker
    sink: OtlpSink

    def spans_of(self, trace_id: str) -> dict[str, ReceivedSpan]:
        """By kind, but for what Starlette makes for each part of a response."""
        return {
            span.kind: span
            for span in self.sink.spans
            if span.trace_id == trace_id and (span.kind != "INTERNAL" or span.service == "worker")
        }

    def sockets(self) -> int:
        """How many the service has."""
        return sum(link.startswith("socket:") for link in self._files())

    def connections_to_redis(self) -> int:
        """How many the service has."""
        files = self._files()
        rows = [line.split() for line in Path(f"/proc/{self.pid}/net/tcp").read_text("ascii").splitlines()[1:]]
        return sum(row[2].endswith(f":{self.server.port:04X}") and f"socket:[{row[9]}]" in files for row in rows)

    def _files(self) -> set[str]:
        """What its descriptors refer to; some are closed while this looks."""
        found = set[str]()
        for one in Path(f"/proc/{self.pid}/fd").iterdir():
            with suppress(FileNotFoundError):
                found.add(str(one.readlink()))
        return found


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with LocalServer() as server, OtlpSink() as sink:
        environment = {
            "CELERIAC_BROKER_URL": server.url,
            "CELERIAC_MODELS": "sentiment",
            "CELERIAC_CORES_LEASE_DIR": str(tmp_path_factory.mktemp("leases")),
            "OTEL_BSP_SCHEDULE_DELAY": "100",
            "OTEL_PYTHON_DISABLED_INSTRUMENTATIONS": "celery,redis",
            **sink.environment,
            **PATIENT,
        }
        of_worker = environment | {"OTEL_SERVICE_NAME": "worker"}
        with LocalWorker(["--concurrency=1"], of_worker, launcher=[LAUNCHER]) as worker:
            port = free_port()
            command = [LAUNCHER, sys.executable, "-m", "uvicorn", "examples.fastapi_service:app", f"--port={port}"]
            of_service = {**os.environ, **environment, "OTEL_SERVICE_NAME": "service"}
            with subprocess.Popen([*command, "--log-level=warning"], env=of_service) as process:
                try:
                    url = f"http://127.0.0.1:{port}"
                    worker.wait_until_ready()
                    wait_until(lambda: _is_up(url))
                    yield Service(url, process.pid, server, worker, sink)
                finally:
                    process.terminate()
            assert process.returncode in {0, -signal.SIGTERM}


def _is_up(url: str) -> bool:
    try:
        return httpx.get(f"{url}/openapi.json").status_code == OK
    except httpx.TransportError:
        return False


def test_a_caller_is_answered_and_its_trace_goes_through_to_the_batch(service: Service) -> None:
    trace_id = "a" * 32
    headers = {"traceparent": f"00-{trace_id}-{'b' * 16}-01"}
    answer = httpx.post(f"{service.url}/classify", json={"text": "a delight"}, headers=headers, timeout=PATIENCE_S)

    assert answer.status_code == OK
    assert answer.json()[0]["label"] == "POSITIVE"
    wait_until(lambda: len(service.spans_of(trace_id)) == len(("http", "send", "process", "compute")))
    spans = service.spans_of(trace_id)
    chain = [spans["SERVER"], spans["PRODUCER"], spans["CONSUMER"], spans["INTERNAL"]]
    assert [span.parent_id for span in chain] == ["b" * 16, *(span.span_id for span in chain[:-1])]


@pytest.mark.parametrize(
    ("body", "code"), [({"text": ""}, "empty"), ({"text": "good", "model": "of nobody"}, "unknown_model")]
)
def test_what_breaks_the_contract_is_unprocessable(service: Service, body: dict[str, str], code: str) -> None:
    answer = httpx.post(f"{service.url}/classify", json=body, timeout=PATIENCE_S)

    assert (answer.status_code, answer.json()["detail"]["code"]) == (UNPROCESSABLE, code)


def test_requests_of_callers_that_leave_are_not_computed(service: Service) -> None:
    (process,) = service.worker.processes.values()
    with Client(service.server.url, timeout_s=PATIENCE_S) as client:
        begun, running = _cpu_ticks(process), client.submit(LONG)
        service.worker.wait_for(lambda: _cpu_ticks(process) > begun + 2)
        os.kill(process, signal.SIGSTOP)
        try:
            trace_ids = asyncio.run(_come_and_leave(service, 20))
            sent = [str(service.spans_of(one)["PRODUCER"].attributes["messaging.message.id"]) for one in trace_ids]
            # Every one is cancelled before the process goes on.
            heard = "cancelled by their senders: .*"
            service.worker.wait_for(lambda: all(re.search(heard + one, service.worker.log) for one in sent))
        finally:
            os.kill(process, signal.SIGCONT)
        assert len(client.wait(running).result) == len(LONG.to_arguments()["inputs"])
    with redis.Redis.from_url(service.server.url) as connected:
        keys = [f"celery-task-meta-{one}" for one in sent]
        wait_until(lambda: connected.exists(*keys) == len(keys))
        stored = [json.loads(value)["status"] for value in connected.mget(keys) if isinstance(value, bytes)]
    assert stored == ["REVOKED"] * len(sent)


def _cpu_ticks(pid: int) -> int:
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])


async def _come_and_leave(service: Service, count: int) -> list[str]:
    """Send requests that cannot be answered, and close their connections once all are sent."""
    trace_ids = [f"c{number:031x}" for number in range(count)]
    async with httpx.AsyncClient(timeout=PATIENCE_S) as caller:
        calls = [
            asyncio.create_task(
                caller.post(
                    f"{service.url}/classify",
                    json={"text": "so good"},
                    headers={"traceparent": f"00-{one}-{'d' * 16}-01"},
                )
            )
            for one in trace_ids
        ]
        # A send span ends when the broker has the message.
        await asyncio.to_thread(wait_until, lambda: all("PRODUCER" in service.spans_of(one) for one in trace_ids))
        for call in calls:
            call.cancel()
        await asyncio.gather(*calls, return_exceptions=True)
    return trace_ids


def test_callers_on_many_connections_are_answered_and_leave_nothing_open(service: Service) -> None:
    httpx.post(f"{service.url}/classify", json={"text": "so good"}, timeout=PATIENCE_S)
    before, open_to_redis = service.sockets(), set[int]()

    async def caller(number: int) -> list[int]:
        reader, writer = await asyncio.open_connection("127.0.0.1", httpx.URL(service.url).port)
        statuses = [await _post(reader, writer, f"text {number} {again}") for again in range(CALLS)]
        open_to_redis.add(service.connections_to_redis())
        if number % 2:
            # Every other one leaves in the middle of a call.
            writer.write(_request_for("so good"))
            await writer.drain()
        writer.close()
        await writer.wait_closed()
        return statuses

    async def all_callers() -> list[list[int]]:
        return await asyncio.gather(*(caller(number) for number in range(CONNECTIONS)))

    statuses = {status for one in asyncio.run(all_callers()) for status in one}
    # The service's own time limit may pass on a slow machine.
    assert {OK} <= statuses <= {OK, TOO_LATE}
    assert open_to_redis == {REDIS_CONNECTIONS}
    wait_until(lambda: service.sockets() <= before)


async def _post(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, text: str) -> int:
    """Ask on a connection that stays open; httpx takes too long for this many."""
    writer.write(_request_for(text))
    head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
    length = re.search(r"content-length: (\d+)", head)
    assert length, head
    await reader.readexactly(int(length[1]))
    return int(head.split()[1])


def _request_for(text: str) -> bytes:
    body = json.dumps({"text": text}).encode()
    head = b"POST /classify HTTP/1.1\r\nHost: service\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
    return head % len(body) + body


@pytest.mark.parametrize(
    ("has_server", "status"), [(True, TOO_LATE), (False, UNAVAILABLE)], ids=["no worker", "no redis"]
)
def test_who_is_not_answered_in_time_may_try_again(own_server: LocalServer, has_server: bool, status: int) -> None:
    url = own_server.url if has_server else f"redis://127.0.0.1:{free_port()}/0"

    async def call() -> httpx.Response:
        async with (
            AsyncClient(url, timeout_s=0.3) as client,
            httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://service") as caller,
        ):
            app.dependency_overrides[client_of] = lambda: client
            try:
                return await caller.post("/classify", json={"text": "so good"})
            finally:
                app.dependency_overrides.clear()

    answer = asyncio.run(call())

    assert (answer.status_code, answer.headers["Retry-After"]) == (status, "1")
