"""The HTTP server: four pages, from threads of the worker's parent."""

from __future__ import annotations

import json
import logging
import os
import socket
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from socketserver import ThreadingTCPServer
from typing import Any

__all__ = ["MonitoringServer", "Page"]

logger = logging.getLogger(__name__)

_JSON = "application/json"
#: A client that sends nothing, or reads nothing, keeps a thread for so long.
_CLIENT_S = 10.0


@dataclass(frozen=True)
class Page:
    """An answer."""

    status: HTTPStatus
    content_type: str
    body: bytes

    @classmethod
    def of(cls, status: HTTPStatus, value: Any) -> Page:
        """A JSON value."""
        return cls(status, _JSON, json.dumps(value).encode() + b"\n")


class MonitoringServer(ThreadingTCPServer):
    """Listens from the start on, and answers once :meth:`start` was called.

    Args:
        host: address to listen on.
        port: the port.

    Raises:
        OSError: somebody else listens there, or there is no such address.
    """

    allow_reuse_address = True
    daemon_threads = True
    request_queue_size = 32

    def __init__(self, host: str, port: int) -> None:
        #: Each page by its path; it gets the header ``Accept`` of the request.
        self.pages: Mapping[str, Callable[[str], Page]] = {}
        self.address_family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        super().__init__((host, port), _Handler)
        # A process that outlives its parent for a moment must not keep the port from the next worker.
        os.register_at_fork(after_in_child=self.socket.close)

    def start(self) -> None:
        """Answer from now on, for as long as this process lives."""
        threading.Thread(target=self.serve_forever, name="celeriac-monitoring", daemon=True).start()

    def answer(self, path: str, accept: str) -> Page:
        """The page of a path."""
        page = self.pages.get(path.partition("?")[0])
        if page is None:
            return Page.of(HTTPStatus.NOT_FOUND, {"error": "there is no such page", "pages": sorted(self.pages)})
        try:
            return page(accept)
        except Exception as error:
            logger.exception("could not make the page %s", path)
            return Page.of(HTTPStatus.INTERNAL_SERVER_ERROR, {"error": f"{type(error).__name__}; the log says more"})

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Nothing: the client has gone."""


class _Handler(BaseHTTPRequestHandler):
    server: MonitoringServer
    timeout = _CLIENT_S

    def do_GET(self) -> None:
        page = self.server.answer(self.path, self.headers.get("Accept", ""))
        self.send_response(page.status)
        self.send_header("Content-Type", page.content_type)
        self.send_header("Content-Length", str(len(page.body)))
        self.end_headers()
        self.wfile.write(page.body)

    def log_message(self, *_: object) -> None:
        """Nothing: a probe every few seconds is no news."""
