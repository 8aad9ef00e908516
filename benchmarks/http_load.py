"""Load on an HTTP server: a number of connections, each of which asks again as soon as it has its answer.

Plain sockets rather than an HTTP library: the client shares the cores with the server, and shall cost it little.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterator, Sequence
from typing import Any

__all__ = ["HttpLoadError", "ask_once", "open_loop_http", "saturate_http"]

_PATH = "/predict"
_TIMEOUT_S = 150.0
_Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]


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


def open_loop_http(port: int, bodies: Sequence[Any], arrivals: Sequence[float]) -> list[float]:
    """Post each body at its moment, in seconds from the start, on as many connections as that takes.

    Returns:
        Seconds from each arrival to its answer, in the order of the answers.

    Raises:
        HttpLoadError: the server went away, does not answer, or refused a body.
    """
    latencies: list[float] = []
    try:
        asyncio.run(_arrive(port, bodies, arrivals, latencies))
    except* (OSError, asyncio.IncompleteReadError) as errors:
        raise HttpLoadError(repr(errors.exceptions[0])) from errors
    if len(latencies) < len(bodies):
        raise HttpLoadError(f"{len(bodies) - len(latencies)} of {len(bodies)} requests were refused")
    return latencies


def ask_once(port: int, body: Any) -> Any:
    """The answer to one body, on a connection of its own."""
    return saturate_http(port, [body], 1)[0]


async def _saturate(port: int, bodies: Sequence[Any], connections: int, answers: list[Any]) -> None:
    todo = iter(enumerate(bodies))
    async with asyncio.TaskGroup() as group:
        for _ in range(min(connections, len(bodies))):
            group.create_task(_ask_in_turn(port, todo, answers))


async def _arrive(port: int, bodies: Sequence[Any], arrivals: Sequence[float], latencies: list[float]) -> None:
    idle: list[_Connection] = []
    started_s = time.perf_counter()

    async def ask(body: Any, due_s: float) -> None:
        connection = _pop_open(idle) or await asyncio.open_connection("127.0.0.1", port)
        if await _exchange(connection, body) is not None:
            latencies.append(time.perf_counter() - due_s)
        idle.append(connection)

    async with asyncio.TaskGroup() as group:
        for body, arrival in zip(bodies, arrivals, strict=True):
            await asyncio.sleep(max(0.0, started_s + arrival - time.perf_counter()))
            group.create_task(ask(body, started_s + arrival))
    for _, writer in idle:
        writer.close()


def _pop_open(idle: list[_Connection]) -> _Connection | None:
    """A connection that the server has not closed: it does so after some seconds without a request."""
    while idle:
        reader, writer = idle.pop()
        if not reader.at_eof():
            return reader, writer
        writer.close()
    return None


async def _ask_in_turn(port: int, todo: Iterator[tuple[int, Any]], answers: list[Any]) -> None:
    connection = await asyncio.open_connection("127.0.0.1", port)
    try:
        for index, body in todo:
            answers[index] = await _exchange(connection, body)
    finally:
        connection[1].close()


async def _exchange(connection: _Connection, body: Any) -> Any:
    """One request and its answer; None where the status is not 200."""
    reader, writer = connection
    payload = json.dumps(body).encode()
    head = f"POST {_PATH} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    writer.write(f"{head}Content-Length: {len(payload)}\r\n\r\n".encode() + payload)
    return await asyncio.wait_for(_read(reader), _TIMEOUT_S)


async def _read(reader: asyncio.StreamReader) -> Any:
    head = (await reader.readuntil(b"\r\n\r\n")).lower()
    status, _, fields = head.partition(b"\r\n")
    length = next(int(line.split(b":")[1]) for line in fields.split(b"\r\n") if line.startswith(b"content-length:"))
    payload = await reader.readexactly(length)
    return json.loads(payload) if status.split()[1] == b"200" else None
