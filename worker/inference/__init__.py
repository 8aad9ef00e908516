"""Answers the requests of a batch in a pool process: validates them, chooses models, runs pipelines."""
