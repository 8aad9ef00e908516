"""How much the pipe to a process holds."""

from __future__ import annotations

import fcntl

__all__ = ["PIPE_BYTES", "widen"]

#: What the pipe to a process should hold: a batch with its headers, and more. Linux's default is 64 KiB.
PIPE_BYTES = 256 * 1024
#: What a pipe holds on systems that do not tell (macOS).
_SMALL_PIPE_BYTES = 16 * 1024


def widen(fd: int) -> int:
    """Make a pipe hold :data:`PIPE_BYTES` if the system allows it.

    Returns:
        How much the pipe holds, in bytes.
    """
    set_size = getattr(fcntl, "F_SETPIPE_SZ", None)
    if set_size is None:
        return _SMALL_PIPE_BYTES
    try:
        return fcntl.fcntl(fd, set_size, PIPE_BYTES)
    except OSError:
        # This user's pipes already have the total size that they may have.
        return fcntl.fcntl(fd, fcntl.F_GETPIPE_SZ)
