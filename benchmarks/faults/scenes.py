"""The faults: what is done to Redis, and what its own settings may lose then."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import redis

from benchmarks.faults.stage import (
    FAULT_S,
    Stage,
    StageMaker,
    a_server,
    apart,
    on_sentinels,
    one_server,
    proxied,
    with_user,
)

__all__ = ["FAULTS", "Fault"]

_LONG_PAUSE_S = 12.0
_LOADING_KEYS, _LOADING_US = 20_000, 200
_DELAY_S = 0.5


@dataclass(frozen=True)
class Fault:
    """One fault.

    Attributes:
        what: what happens, for the table.
        play: does it, and returns when Redis was well again, on the monotonic clock.
        stage: makes what it is played on.
        may_lose: why Redis may lose accepted requests, and the setting that closes it; empty where nothing may be lost.
        durable: whether the client asks for each request to be on disk.
        call_s: how long a call of the client may take, in seconds.
    """

    what: str
    play: Callable[[Stage], float]
    stage: StageMaker = a_server
    may_lose: str = ""
    durable: bool = False
    call_s: float = 2.0


def _stop(stage: Stage) -> float:
    stage.server.stop()
    time.sleep(FAULT_S)
    stage.server.start()
    return time.monotonic()


def _restart(stage: Stage) -> float:
    stage.server.stop()
    stage.server.start()
    return time.monotonic()


def _kill(stage: Stage) -> float:
    with stage.backlog():
        stage.server.kill()
        stage.server.start()
    return time.monotonic()


def _client_pause(seconds: float) -> Callable[[Stage], float]:
    def play(stage: Stage) -> float:
        with stage.admin() as admin:
            admin.client_pause(int(seconds * 1000), all=True)
        time.sleep(seconds)
        return time.monotonic()

    return play


def _delay(stage: Stage) -> float:
    if stage.proxy is None:
        raise ValueError("this fault needs a proxy")
    stage.proxy.delay_s = _DELAY_S
    began_s = time.monotonic()
    time.sleep(3 * FAULT_S)
    stage.proxy.delay_s = 0.0
    return began_s


def _full(stage: Stage) -> float:
    return stage.lasting(
        lambda admin: admin.config_set("maxmemory", "1mb"), lambda admin: admin.config_set("maxmemory", "0")
    )


def _readonly(stage: Stage) -> float:
    # A master that nobody has ever heard of: the server keeps its data, and is read-only.
    return stage.lasting(lambda admin: admin.replicaof("127.0.0.1", "1"), lambda admin: admin.replicaof("NO", "ONE"))


def _loading(stage: Stage) -> float:
    with stage.admin() as admin, admin.pipeline(transaction=False) as pipe:
        for number in range(_LOADING_KEYS):
            pipe.set(f"ballast.{number}", "", ex=600)
        pipe.execute()
        admin.config_rewrite()
        admin.bgrewriteaof()
        while admin.info("persistence")["aof_rewrite_in_progress"]:
            time.sleep(0.1)
    stage.server.stop()
    stage.server.start()  # returns when it has loaded
    return time.monotonic()


def _failover(stage: Stage) -> float:
    if stage.sentinels is None:
        raise ValueError("this fault needs Sentinels")
    with stage.backlog():
        stage.sentinels.master.kill()
    return time.monotonic()


def _wrong_password(stage: Stage) -> float:
    def change(admin: redis.Redis, add: str, drop: str) -> None:
        admin.execute_command("ACL", "SETUSER", "worker", f">{add}", f"<{drop}")
        admin.execute_command("CLIENT", "KILL", "USER", "worker")

    return stage.lasting(lambda admin: change(admin, "second", "first"), lambda admin: change(admin, "first", "second"))


def _withdrawn(stage: Stage) -> float:
    def switch(admin: redis.Redis, state: str) -> None:
        admin.execute_command("ACL", "SETUSER", "worker", state)
        admin.execute_command("CLIENT", "KILL", "USER", "worker")

    return stage.lasting(lambda admin: switch(admin, "off"), lambda admin: switch(admin, "on"))


def _narrowed(stage: Stage) -> float:
    def permit(admin: redis.Redis, *rules: str) -> None:
        admin.execute_command("ACL", "SETUSER", "worker", *rules)

    return stage.lasting(lambda admin: permit(admin, "-@write"), lambda admin: permit(admin, "+@all"))


def _results_unwritable(stage: Stage) -> float:
    return stage.lasting(
        lambda admin: admin.execute_command("ACL", "SETUSER", "default", "-@write"),
        lambda admin: admin.execute_command("ACL", "SETUSER", "default", "+@all"),
    )


def _results_silent(stage: Stage) -> float:
    if stage.results is None:
        raise ValueError("this fault needs a server of the results")
    stage.results.pause()
    time.sleep(_LONG_PAUSE_S)
    stage.results.resume()
    return time.monotonic()


_NO_FILE = "nothing is on disk: `appendonly yes`"
_ASYNCHRONOUS = "replication is asynchronous: `min-replicas-to-write 1` bounds it"

FAULTS = {
    "stop": Fault("stopped for 4 s", _stop),
    "restart": Fault("restarted", _restart),
    "kill-always": Fault("SIGKILL, `appendfsync always`", _kill, one_server(appendfsync="always")),
    "kill-everysec": Fault("SIGKILL, `appendfsync everysec`", _kill, one_server(appendfsync="everysec")),
    "kill-durable": Fault(
        "SIGKILL, `appendfsync everysec`, `durable=True`", _kill, one_server(appendfsync="everysec"), durable=True
    ),
    "kill-memory": Fault("SIGKILL, `appendonly no`", _kill, one_server(appendonly="no"), may_lose=_NO_FILE),
    "pause": Fault("`CLIENT PAUSE` for 4 s", _client_pause(FAULT_S)),
    "long-pause": Fault("`CLIENT PAUSE` for 12 s", _client_pause(_LONG_PAUSE_S)),
    "delay": Fault("every reply 500 ms late, for 12 s", _delay, proxied, call_s=10.0),
    "full": Fault("memory full, `noeviction`, for 4 s", _full),
    "readonly": Fault("READONLY for 4 s", _readonly),
    "loading": Fault("LOADING after a restart", _loading, one_server(key_load_delay=str(_LOADING_US))),
    "failover": Fault("SIGKILL of a Sentinel's master", _failover, on_sentinels, may_lose=_ASYNCHRONOUS),
    "password": Fault("the password is another for 4 s", _wrong_password, with_user),
    "withdrawn": Fault("the user is switched off for 4 s", _withdrawn, with_user),
    "narrowed": Fault("the user may not write for 4 s", _narrowed, with_user),
    "results-full": Fault("the results' own server is full for 4 s", _full, apart),
    "results-readonly": Fault("the results' own server is READONLY for 4 s", _readonly, apart),
    "results-unwritable": Fault("results may not be written for 4 s", _results_unwritable, apart),
    "results-silent": Fault("the results' own server is frozen for 12 s", _results_silent, apart),
}
