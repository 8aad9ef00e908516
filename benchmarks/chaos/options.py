"""What a run does."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

__all__ = ["Contestant", "Mode", "RunOptions"]


class Contestant(Enum):
    """Whose pool, transport and result backend the workers use."""

    CELERIAC = "celeriac"
    STOCK = "stock"


class Mode(Enum):
    """Which app the workers run."""

    #: A plain Celery app with tasks that only wait a moment.
    NOOP = "noop"
    #: The worker's own app: its checks of messages, its models, and the same tasks beside its own.
    REAL = "real"


@dataclass(frozen=True)
class RunOptions:
    """What one run does.

    Attributes:
        messages: how many ids the ledger has.
        kills: how many SIGKILLs there are, those of whole workers among them.
        worker_kills: how many of them hit whole workers.
        seconds: how long messages are sent and faults are injected.
        seed: what the messages and the faults follow from.
        mode: which app the workers run.
        workers: how many there are.
        processes: pool processes of each.
        in_flight: most messages that are sent and not answered.
        visibility_timeout_s: after which a dead worker's messages are delivered again.
        at_steps: whether processes kill themselves at named steps, instead of being killed at any moment.
        text_share: share of sentiment requests in real mode.
        other_faults: whether there are stops, drains, restarts, pauses and cuts beside the kills.
        result_expires_s: after which results are gone.
        canvas: whether there are chords, retries, ETAs and poison among the messages.
        is_timed: whether the verdict depends on how long recovery takes.
    """

    messages: int
    kills: int
    worker_kills: int
    seconds: float
    seed: int
    mode: Mode = Mode.NOOP
    workers: int = 4
    processes: int = 2
    in_flight: int = 1000
    visibility_timeout_s: float = 10.0
    at_steps: bool = False
    text_share: float = 0.2
    other_faults: bool = True
    result_expires_s: int = 900
    canvas: bool = True
    is_timed: bool = True

    @property
    def rate(self) -> float:
        """Messages a second."""
        return self.messages / self.seconds

    @property
    def work_s(self) -> float:
        """How long a message is worked on: processes are busy a fifth of the time, since many of them are missing."""
        return min(0.1, 0.2 * self.workers * self.processes / self.rate)
