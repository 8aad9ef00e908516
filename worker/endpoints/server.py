"""A threaded HTTP server for a few pages, run in the parent of a worker."""

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

__all__ = ["MonitoringServer", "Page", "listen"]

logger = logging.getLogger(__name__)

_JSON = "application/json"
#: How long a client that neither sends nor reads may occupy a thread.
_CLIENT_S = 10.0
#: Connections that may wait to be accepted.
_BACKLOG = 32


@dataclass(frozen=True)
class Page:
    """A response.

    Attributes:
        status: the HTTP status.
        content_type: the header ``Content-Type``.
        body: the body, encoded.
    """

    status: HTTPStatus
    content_type: str
    body: bytes

    @classmethod
    def of(cls, status: HTTPStatus, value: Any) -> Page:
        """A page with a JSON value."""
        return cls(status, _JSON, json.dumps(value).encode() + b"\n")


def listen(host: str, port: int) -> socket.socket:
    """Listen on an address, before a server exists. Forked processes close their copy of the socket.

    Raises:
        OSError: the port is in use, or this machine has no such address.
    """
    family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    listening = socket.socket(family, socket.SOCK_STREAM)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
        listening.listen(_BACKLOG)
    except OSError:
        listening.close()
        raise
    # A process that briefly outlives its parent must not block the port for the next worker.
    os.register_at_fork(after_in_child=listening.close)
    return listening


class MonitoringServer(ThreadingTCPServer):
    """Serves pages on a listening socket.

    Args:
        listening: the socket.
        pages: functions by path. Each receives the ``Accept`` header of the request and returns the page.
    """

    daemon_threads = True

    def __init__(self, listening: socket.socket, pages: Mapping[str, Callable[[str], Page]]) -> None:
        self.pages = pages
        super().__init__(listening.getsockname(), _Handler, bind_and_activate=False)
        self.socket.close()
        self.socket = listening

    def start(self) -> None:
        """Serve requests in a thread until this process ends."""
        threading.Thread(target=self.serve_forever, name="celeriac-monitoring", daemon=True).start()

    def answer(self, path: str, accept: str) -> Page:
        """The page for a path, or one that reports the error."""
        page = self.pages.get(path.partition("?")[0])
        if page is None:
            return Page.of(HTTPStatus.NOT_FOUND, {"error": "page not found", "pages": sorted(self.pages)})
        try:
            return page(accept)
        except Exception as error:
            logger.exception("could not serve the page %s", path)
            return Page.of(HTTPStatus.INTERNAL_SERVER_ERROR, {"error": f"{type(error).__name__}; see the log"})

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Ignore the error: the client has disconnected."""


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
        """Log nothing: probes arrive every few seconds."""
