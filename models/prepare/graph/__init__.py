"""The graph of a prepared model: exporting it, reading a published one, writing it, counting its operations."""
