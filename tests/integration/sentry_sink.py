"""A real HTTP server in the place of Sentry: takes envelopes, and shows what is in them."""

from __future__ import annotations

import http.server
import json
import zlib
from typing import Any

from tests.http_server import LocalHttpServer

Item = dict[str, Any]


class SentrySink(LocalHttpServer):
    """Keeps every envelope; its DSN is what a Sentry client is given."""

    def __init__(self) -> None:
        #: The envelopes, as they came.
        self.received: list[bytes] = []
        super().__init__(_Handler)

    @property
    def dsn(self) -> str:
        return f"http://key@127.0.0.1:{self.port}/1"

    @property
    def events(self) -> list[Item]:
        """The reports of errors so far."""
        return self._items("event")

    @property
    def transactions(self) -> list[Item]:
        """The traces so far."""
        return self._items("transaction")

    def events_of(self, task_id: str) -> list[Item]:
        return [event for event in self.events if event.get("tags", {}).get("task_id") == task_id]

    def transactions_of(self, task_id: str) -> list[Item]:
        return [found for found in self.transactions if found.get("tags", {}).get("task_id") == task_id]

    def _items(self, kind: str) -> list[Item]:
        found = []
        for envelope in tuple(self.received):
            # Each item is a line that describes it and a line that holds it.
            _, *lines = envelope.splitlines()
            found += [
                json.loads(item)
                for header, item in zip(lines[::2], lines[1::2], strict=False)
                if json.loads(header)["type"] == kind
            ]
        return found


class _Handler(http.server.BaseHTTPRequestHandler):
    server: Any

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        gzipped = self.headers.get("Content-Encoding") == "gzip"
        self.server.owner.received.append(zlib.decompress(body, wbits=31) if gzipped else body)
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"{}")

    def log_message(self, *_: object) -> None:
        pass
