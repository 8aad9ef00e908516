"""What there is to do for a worker: what waits in its queues, what it holds, what arrives, and who shares it."""
