"""The command that has the others. Each is loaded when it is used, so that ``--help`` is quick."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

import click

__all__ = ["COMMANDS", "HELP_OPTIONS", "CommandGroup", "as_command_line"]

#: Each command, where it is, and what the list of commands says of it. What it says in its own help is longer.
COMMANDS: dict[str, tuple[str, str]] = {
    "classify": ("producer.commands.classify", "Classify texts."),
    "zero-shot": ("producer.commands.zero_shot", "Score labels of your own for texts."),
    "ask": ("producer.commands.ask", "Answer a question from a text."),
    "map": ("producer.commands.map", "Answer every line of a file, of any length."),
    "status": ("producer.commands.status", "Say how far requests have come."),
    "cancel": ("producer.commands.cancel", "Have requests dropped that no worker has started."),
}
HELP_OPTIONS = ("-h", "--help")


class CommandGroup(click.Group):
    """A group whose commands are in the modules of :data:`COMMANDS`, each as ``command``."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - of click
        """The names, in the order of the help."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command:
        """Load a command."""
        if cmd_name not in COMMANDS:
            ctx.fail(f"{cmd_name!r} is no command and no file; the commands are {', '.join(COMMANDS)}")
        loaded: click.Command = import_module(COMMANDS[cmd_name][0]).command
        return loaded

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002 - of click
        """List the commands without loading them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, description) for name, (_, description) in COMMANDS.items()])


def as_command_line(arguments: list[str]) -> list[str]:
    """The arguments with a command in front. Without one, they are those of ``map``, as they were before it had a name.

    Args:
        arguments: the command line without the program's name.
    """
    first = arguments[0] if arguments else ""
    is_named = first in COMMANDS or first in HELP_OPTIONS
    # A word that is neither a command nor a file is a command that was misspelt.
    is_word = first.replace("-", "").isalpha() and not first.startswith("-") and not Path(first).exists()
    return arguments if is_named or is_word else ["map", *arguments]
