"""Results in Redis: those of a batch are stored together, without overwriting successes."""
