"""A home directory where this user has none: a container that runs under an arbitrary uid, without ``HOME``."""

from __future__ import annotations

import os
from pathlib import Path

__all__ = ["NO_HOME", "name_home"]

#: What system users are given for a home (Debian's ``nobody`` among others). Nothing is there, and nobody may make it.
NO_HOME = Path("/nonexistent")


def name_home() -> None:
    """Set ``HOME`` to :data:`NO_HOME` where there is no home directory at all; a program calls it first.

    ``Path.home`` raises RuntimeError there, in libraries too: OpenVINO's telemetry calls it when it is imported
    (2026.4.1), and finds with this that it has no consent.
    """
    try:
        Path.home()
    except RuntimeError:
        os.environ["HOME"] = str(NO_HOME)
