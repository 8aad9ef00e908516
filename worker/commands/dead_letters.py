"""``dead-letters``: list, show, replay and drop the messages that no worker could use."""

from __future__ import annotations

import argparse
import base64
import json
import sys
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from itertools import islice
from typing import Any

import redis

from config import Settings
from worker.commands.errors import CommandError
from worker.commands.letter_output import as_json, detail_lines, table_lines, totals_line
from worker.commands.letter_selection import Selection, add_selection, letter_id
from worker.transport.dead_envelope import renewed
from worker.transport.dead_letters import UNBOUNDED, DeadLetters, Letter
from worker.transport.keys import Keys

__all__ = ["add_dead_letters"]

_TIMEOUT_S = 30.0
_LISTED = 50
_BAR_AFTER_S = 2.0
Letters = Callable[[argparse.Namespace, DeadLetters], int]


def add_dead_letters(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the subcommand and its own subcommands."""
    parser = commands.add_parser(
        "dead-letters",
        help="list, show, replay and drop the messages that no worker could use",
        description="Messages that no worker could use. docs/operations.md says what to do about them.",
    )
    actions = parser.add_subparsers(required=True, metavar="ACTION")
    _add(actions, "list", _list, "list dead letters, the newest first").add_argument(
        "--limit", type=_count, metavar="N", help=f"list at most so many; {_LISTED} by default, with --json all"
    )
    show = actions.add_parser("show", help="show all that is known about one dead letter")
    show.add_argument("letter", type=letter_id, metavar="LETTER", help="its id in `list`")
    show.add_argument(
        "--envelope",
        action="store_true",
        help="write the message itself, byte for byte; with --json, add it in base64. It contains its sender's text",
    )
    _finish(show, _show)
    replay = _add(actions, "replay", _replay, "put messages back on their queues, the oldest first, to be tried anew")
    _add_bulk(replay, "put back")
    drop = _add(actions, "drop", _drop, "delete dead letters, which cannot be undone")
    _add_bulk(drop, "deleted")
    drop.add_argument("--yes", action="store_true", help="do not ask for confirmation")


def _add(actions: Any, name: str, run: Letters, description: str) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = actions.add_parser(name, help=description, description=description.capitalize())
    add_selection(parser)
    _finish(parser, run)
    return parser


def _add_bulk(parser: argparse.ArgumentParser, done: str) -> None:
    parser.add_argument("--all", action="store_true", help="all dead letters; needed if nothing else selects any")
    parser.add_argument("--dry-run", action="store_true", help=f"only print what would be {done}")


def _finish(parser: argparse.ArgumentParser, run: Letters) -> None:
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument(
        "--key-prefix", default="", metavar="PREFIX", help="kombu's global_keyprefix, if an app of your own sets it"
    )

    def connect_and_run(options: argparse.Namespace, settings: Settings) -> int:
        with redis.Redis.from_url(
            settings.broker.url, socket_timeout=_TIMEOUT_S, socket_connect_timeout=_TIMEOUT_S
        ) as client:
            return run(options, DeadLetters(client, Keys.of_prefix(options.key_prefix), UNBOUNDED))

    parser.set_defaults(run=connect_and_run)


def _count(text: str) -> int:
    if not (text.isascii() and text.isdigit()):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of letters")
    return int(text)


def _list(options: argparse.Namespace, letters: DeadLetters) -> int:
    selection = Selection.of(options)
    totals = letters.totals()
    selected = selection.pick(letters.newest_first(), letters.now_s())
    limit = options.limit if options.limit is not None else None if options.json else _LISTED
    shown = list(islice(selected, limit))
    is_more = next(selected, None) is not None
    if limit is None or not is_more:
        selection.check_found(shown)
    if options.json:
        print(json.dumps([as_json(letter) for letter in shown], indent=2))
        return 0
    if shown:
        print("\n".join(table_lines(shown)))
    print(
        totals_line(totals) + (f"; the newest {limit} are listed: --limit lists more" if is_more else ""),
        file=sys.stderr,
    )
    return 0


def _show(options: argparse.Namespace, letters: DeadLetters) -> int:
    selection = Selection(letter_ids=(options.letter,))
    found = list(selection.pick(letters.newest_first(), letters.now_s()))
    selection.check_found(found)
    (letter,) = found
    envelope = letters.envelope(letter.letter_id) if options.envelope else None
    if options.envelope and envelope is None:
        raise CommandError(
            "the message of this dead letter is not kept: it is too large, or CELERIAC_DEAD_CONTENT is off"
        )
    if options.json:
        more = {} if envelope is None else {"envelope_base64": base64.b64encode(envelope).decode()}
        print(json.dumps(as_json(letter) | more, indent=2))
    elif envelope is not None:
        sys.stdout.buffer.write(envelope)
        sys.stdout.buffer.flush()
    else:
        print("\n".join(detail_lines(letter)))
    return 0


def _replay(options: argparse.Namespace, letters: DeadLetters) -> int:
    selected = _select(options, letters)
    possible = [letter for letter in selected if letter.can_be_replayed]
    done = 0
    if not options.dry_run:
        with _progress(possible, "replay") as bar:
            for letter in bar:
                envelope = letters.envelope(letter.letter_id)
                done += envelope is not None and letters.replay(letter.letter_id, renewed(envelope))
    impossible = len(selected) - len(possible)
    _report(options, "replayed", selected, len(possible) if options.dry_run else done, impossible=impossible)
    if impossible:
        print(f"{impossible} cannot be replayed: the message or its queue is not known", file=sys.stderr)
    return 1 if impossible else 0


def _drop(options: argparse.Namespace, letters: DeadLetters) -> int:
    selected = _select(options, letters)
    done = len(selected)
    if not options.dry_run:
        if selected and not options.yes:
            _confirm(f"delete {len(selected)} dead letters for good?")
        with _progress(selected, "drop") as bar:
            done = sum(letters.drop(letter.letter_id) for letter in bar)
    _report(options, "dropped", selected, done)
    return 0


def _select(options: argparse.Namespace, letters: DeadLetters) -> list[Letter]:
    """The selected letters, the oldest first. What is buried from now on is not among them."""
    selection = Selection.of(options)
    if selection.is_everything != options.all:
        problem = "say which dead letters, or --all" if not options.all else "--all and conditions exclude each other"
        raise CommandError(f"{problem}. `python -m worker dead-letters list` takes the same conditions", status=2)
    found = list(selection.pick(letters.newest_first(), letters.now_s()))
    selection.check_found(found)
    return found[::-1]


def _report(
    options: argparse.Namespace, verb: str, selected: Sequence[Letter], done: int, *, impossible: int = 0
) -> None:
    if options.json:
        gone = len(selected) - done - impossible
        numbers = {"selected": len(selected), verb: done, "impossible": impossible, "gone": gone}
        print(json.dumps(numbers | {"dry_run": options.dry_run}))
        return
    if options.dry_run and selected:
        print("\n".join(table_lines(selected)))
    print(f"{'would have ' if options.dry_run else ''}{verb} {done} of {len(selected)} selected dead letters")


def _progress(letters: Sequence[Letter], verb: str) -> AbstractContextManager[Iterable[Letter]]:
    from tqdm import tqdm

    bar: tqdm[Letter] = tqdm(
        letters, desc=verb, unit="letter", delay=_BAR_AFTER_S, leave=False, disable=not sys.stderr.isatty()
    )
    return bar


def _confirm(question: str) -> None:
    if not sys.stdin.isatty():
        raise CommandError("cannot ask for confirmation: standard input is not a terminal. Use --yes", status=2)
    if input(f"{question} [y/N] ").strip().lower() not in {"y", "yes"}:
        raise CommandError("nothing was deleted")
