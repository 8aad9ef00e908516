"""Load on an HTTP server: a number of connections, each of which asks again as soon as it has its answer.

Plain sockets rather than an HTTP library: the client shares the cores with the server, and shall cost it little.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator, Sequence
from typing import Any

__all__ = ["HttpLoadError", "ask_once", "saturate_http"]

_PATH = "/predict"
_TIMEOUT_S = 150.0


class HttpLoadError(RuntimeError):
    """The server is not there, or does not answer."""


def saturate_http(port: int, bodies: Sequence[Any], connections: int) -> list[Any]:
    """Post all bodies as JSON.

    Returns:
        The answer to each, in order; None where the status was not 200.

    Raises:
        HttpLoadError: the server went away or does not answer.
    """
    answers: list[Any] = [None] * len(bodies)
    try:
        asyncio.run(_saturate(port, bodies, connections, answers))
    except* (OSError, asyncio.IncompleteReadError) as errors:
        raise HttpLoadError(repr(errors.exceptions[0])) from errors
    return answers


def ask_once(port: int, body: Any) -> Any:
    """The answer to one body, on a connection of its own."""
    return saturate_http(port, [body], 1)[0]


async def _saturate(port: int, bodies: Sequence[Any], connections: int, answers: list[Any]) -> None:
    todo = iter(enumerate(bodies))
    async with asyncio.TaskGroup() as group:
        for _ in range(min(connections, len(bodies))):
            group.create_task(_ask_in_turn(port, todo, answers))


async def _ask_in_turn(port: int, todo: Iterator[tuple[int, Any]], answers: list[Any]) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        for index, body in todo:
            payload = json.dumps(body).encode()
            head = f"POST {_PATH} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
            writer.write(f"{head}Content-Length: {len(payload)}\r\n\r\n".encode() + payload)
            answers[index] = await asyncio.wait_for(_read(reader), _TIMEOUT_S)
    finally:
        writer.close()


async def _read(reader: asyncio.StreamReader) -> Any:
    head = (await reader.readuntil(b"\r\n\r\n")).lower()
    status, _, fields = head.partition(b"\r\n")
    length = next(int(line.split(b":")[1]) for line in fields.split(b"\r\n") if line.startswith(b"content-length:"))
    payload = await reader.readexactly(length)
    return json.loads(payload) if status.split()[1] == b"200" else None
