"""A TCP proxy to a real server, which tests can make slow or faulty."""

from __future__ import annotations

import socket
import socketserver
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from examples.local_stack import LocalServer

#: Turns a chunk of traffic into what is passed on: bytes, maybe none, or None to cut the connection.
Treatment = Callable[[bytes], bytes | None]
CHUNK_BYTES = 64 * 1024


def unchanged(chunk: bytes) -> bytes:
    return chunk


@contextmanager
def proxy(
    server: LocalServer, *, requests: Treatment = unchanged, replies: Treatment = unchanged, delay_s: float = 0.0
) -> Iterator[str]:
    """The URL of a proxy to ``server`` that delays every reply by ``delay_s``. Clients must close before it does."""
    target = ("127.0.0.1", int(server.url.rsplit(":", 1)[1].split("/")[0]))
    closed = threading.Event()

    def late(chunk: bytes) -> bytes | None:
        closed.wait(delay_s)
        return replies(chunk)

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            with socket.create_connection(target) as upstream:
                back = threading.Thread(target=pump, args=(upstream, self.request, late))
                back.start()
                pump(self.request, upstream, requests)
                back.join()

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler) as listener:
        thread = threading.Thread(target=listener.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield f"redis://127.0.0.1:{listener.server_address[1]}/0"
        finally:
            closed.set()
            listener.shutdown()
            thread.join()


def pump(source: socket.socket, target: socket.socket, treat: Treatment) -> None:
    """Forward bytes until one side closes, then close both."""
    with suppress(OSError):
        while chunk := source.recv(CHUNK_BYTES):
            treated = treat(chunk)
            if treated is None:
                break
            target.sendall(treated)
    for end in (source, target):
        with suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)
