"""``python -m producer.contract``: writes the contract as documents for programs in other languages.

Exit status: 0, or 1 if --check finds a file that differs, 2 for a usage error.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import click

from producer.contract.documents.asyncapi import asyncapi
from producer.contract.documents.json_schema import JsonSchema, json_schema
from producer.contract.documents.tables import contract_tables, with_tables

__all__ = ["main"]

_DOCUMENTS: dict[str, Callable[[], JsonSchema]] = {"schema": json_schema, "asyncapi": asyncapi}
#: Where a checkout keeps them.
_FILES = {"schema": "contract/schema.json", "asyncapi": "contract/asyncapi.json"}
_PAGE = "contract.md"


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """Write the contract for programs in other languages: JSON Schema, AsyncAPI, and the tables of its page."""


@main.command("schema")
def _schema() -> None:
    """Print the JSON Schema (draft 2020-12) of requests, messages and results."""
    click.echo(_text("schema"), nl=False)


@main.command("asyncapi")
def _asyncapi() -> None:
    """Print the AsyncAPI 3.0 document of queues and results."""
    click.echo(_text("asyncapi"), nl=False)


@main.command("tables")
def _tables() -> None:
    """Print tasks, parameters and error codes as Markdown."""
    click.echo(contract_tables(), nl=False)


@main.command("write")
@click.argument("directory", type=click.Path(exists=True, file_okay=False, path_type=Path), default="docs")
@click.option("--check", is_flag=True, help="Write nothing; exit with 1 if a file is not up to date.")
def _write(*, directory: Path, check: bool) -> None:
    """Bring the files of a checkout up to date: contract/schema.json, contract/asyncapi.json, contract.md."""
    page = directory / _PAGE
    try:
        wanted = {directory / file: _text(name) for name, file in _FILES.items()}
        wanted[page] = with_tables(page.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise click.UsageError(f"{page}: {error}; name the directory `docs` of a checkout") from None
    stale = [path for path, text in wanted.items() if not path.exists() or path.read_text(encoding="utf-8") != text]
    for path in stale:
        if check:
            click.echo(f"{path} is not up to date; run python -m producer.contract write", err=True)
            continue
        path.parent.mkdir(exist_ok=True)
        path.write_text(wanted[path], encoding="utf-8")
        click.echo(f"wrote {path}")
    if check and stale:
        sys.exit(1)


def _text(name: str) -> str:
    return json.dumps(_DOCUMENTS[name](), indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    main()
