"""From a model's name to answers; knows nothing of Celery or Redis.

Nothing is imported here: a worker's parent process verifies models without loading OpenVINO.
"""
