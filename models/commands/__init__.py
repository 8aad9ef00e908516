"""The subcommands of ``python -m models``, one module each: their arguments, what they do, what they print."""
