"""The subcommands of ``python -m models``, one a file: what it is asked, what it does, what it prints."""
