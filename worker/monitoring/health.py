"""Whether a worker lives, and whether it serves: the decisions alone."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["BEAT_LATE_S", "DeafWatch", "Vitals", "why_not_alive", "why_not_ready"]

#: The event loop beats once a second; for so long it may be busy with something else and still serves.
BEAT_LATE_S = 5.0


@dataclass(frozen=True)
class Vitals:
    """What is known of a worker at one moment.

    Attributes:
        is_stopping: whether it shuts down.
        is_connected: whether it has a connection to the broker that it consumes on; without one its loop stands still.
        beat_ago_s: when its event loop last turned, in seconds before now.
        processes_ready: processes that have loaded their models.
        broker_answers: whether the queues could be looked at lately.
        deaf_for_s: for how long it has fetched nothing although it should; None if it is not deaf.
    """

    is_stopping: bool
    is_connected: bool
    beat_ago_s: float
    processes_ready: int
    broker_answers: bool
    deaf_for_s: float | None


def why_not_alive(vitals: Vitals, hung_s: float) -> list[str]:
    """Why the worker shall be killed; nothing if it lives.

    That the broker is gone is no reason: a worker that starts again would not find it either.

    Args:
        vitals: what is known.
        hung_s: after so long what the worker holds is another's, in seconds.
    """
    is_waiting = vitals.is_stopping or not vitals.is_connected
    if is_waiting or vitals.beat_ago_s < hung_s:
        return []
    return [f"the event loop has not turned for {vitals.beat_ago_s:.0f} s"]


def why_not_ready(vitals: Vitals) -> list[str]:
    """Why the worker does not serve; nothing if it does."""
    if vitals.is_stopping:
        return ["the worker is shutting down"]
    reasons = []
    if not vitals.is_connected:
        reasons.append("there is no connection to the broker")
    else:
        if vitals.beat_ago_s > BEAT_LATE_S:
            reasons.append(f"the event loop has not turned for {vitals.beat_ago_s:.0f} s")
        if not vitals.broker_answers:
            reasons.append("the broker does not answer")
    if not vitals.processes_ready:
        reasons.append("no process has loaded its models")
    if vitals.deaf_for_s is not None:
        reasons.append(f"requests wait and none was fetched for {vitals.deaf_for_s:.0f} s, although there is room")
    return reasons


class DeafWatch:
    """Finds the worker that lives, answers ``inspect ping``, and takes no message (celery/celery#8030 and others).

    Args:
        deaf_s: for how long nothing may be fetched while messages wait, in seconds.
    """

    def __init__(self, deaf_s: float) -> None:
        self._deaf_s = deaf_s
        self._fetched = -1
        self._silent_since_s: float | None = None

    def update(self, now_s: float, *, fetched: int, waiting: int, may_fetch: bool) -> float | None:
        """Take in what is seen.

        Args:
            now_s: a clock that does not go back, in seconds.
            fetched: changes with each message that was fetched.
            waiting: messages in the queues that are consumed.
            may_fetch: whether there is room for a message.

        Returns:
            For how long the worker has been deaf, in seconds; None if it is not.
        """
        if fetched != self._fetched or not waiting or not may_fetch:
            self._fetched, self._silent_since_s = fetched, None
            return None
        if self._silent_since_s is None:
            self._silent_since_s = now_s
        silent_s = now_s - self._silent_since_s
        return silent_s if silent_s >= self._deaf_s else None
