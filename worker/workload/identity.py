"""Identifies a worker in Redis, uniquely for each start of each worker.

The node name is not unique: without ``-n``, all workers on a host are named ``celery@host``.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import Self

__all__ = ["WorkerIdentity"]

_START_BYTES = 6


@dataclass(frozen=True)
class WorkerIdentity:
    """One start of one worker.

    Attributes:
        node: the worker's node name, which other workers may share.
        start: a random part, different for each start.
    """

    node: str
    start: str

    @classmethod
    def of_new_start(cls, node: str) -> Self:
        """The identity of a worker that starts now."""
        return cls(node, secrets.token_hex(_START_BYTES))

    def __str__(self) -> str:
        """The text in Redis keys and set members. Older versions wrote only the node name."""
        return f"{self.node}#{self.start}"
