"""Reports errors and traces to Sentry, without the text of requests. Without a DSN the SDK is not loaded.

Sentry's Celery integration starts a transaction, forks two scopes and opens a connection for every request, sampled or
not, and starts only when the answers of a batch are known. So requests are traced here, with Sentry's SDK.
"""

from worker.observability.sentry.client import connect, flush

__all__ = ["connect", "flush"]
