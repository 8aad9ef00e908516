"""Errors and traces of requests to Sentry, without their texts; nothing of it is loaded without a DSN.

Sentry's own Celery integration starts a transaction, forks two scopes and opens a connection for every request, sampled
or not, and begins when the answers of a batch are already there. So requests are traced here, with its SDK.
"""

from worker.observability.sentry.client import connect, flush

__all__ = ["connect", "flush"]
