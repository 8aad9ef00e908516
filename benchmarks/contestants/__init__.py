"""The contestants by name, in the order of the report."""

from __future__ import annotations

from benchmarks.contestants.base import Contestant
from benchmarks.contestants.bound import Bound
from benchmarks.contestants.http import HttpPeer
from benchmarks.contestants.queue import CeleriacBulk, CeleriacSingle, CeleryOptimum, CeleryTransformers

__all__ = ["CONTESTANTS"]

CONTESTANTS: dict[str, type[Contestant]] = {
    kind.name: kind for kind in (Bound, CeleriacSingle, CeleriacBulk, CeleryTransformers, CeleryOptimum, HttpPeer)
}
