"""The subcommands of ``python -m worker``: their arguments, what they do, what they print. They start no Celery."""
