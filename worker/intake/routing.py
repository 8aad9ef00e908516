"""Decides which requests this worker answers, and to which queue it moves the others."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeGuard

from kombu.message import Message

from producer.contract import MAX_MODEL_NAME_CHARACTERS, TaskName, class_of_queue, model_queue_name, queue_name
from worker.inference.arguments import named_model
from worker.inference.served_models import ServedModels
from worker.intake.message_checks import is_text

__all__ = ["queue_elsewhere"]


def queue_elsewhere(message: Message, served: ServedModels, is_known: Callable[[TaskName, str], bool]) -> str | None:
    """The queue of the workers that can answer a message; None if it stays with this worker.

    Args:
        message: a message that has passed the checks.
        served: the models of this worker.
        is_known: returns whether any worker serves a model for a task.
    """
    try:
        task = TaskName(message.headers["task"])
    except ValueError:
        return None
    args, kwargs, _ = message.payload
    model = named_model(task, args, kwargs)
    if task not in served.tasks or not _is_possible_name(model) or served.has(task, model):
        return None
    came_from = message.delivery_info.get("routing_key")
    queue_class = class_of_queue(came_from)
    queue = queue_name(task, queue_class) if model is None else model_queue_name(model, queue_class)
    # With -Q a worker may consume this queue itself, and must not move the message to itself.
    if queue == came_from or (model is not None and not is_known(task, model)):
        return None
    return queue


def _is_possible_name(model: object) -> TypeGuard[str | None]:
    # No key in Redis holds half a character.
    return model is None or (is_text(model) and len(model) <= MAX_MODEL_NAME_CHARACTERS)
