"""What a worker reports while it runs: log lines, task events, metrics, errors and traces for Sentry, and spans."""
