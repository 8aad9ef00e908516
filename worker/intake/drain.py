"""A worker that stops gives back what waits at once, while what runs is finished."""

from __future__ import annotations

import logging

from celery.worker.consumer import Consumer

from worker.pool import TaskPool
from worker.pool.celery_adapter import run_ready_acks
from worker.transport.channel import Channel

__all__ = ["give_back"]

logger = logging.getLogger(__name__)


def give_back(consumer: Consumer) -> None:
    """Put back all messages that no process has, for other workers to take while this one finishes.

    Celery puts them back when the last process has ended. What cannot be put back now is put back then.
    """
    channel = getattr(consumer.task_consumer, "channel", None)
    if not isinstance(consumer.pool, TaskPool) or not isinstance(channel, Channel) or channel.is_closed:
        return
    # What has ended is acknowledged first, or it would be done again.
    run_ready_acks(consumer.hub)
    kept = {request.message.delivery_tag for request in consumer.pool.in_hand}
    try:
        count = channel.give_back(kept)
    except (*consumer.connection_errors, *consumer.channel_errors):
        logger.debug("what waits could not be given back yet", exc_info=True)
        return
    if count or kept:
        logger.info("gave back %d requests that waited; processes have %d", count, len(kept))
