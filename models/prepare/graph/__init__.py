"""The graph of a prepared model: exported, read as published, written, and what it computes."""
