"""A pool process heeds SIGTERM from its parent, and not from whoever signals all processes of a worker.

systemd (``KillMode=control-group``, its default), a process group and some container runtimes send SIGTERM to every
process of a worker. One that ended then would drop its batch, and be taken for a process that died. The parent gets the
signal too, and ends the process when its batch is done.
"""

from __future__ import annotations

import logging
import os
import signal
import threading
import time
from collections.abc import Callable, Collection
from types import FrameType

__all__ = ["heed_parent_only", "initialize"]

logger = logging.getLogger(__name__)

#: How often the main thread is woken until it heeds a SIGTERM, in seconds.
_REPEAT_S = 0.2
#: What wakes the main thread when the parent has sent SIGTERM. Neither billiard nor Celery uses it.
_WAKE_UP: signal.Signals | int | None = getattr(signal, "SIGRTMIN", None)


def initialize(initializer: Callable[..., object] | None, *arguments: object) -> None:
    """Run billiard's initializer of a new process, protected from the first moment on."""
    heed_parent_only()
    if initializer is not None:
        initializer(*arguments)


def heed_parent_only() -> None:
    """From now on ignore SIGTERM unless this process or its parent sends it; before any other thread starts.

    Does nothing on systems that do not tell who has sent a signal (macOS).
    """
    if _WAKE_UP is None or not hasattr(signal, "sigwaitinfo"):
        return
    # Threads that start later inherit the mask. Handlers that are set later stay as they are.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    order = _Order()
    signal.signal(_WAKE_UP, order.call_handler)
    senders = frozenset({os.getpid(), os.getppid()})
    threading.Thread(target=_watch, args=(senders, _WAKE_UP, order), name="sigterm", daemon=True).start()


class _Order:
    """Whether the main thread has heeded the last SIGTERM."""

    is_heeded = True

    def call_handler(self, _: int, frame: FrameType | None) -> None:
        """Call the handler of SIGTERM, in the main thread."""
        self.is_heeded = True
        handler = signal.getsignal(signal.SIGTERM)
        if callable(handler):
            handler(signal.SIGTERM, frame)


def _watch(senders: Collection[int], wake_up: int, order: _Order) -> None:
    main = threading.main_thread().ident
    while True:
        sender = signal.sigwaitinfo({signal.SIGTERM}).si_pid
        if sender not in senders:
            logger.info("this process ignores the SIGTERM of process %d: its parent ends it", sender)
        elif signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
            signal.raise_signal(signal.SIGTERM)
        elif main is not None:
            order.is_heeded = False
            while not order.is_heeded:
                # Interrupts a call that waits, which a flag would not. One that begins just then is interrupted only by
                # the next: Python has looked for signals before it, and looks again after it.
                signal.pthread_kill(main, wake_up)
                time.sleep(_REPEAT_S)
