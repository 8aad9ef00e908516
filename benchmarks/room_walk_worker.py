"""The worker of :mod:`benchmarks.room_walk`: it counts the calls that enter each room.

``ROOM_WALK`` names the directory to which each process writes its counts, ten times a second.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from collections import Counter
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

from celery import signals

from worker import app

__all__ = ["RoomCounter", "app"]

_ROOT = Path(__file__).resolve().parents[1]
_PACKAGES = ("worker", "producer", "config", "models")
_INTERVAL_S = 0.1


class RoomCounter:
    """Counts calls from one room into another, in the thread that starts it."""

    def __init__(self, root: Path = _ROOT) -> None:
        self.entered: Counter[str] = Counter()
        self._root = f"{root}{os.sep}"
        self._rooms: dict[CodeType, str | None] = {}

    def start(self) -> None:
        """Count from now on."""
        sys.setprofile(self._on_event)

    def stop(self) -> None:
        """Count no more."""
        sys.setprofile(None)

    def _on_event(self, frame: FrameType, event: str, _: Any) -> None:
        if event != "call" or frame.f_back is None:
            return
        room = self._room_of(frame.f_code)
        if room is not None and room != self._room_of(frame.f_back.f_code):
            self.entered[room] += 1

    def _room_of(self, code: CodeType) -> str | None:
        if code not in self._rooms:
            self._rooms[code] = self._find_room(code.co_filename)
        return self._rooms[code]

    def _find_room(self, path: str) -> str | None:
        if not path.startswith(self._root):
            return None
        parts = Path(path[len(self._root) :]).with_suffix("").parts
        return "/".join(parts[:2]) if parts[0] in _PACKAGES else None


def _count(kind: str) -> None:
    counter = RoomCounter()
    target = Path(os.environ["ROOM_WALK"]) / f"{kind}-{os.getpid()}.json"

    def write() -> None:
        while True:
            time.sleep(_INTERVAL_S)
            target.with_suffix(".new").write_text(json.dumps(counter.entered.copy()), encoding="utf-8")
            target.with_suffix(".new").rename(target)

    threading.Thread(target=write, name="room-walk", daemon=True).start()
    counter.start()


@signals.worker_ready.connect(weak=False)
def _on_worker_ready(**_: object) -> None:
    _count("parent")


@signals.worker_process_init.connect(weak=False)
def _on_process_init(**_: object) -> None:
    _count("process")
