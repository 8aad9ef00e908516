"""The workload of a worker: requests in its queues, requests that it holds, arrivals, and the workers that share it."""
