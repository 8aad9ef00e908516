"""What a worker writes as things happen: log lines, task events, counts, and reports to Sentry."""
