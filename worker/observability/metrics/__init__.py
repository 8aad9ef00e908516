"""What the event loop counts of requests and batches."""
