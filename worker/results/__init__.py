"""Results in Redis: those of a batch are stored in one step that leaves successes alone."""
