"""Remote control of a worker: the commands that we add to Celery's."""
