"""Warns when another worker has the same node name.

Celery does not check this. Its remote control collects replies in a dictionary by node name, so one of two replies is
lost; a list of replies shows both. A worker that was killed does not answer, so its successor causes no false alarm.
"""

from __future__ import annotations

import logging
import threading
from typing import Any

from celery import Celery, bootsteps
from celery.worker.consumer import Consumer
from celery.worker.consumer.control import Control
from kombu.exceptions import KombuError
from redis.exceptions import RedisError

__all__ = ["NamesakeCheck"]

logger = logging.getLogger(__name__)

#: Kombu subscribes to broadcasts in the first iteration of the event loop, after the worker has reported that it is
#: ready.
_DELAY_S = 1.0
#: How long a busy event loop may take to reply.
_REPLY_TIMEOUT_S = 10.0
#: The worker's own reply, and that of a namesake.
_REPLIES_OF_TWO = 2


class NamesakeCheck(bootsteps.StartStopStep):
    """Consumer step: checks once, when the worker first consumes.

    The check runs in a thread, since the event loop has to answer it.
    """

    requires = (Control,)

    def __init__(self, consumer: Consumer, **options: Any) -> None:
        self._is_due = bool(consumer.app.conf.worker_enable_remote_control)
        super().__init__(consumer, **options)

    def start(self, consumer: Consumer) -> None:
        """Schedule the check, unless it has been done."""
        if self._is_due:
            self._is_due = False
            check = threading.Thread(
                target=_warn_of_namesake, args=(consumer.app, consumer.hostname), name="celeriac-namesake", daemon=True
            )
            consumer.timer.call_after(_DELAY_S, check.start)


def _warn_of_namesake(app: Celery, node: str) -> None:
    try:
        with app.connection_for_write() as connection:
            replies = app.control.broadcast(
                "ping",
                destination=[node],
                connection=connection,
                reply=True,
                timeout=_REPLY_TIMEOUT_S,
                limit=_REPLIES_OF_TWO,
            )
    except (RedisError, KombuError, OSError):
        # The worker can serve without the answer, and the next worker to start checks as well.
        logger.debug("could not ask for workers with this one's name", exc_info=True)
        return
    if len(replies or ()) < _REPLIES_OF_TWO:
        logger.debug("no other worker is called %s", node)
        return
    logger.warning(
        "another worker is called %s too: inspect, control and Flower cannot tell them apart, and a command for one "
        "reaches both. Both still answer requests. Give each worker its own name, for example -n worker2@%%h",
        node,
    )
