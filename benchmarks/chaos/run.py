"""One run of one contestant: server, workers, faults, ledger, verdict."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import redis
from redis.exceptions import RedisError
from tqdm import tqdm

from benchmarks.chaos.broker import find_leaked_keys, is_empty, read_leftovers
from benchmarks.chaos.fleet import Fleet
from benchmarks.chaos.history import History
from benchmarks.chaos.injector import Injector
from benchmarks.chaos.ledger import Ledger
from benchmarks.chaos.observer import Observer
from benchmarks.chaos.options import Contestant, RunOptions
from benchmarks.chaos.samples import Sampler
from benchmarks.chaos.schedule import FaultKind, plan_faults
from benchmarks.chaos.sender import CLIENT_NAME, Sender
from benchmarks.chaos.story import tell
from benchmarks.chaos.verdict import Evidence, Verdict, judge
from examples.local_stack import LocalServer

__all__ = ["ChaosError", "run_chaos"]

_POLL_S = 0.1
_START_S = 120.0
#: For how long the broker must be empty before what has not ended is given up.
_EMPTY_S = 3.0
#: For how long nothing may end, in addition to visibility timeouts.
_PATIENCE_S = 30.0
_DISTURBANCES = frozenset({FaultKind.PAUSE_REDIS, FaultKind.RESTART_REDIS, FaultKind.CUT_CONNECTIONS})


class ChaosError(RuntimeError):
    """A run could not be made; the message says why and what to do."""


@dataclass
class _Parts:
    """What takes part in a run."""

    server: LocalServer
    fleet: Fleet
    sender: Sender
    observer: Observer
    injector: Injector
    ledger: Ledger


def run_chaos(
    options: RunOptions,
    contestant: Contestant,
    directory: Path,
    *,
    watch: Callable[[Fleet, str], Sampler] | None = None,
    quiet: bool = False,
) -> Verdict:
    """Run, and judge.

    Args:
        options: what to do.
        contestant: whose parts the workers use.
        directory: an empty directory for logs and journals.
        watch: makes what samples the workers and the server, whose URL it gets; it has not been started.
        quiet: whether to show no progress.

    Raises:
        ChaosError: the workers do not start, or a part of the run failed.
    """
    started_s = time.monotonic()
    ledger = Ledger(options.messages)
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(LocalServer())
        fleet = stack.enter_context(Fleet(options, contestant, server.url, directory))
        observer = Observer(server.url, ledger)
        sender = Sender(server.url, options, contestant, ledger)
        injector = Injector(plan_faults(options), fleet, server, sender.gate)
        parts = _Parts(server, fleet, sender, observer, injector, ledger)
        bar = stack.enter_context(tqdm(total=options.messages, unit="msg", desc=contestant.value, disable=quiet))
        _wait_for_workers(parts, bar)
        with _running(parts, watch(fleet, server.url) if watch else None):
            _wait_for_end(parts, options, bar)
        fleet.stop()
        evidence = _collect(parts, options)
    verdict = judge(evidence)
    verdict.figures["seconds"] = round(time.monotonic() - started_s, 1)
    verdict.figures["faults"] = dict(injector.counts)
    if injector.steps:
        verdict.figures["steps"] = dict(sorted(injector.steps.items()))
    verdict.story = tell(verdict, evidence)
    return verdict


@contextlib.contextmanager
def _running(parts: _Parts, sampler: Sampler | None) -> Iterator[None]:
    """Send, observe, inject and sample until the end of the block."""
    if sampler is not None:
        sampler.start()
    parts.observer.start()
    parts.sender.start()
    parts.injector.start()
    try:
        yield
    finally:
        if sampler is not None:
            sampler.stop()
        parts.injector.stop()
        parts.sender.stop()
        parts.observer.stop()
    for part in (parts.sender, parts.observer, parts.injector):
        if part.error is not None:
            raise ChaosError(f"{part.name} failed: {part.error!r}") from part.error


def _wait_for_workers(parts: _Parts, bar: Any) -> None:
    deadline_s = time.monotonic() + _START_S
    bar.set_postfix_str("workers start")
    while not parts.fleet.is_up:
        if time.monotonic() > deadline_s:
            logs = "\n".join(member.log_tail for member in parts.fleet.members)
            raise ChaosError(f"the workers are not ready in {_START_S:g} s; their logs end:\n{logs}")
        time.sleep(_POLL_S)


def _wait_for_end(parts: _Parts, options: RunOptions, bar: Any) -> None:
    """Wait until everything has ended, or nothing more will."""
    # What a dead worker held comes back after one visibility timeout, in the worst case from several workers in turn.
    patience_s = _PATIENCE_S + 4 * options.visibility_timeout_s
    ledger, empty_since_s, done_since_s = parts.ledger, 0.0, 0.0
    with redis.Redis.from_url(parts.server.url, client_name=CLIENT_NAME) as server:
        while all(part.error is None for part in (parts.sender, parts.observer, parts.injector)):
            bar.update(ledger.ended - bar.n)
            now_s = time.monotonic()
            if parts.sender.is_done and parts.injector.is_done:
                bar.set_postfix_str(f"{len(ledger.pending)} to go")
                done_since_s = done_since_s or now_s
                empty_since_s = (empty_since_s or now_s) if _is_empty(server) else 0.0
                if empty_since_s and (not ledger.pending or now_s - empty_since_s > _EMPTY_S):
                    return
            else:
                bar.set_postfix_str(f"{len(parts.injector.kills)} kills, {parts.injector.current}"[:70])
            # Workers that hear nothing any more also end a run: nothing is sent while too much is in flight.
            if ledger.quiet_s > patience_s or (done_since_s and now_s - done_since_s > 2 * patience_s):
                return
            time.sleep(_POLL_S)


def _is_empty(server: redis.Redis) -> bool:
    try:
        return is_empty(server)
    except RedisError:
        return False


def _collect(parts: _Parts, options: RunOptions) -> Evidence:
    """Read what is left once all workers have ended."""
    injector, ledger = parts.injector, parts.ledger
    disturbances = [at_s for at_s, fault in injector.done if fault.kind in _DISTURBANCES]
    with redis.Redis.from_url(parts.server.url, client_name=CLIENT_NAME) as server:
        parts.observer.look_at_dead_letters(server)
        leftovers, leaked_keys = read_leftovers(server), find_leaked_keys(server)
    history = History(parts.fleet.directory, ledger, injector.kills, injector.hits, disturbances)
    return Evidence(
        options,
        ledger,
        history,
        injector.kills,
        [(at_s, fault.describe()) for at_s, fault in injector.done if not fault.kind.is_kill],
        parts.fleet.exits,
        leftovers,
        leaked_keys,
        parts.fleet.zombies,
    )
