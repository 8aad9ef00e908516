"""The worker's app, each of whose requests leaks memory in its process."""

from __future__ import annotations

from celery import signals

from worker import app

__all__ = ["LEAK_BYTES", "app"]

LEAK_BYTES = 16 * 1024 * 1024


def connect() -> None:
    leaked: list[bytes] = []

    @signals.task_prerun.connect(weak=False)
    def leak(**_: object) -> None:
        leaked.append(b"x" * LEAK_BYTES)


connect()
