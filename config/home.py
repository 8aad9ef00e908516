"""A home directory for users that have none: a container that runs under an arbitrary uid, without ``HOME``."""

from __future__ import annotations

import os
from pathlib import Path

__all__ = ["NO_HOME", "ensure_home"]

#: The home of system users (Debian's ``nobody`` among others). It does not exist and nobody may create it.
NO_HOME = Path("/nonexistent")


def ensure_home() -> None:
    """Set ``HOME`` to :data:`NO_HOME` if the user has no home directory. Programs call it first.

    Otherwise ``Path.home`` raises RuntimeError, in libraries too: OpenVINO's telemetry calls it on import (2026.4.1).
    With a home that does not exist it finds no consent and stays off.
    """
    try:
        Path.home()
    except RuntimeError:
        os.environ["HOME"] = str(NO_HOME)
