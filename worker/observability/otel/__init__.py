"""Makes OpenTelemetry's spans of requests and batches, where the operator has set a tracer provider.

Only the API is used; what exports spans is the operator's: ``opentelemetry-instrument``, or an SDK that is set up in
code. Without a provider a worker does nothing here once its first request has shown that there is none.
"""

from worker.observability.otel.connection import connect

__all__ = ["connect"]
