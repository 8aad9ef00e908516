"""The targets of the scaling rule."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from config.groups import ScaleSettings

__all__ = ["ScalingTargets"]


@dataclass(frozen=True)
class ScalingTargets:
    """The targets of the rule. The defaults are those of the settings.

    Attributes:
        drain_s: time in which a backlog is to be worked off, in seconds.
        utilization: share of time that processes are to be busy, from 0 to 1. The rest absorbs fluctuations.
        cooldown_s: a process is stopped when it has not been needed for this long, in seconds.
    """

    drain_s: float = ScaleSettings().drain_s
    utilization: float = ScaleSettings().utilization
    cooldown_s: float = ScaleSettings().cooldown_s

    @classmethod
    def from_settings(cls, scale: ScaleSettings) -> Self:
        """The targets of the settings."""
        return cls(scale.drain_s, scale.utilization, scale.cooldown_s)
