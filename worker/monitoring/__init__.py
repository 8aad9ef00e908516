"""What a worker tells over HTTP: metrics for Prometheus, whether it lives and serves, how many workers are needed.

Everything is measured in the parent, which sees every message, batch and process; what only a pool process knows comes
with the results of its batch. So a process that dies takes no counts with it, and there are no files to clean up.
"""
