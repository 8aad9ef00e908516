"""Finds out whether another worker has this one's node name, and says in the log what that costs.

Celery checks nothing of the kind: its remote control puts replies into a dictionary by node name, where one of two
stays. A list of replies shows both. A worker that was killed answers nothing, so that its successor finds nobody.
"""

from __future__ import annotations

import logging
import threading
from typing import Any

from celery import bootsteps
from celery.worker.consumer.control import Control
from kombu.exceptions import KombuError
from redis.exceptions import RedisError

__all__ = ["NamesakeCheck"]

logger = logging.getLogger(__name__)

#: kombu subscribes to broadcasts in the first turn of the event loop, after the worker has said that it is ready.
_AFTER_S = 1.0
#: How long a busy event loop may take to answer.
_REPLY_S = 10.0
#: Its own reply, and one that should not be there.
_ENOUGH_REPLIES = 2


class NamesakeCheck(bootsteps.StartStopStep):
    """Consumer step: looks once, when the worker first consumes, in a thread, since the loop has to reply itself."""

    requires = (Control,)

    def __init__(self, consumer: Any, **options: Any) -> None:
        self._is_due = bool(consumer.app.conf.worker_enable_remote_control)
        super().__init__(consumer, **options)

    def start(self, consumer: Any) -> None:
        """Look in a moment."""
        if self._is_due:
            self._is_due = False
            look = threading.Thread(
                target=_look, args=(consumer.app, consumer.hostname), name="celeriac-namesake", daemon=True
            )
            consumer.timer.call_after(_AFTER_S, look.start)


def _look(app: Any, node: str) -> None:
    try:
        with app.connection_for_write() as connection:
            replies = app.control.broadcast(
                "ping",
                destination=[node],
                connection=connection,
                reply=True,
                timeout=_REPLY_S,
                limit=_ENOUGH_REPLIES,
            )
    except (RedisError, KombuError, OSError):
        # Whoever comes next looks too; a worker serves without knowing this.
        logger.debug("could not ask for workers with this one's name", exc_info=True)
        return
    if len(replies or ()) < _ENOUGH_REPLIES:
        logger.debug("no other worker is called %s", node)
        return
    logger.warning(
        "another worker is called %s too: inspect, control and Flower cannot tell them apart, and a command for one "
        "reaches both. Both serve all the same. Give each a name of its own, such as -n worker2@%%h",
        node,
    )
