"""How many processes the work needs: what waits in the queues and in the worker, and the rule that decides."""
