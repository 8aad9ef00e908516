"""The HTTP server of a worker: metrics for Prometheus, liveness, readiness, and the number of workers needed.

Everything is measured in the parent, which sees every message, batch and process. What only a pool process can measure
arrives with the results of its batch. So no counts are lost when a process dies, and there are no files to clean up.
"""
