"""The check of every preparation: what the engine answers against what the published model answers."""
