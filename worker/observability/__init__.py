"""What a worker reports while it runs: log lines, task events, metrics, and errors and traces for Sentry."""
