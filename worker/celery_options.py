"""The Celery configuration of a worker, made from the settings.

Comments explain differences from Celery's defaults. Issue numbers refer to celery/celery unless they say otherwise.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from kombu import Exchange, Queue

from config.settings import Settings
from producer.contract import DEFAULT_QUEUE, QueueClass, TaskName, model_queue_name, queue_name
from worker.redis_servers import (
    backend_options,
    backend_transport_options,
    broker_options,
    broker_transport_options,
)

__all__ = ["CONTROL", "EVENTS", "TRANSPORT", "celery_options"]

#: For ``Celery(amqp=...)``: with kombu's Redis transport, a killed worker loses messages that it has popped but not yet
#: recorded.
TRANSPORT = "worker.transport:AMQP"
#: For ``Celery(events=...)``.
EVENTS = "worker.observability.events:Events"
#: For ``Celery(control=...)``: some commands reply when what they have started is done.
CONTROL = "worker.control.late_reply:LateReplyControl"
_QUEUE_ORDER = "worker.intake.queue_order:InteractiveFirst"
_CONNECT_TIMEOUT_S = 5.0
_SOCKET_TIMEOUT_S = 30.0
#: A process that stores results must not wait for a silent server until its batch exceeds a time limit.
_RESULT_SOCKET_TIMEOUT_S = 10.0
_HEALTH_CHECK_S = 10
_RESTORE_INTERVAL_S = 5
_RESTORE_MUTEX_S = 30


def celery_options(settings: Settings, tasks: list[TaskName], models: Sequence[str] = ()) -> dict[str, Any]:
    """Celery's lower-case settings for a worker.

    Args:
        settings: the settings of the worker.
        tasks: the tasks whose queues it consumes.
        models: the models whose queues it consumes.
    """
    return {
        **broker_options(settings.broker),
        **_messages(settings),
        **_queues(tasks, models),
        **_broker(settings),
        **_results(settings),
        **_worker(settings),
    }


def _messages(settings: Settings) -> dict[str, Any]:
    return {
        # Pickle would let senders run code. Messages with another content type are refused with a typed error.
        "accept_content": ["json"],
        "task_serializer": "json",
        "result_serializer": "json",
        "event_serializer": "json",
        # A request is acknowledged when its result is stored, not when it is fetched.
        "task_acks_late": True,
        # A request that kills its process must not be repeated forever (#9082): worker.pool counts the attempts.
        "task_reject_on_worker_lost": False,
        "task_soft_time_limit": settings.time.soft_limit_s,
        "task_time_limit": settings.time.hard_limit_s,
        "task_send_sent_event": False,
        "worker_send_task_events": True,
    }


def _queues(tasks: list[TaskName], models: Sequence[str]) -> dict[str, Any]:
    names = [
        name
        for queue_class in QueueClass
        for name in (
            *(queue_name(task, queue_class) for task in tasks),
            *(model_queue_name(model, queue_class) for model in models),
        )
    ]
    return {
        "task_default_queue": DEFAULT_QUEUE,
        # The same exchange that Celery declares when a stock producer names a queue.
        "task_queues": [Queue(name, Exchange(name, type="direct"), routing_key=name) for name in _with_default(names)],
    }


def _with_default(names: list[str]) -> list[str]:
    return [DEFAULT_QUEUE, *names]


def _broker(settings: Settings) -> dict[str, Any]:
    return {
        "broker_transport_options": {
            "lease_s": settings.time.lease_s,
            # For what workers without leases hold, such as plain Celery's.
            "visibility_timeout": settings.time.visibility_timeout_s,
            # It is looked for every 5 s instead of 100 s (kombu#2558). A worker that dies while restoring blocks the
            # others for 30 s instead of 300 s.
            "unacked_restore_interval": _RESTORE_INTERVAL_S,
            "unacked_restore_throttle": 1,
            "unacked_mutex_expire": _RESTORE_MUTEX_S,
            "queue_order_strategy": _QUEUE_ORDER,
            "socket_keepalive": True,
            "socket_connect_timeout": _CONNECT_TIMEOUT_S,
            # Without a timeout, a command waits forever on a connection that was cut silently.
            "socket_timeout": _SOCKET_TIMEOUT_S,
            "health_check_interval": _HEALTH_CHECK_S,
            "dead_letter_length": settings.dead.max_letters,
            "dead_letter_bytes": settings.dead.max_bytes,
            "dead_letter_ttl": settings.dead.max_age_s,
            "dead_letter_content": settings.dead.content,
            **broker_transport_options(settings.broker),
        },
        # By default Celery gives up after 100 attempts.
        "broker_connection_max_retries": None,
        "broker_connection_retry": True,
        "broker_connection_retry_on_startup": True,
        "broker_channel_error_retry": True,
        # The broker delivers running requests to another worker, which acknowledges them (`SurvivingRequest.cancel`).
        "worker_cancel_long_running_tasks_on_connection_loss": True,
    }


def _results(settings: Settings) -> dict[str, Any]:
    return {
        **backend_options(settings.result_backend),
        "result_expires": settings.time.result_expires_s,
        "result_extended": False,
        # Results survive a restart of the server (#8588), but workers do not wait for it forever.
        "result_backend_always_retry": True,
        "result_backend_max_retries": 20,
        "result_backend_transport_options": {
            "visibility_timeout": settings.time.visibility_timeout_s,
            **backend_transport_options(settings.result_backend),
        },
        "redis_socket_timeout": _RESULT_SOCKET_TIMEOUT_S,
        "redis_socket_connect_timeout": _CONNECT_TIMEOUT_S,
        "redis_retry_on_timeout": True,
        "redis_backend_health_check_interval": _HEALTH_CHECK_S,
        "visibility_timeout": settings.time.visibility_timeout_s,
    }


def _worker(settings: Settings) -> dict[str, Any]:
    return {
        "worker_pool": "worker.pool:TaskPool",
        "worker_consumer": "worker.intake.consumer:Consumer",
        "worker_autoscaler": "worker.scaling.autoscaler:Autoscaler",
        "worker_prefetch_multiplier": settings.limits.held_requests,
        # The default is 4 s, which is less than loading a model takes (#1715).
        "worker_proc_alive_timeout": settings.time.process_start_s,
        # A soft shutdown sleeps in a signal handler: nothing is acknowledged meanwhile. worker.pool bounds a warm one.
        "worker_soft_shutdown_timeout": 0.0,
        # Our code does not print, and output of libraries is better left unchanged.
        "worker_redirect_stdouts": False,
        "worker_hijack_root_logger": True,
    }
