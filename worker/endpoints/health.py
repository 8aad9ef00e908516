"""Decides whether a worker is alive and whether it is ready. No I/O happens here."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["BEAT_LATE_S", "DeafWatch", "Vitals", "why_not_alive", "why_not_ready"]

#: The event loop beats once a second. A worker whose loop is busy for less than this still counts as ready.
BEAT_LATE_S = 5.0


@dataclass(frozen=True)
class Vitals:
    """The vital signs of a worker at one moment.

    Attributes:
        is_stopping: whether it is shutting down.
        is_connected: whether it has a broker connection to consume on; without one its event loop does not run.
        beat_ago_s: seconds since the last beat of its event loop.
        processes_ready: number of processes that have loaded their models.
        broker_answers: whether the queues could be read recently.
        deaf_for_s: how long it has fetched nothing although it should; None if it is not deaf.
        storing_problem: why results cannot be stored; None if they can.
    """

    is_stopping: bool
    is_connected: bool
    beat_ago_s: float
    processes_ready: int
    broker_answers: bool
    deaf_for_s: float | None
    storing_problem: str | None = None


def why_not_alive(vitals: Vitals, hung_s: float) -> list[str]:
    """The reasons to kill the worker; empty if it is alive.

    A lost broker is not a reason, since a restarted worker would not find it either.

    Args:
        vitals: the vital signs of the worker.
        hung_s: how long the event loop may be blocked, in seconds. After that, the requests that the worker holds have
            been delivered to other workers.
    """
    is_waiting = vitals.is_stopping or not vitals.is_connected
    if is_waiting or vitals.beat_ago_s < hung_s:
        return []
    return [f"the event loop has been blocked for {vitals.beat_ago_s:.0f} s"]


def why_not_ready(vitals: Vitals) -> list[str]:
    """The reasons why the worker is not ready; empty if it is."""
    if vitals.is_stopping:
        return ["the worker is shutting down"]
    reasons = []
    if not vitals.is_connected:
        reasons.append("there is no connection to the broker")
    else:
        if vitals.beat_ago_s > BEAT_LATE_S:
            reasons.append(f"the event loop has been blocked for {vitals.beat_ago_s:.0f} s")
        if not vitals.broker_answers:
            reasons.append("the broker does not answer")
    if not vitals.processes_ready:
        reasons.append("no process has loaded its models")
    if vitals.storing_problem is not None:
        reasons.append(f"results cannot be stored: {vitals.storing_problem}")
    if vitals.deaf_for_s is not None:
        reasons.append(f"requests are waiting, but none was fetched for {vitals.deaf_for_s:.0f} s")
    return reasons


class DeafWatch:
    """Detects a worker that is alive and answers ``inspect ping`` but fetches no messages (celery/celery#8030).

    Args:
        deaf_s: how long a worker may fetch nothing while messages wait, in seconds.
    """

    def __init__(self, deaf_s: float) -> None:
        self._deaf_s = deaf_s
        self._fetched = -1
        self._silent_since_s: float | None = None

    def update(self, now_s: float, *, fetched: int, waiting: int, may_fetch: bool) -> float | None:
        """Add an observation.

        Args:
            now_s: the time on a monotonic clock, in seconds.
            fetched: a count that changes with every fetched message.
            waiting: number of messages in the queues that the worker consumes.
            may_fetch: whether the worker has room for a message.

        Returns:
            How long the worker has been deaf, in seconds; None if it is not.
        """
        if fetched != self._fetched or not waiting or not may_fetch:
            self._fetched, self._silent_since_s = fetched, None
            return None
        if self._silent_since_s is None:
            self._silent_since_s = now_s
        silent_s = now_s - self._silent_since_s
        return silent_s if silent_s >= self._deaf_s else None
