"""From a model's name to its results; independent of Celery and Redis.

Nothing is imported here: a worker's parent process verifies models without loading OpenVINO.
"""
