"""The monitoring server answers over a real socket."""

from __future__ import annotations

import http.client
import json
import logging
import socket
from collections.abc import Callable, Iterator
from http import HTTPStatus
from http.client import HTTPResponse

import pytest

from examples.local_stack import PATIENCE_S
from worker.endpoints.server import MonitoringServer, Page, listen

REASON = "the page cannot be made"

Pages = dict[str, Callable[[str], Page]]


def fail(_: str) -> Page:
    raise RuntimeError(REASON)


@pytest.fixture(scope="module")
def pages() -> Pages:
    return {
        "/readyz": lambda _: Page.of(HTTPStatus.SERVICE_UNAVAILABLE, {"ready": False, "reasons": ["ü"]}),
        "/metrics": lambda accept: Page(HTTPStatus.OK, "text/plain; version=0.0.4", f"accepts {accept}".encode()),
        "/broken": fail,
    }


@pytest.fixture(scope="module")
def monitoring(pages: Pages) -> Iterator[MonitoringServer]:
    started = MonitoringServer(listen("127.0.0.1", 0), pages)
    started.start()
    yield started
    started.shutdown()
    started.server_close()


@pytest.fixture
def connection(monitoring: MonitoringServer) -> Iterator[http.client.HTTPConnection]:
    host, port = monitoring.server_address[:2]
    connected = http.client.HTTPConnection(str(host), int(port), timeout=PATIENCE_S)
    yield connected
    connected.close()


def get(connection: http.client.HTTPConnection, path: str, **headers: str) -> tuple[HTTPResponse, bytes]:
    connection.request("GET", path, headers=headers)
    response = connection.getresponse()
    return response, response.read()


def test_a_page_has_the_status_the_type_and_the_body_that_it_was_made_with(
    connection: http.client.HTTPConnection,
) -> None:
    response, body = get(connection, "/readyz")

    assert response.status == 503
    assert response.headers["Content-Type"] == "application/json"
    assert int(response.headers["Content-Length"]) == len(body)
    assert json.loads(body) == {"ready": False, "reasons": ["ü"]}


@pytest.mark.parametrize("path", ["/metrics", "/metrics?", "/metrics?name[]=celeriac_ready&x=1"])
def test_a_page_is_told_what_the_client_accepts_and_a_query_does_not_matter(
    connection: http.client.HTTPConnection, path: str
) -> None:
    response, body = get(connection, path, Accept="application/openmetrics-text")

    assert (response.status, response.headers["Content-Type"]) == (200, "text/plain; version=0.0.4")
    assert body == b"accepts application/openmetrics-text"


def test_a_client_need_not_say_what_it_accepts(connection: http.client.HTTPConnection) -> None:
    assert get(connection, "/metrics")[1] == b"accepts "


@pytest.mark.parametrize("path", ["/", "/readyz/", "/metrics/more", "/%2e%2e/etc/passwd"])
def test_any_other_path_is_not_found_and_the_pages_are_named(connection: http.client.HTTPConnection, path: str) -> None:
    response, body = get(connection, path)

    assert response.status == 404
    assert json.loads(body) == {"error": "page not found", "pages": ["/broken", "/metrics", "/readyz"]}


def test_a_page_that_fails_is_logged_and_the_server_goes_on(
    connection: http.client.HTTPConnection, caplog: pytest.LogCaptureFixture
) -> None:
    response, body = get(connection, "/broken")

    assert response.status == 500
    assert json.loads(body) == {"error": "RuntimeError; see the log"}
    assert "could not serve the page /broken" in caplog.text
    assert REASON in caplog.text
    assert REASON.encode() not in body
    assert get(connection, "/readyz")[0].status == 503


def test_probes_are_not_logged(connection: http.client.HTTPConnection, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        get(connection, "/readyz")

    assert not caplog.records


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
def test_pages_can_only_be_read(connection: http.client.HTTPConnection, method: str) -> None:
    connection.request(method, "/readyz", body="{}")

    assert connection.getresponse().status == 501


def test_clients_that_send_nothing_or_leave_keep_nobody_from_an_answer(
    monitoring: MonitoringServer, connection: http.client.HTTPConnection
) -> None:
    host, port = monitoring.server_address[:2]
    with socket.create_connection((str(host), int(port))):
        socket.create_connection((str(host), int(port))).close()

        assert get(connection, "/readyz")[0].status == 503


def test_a_port_that_another_worker_listens_on_is_refused(monitoring: MonitoringServer) -> None:
    with pytest.raises(OSError, match="in use"):
        listen("127.0.0.1", int(monitoring.server_address[1]))


def test_an_address_that_is_not_of_this_machine_is_refused() -> None:
    with pytest.raises(OSError, match="assign"):
        # TEST-NET-1 of RFC 5737 belongs to nobody.
        listen("192.0.2.1", 0)


def test_clients_wait_from_the_moment_that_the_worker_listens(pages: Pages) -> None:
    listening = listen("127.0.0.1", 0)
    host, port = listening.getsockname()
    early = http.client.HTTPConnection(host, port, timeout=PATIENCE_S)
    early.request("GET", "/readyz")

    server = MonitoringServer(listening, pages)
    server.start()

    assert early.getresponse().status == 503
    early.close()
    server.shutdown()
    server.server_close()
