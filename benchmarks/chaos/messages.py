"""Which messages are sent: all of it follows from the seed."""

from __future__ import annotations

import base64
import json
import random
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import Enum, IntEnum
from typing import Any

from benchmarks.chaos.journal import id_of
from benchmarks.chaos.options import Mode, RunOptions

__all__ = ["TASK", "Deed", "End", "MessageKind", "Planned", "PoisonKind", "plan_messages", "raw_message", "raw_poison"]

#: The task of all messages that ask for no model.
TASK = "chaos.work"
_QUEUE = "celery"
_POISON_PER_MESSAGES, _MOST_POISON = 1000, 200
_LONG_PER_MESSAGES, _MOST_LONG = 5000, 20
_CHORD_MEMBERS = (2, 5)


class MessageKind(IntEnum):
    """What a message asks for."""

    PLAIN = 1
    #: A second of work or less.
    SLOW = 2
    #: Work that takes longer than the visibility timeout.
    LONG = 3
    #: A countdown, which may be longer than the visibility timeout.
    ETA = 4
    RETRY = 5
    CHORD_MEMBER = 6
    CHORD_BODY = 7
    #: A sentiment request for a model.
    TEXT = 8
    POISON = 9


class Deed(Enum):
    """What the task does for a message."""

    NOTHING = "nothing"
    WAIT = "wait"
    RETRY = "retry"
    COLLECT = "collect"
    DIE = "die"
    SEGFAULT = "segfault"
    MEMORY_ERROR = "memory_error"


class End(Enum):
    """How a message may end."""

    SUCCESS = "success"
    FAILURE = "failure"
    DEAD_LETTER = "dead letter"
    #: Acknowledged without a trace but for a line in a log, as Celery's own consumer does.
    DROPPED = "dropped"


class PoisonKind(Enum):
    """The ten kinds of poison."""

    GARBAGE = "bytes that are no JSON"
    TRUNCATED = "half a message"
    NO_PROPERTIES = "no properties"
    PICKLE = "content type pickle"
    UNKNOWN_TASK = "a task that nobody has"
    BAD_BODY = "a body that is no JSON"
    BAD_ARGUMENTS = "arguments that the task does not take"
    MEMORY_ERROR = "MemoryError in the task"
    DIE = "SIGKILL of its process"
    SEGFAULT = "SIGSEGV of its process"

    @property
    def kills(self) -> bool:
        """Whether it ends the process that computes it."""
        return self in {PoisonKind.DIE, PoisonKind.SEGFAULT}

    @property
    def goes_round_in_stock(self) -> bool:
        """Whether Celery's own worker gives it back for ever, which ends a process or a worker each time.

        See celery/celery#9082; a MemoryError with late acknowledgement ends the worker's parent.
        """
        return self.kills or self is PoisonKind.MEMORY_ERROR

    def ends(self, mode: Mode) -> frozenset[End]:
        """How it may end at our worker; in noop mode Celery's own consumer checks messages."""
        if self in {PoisonKind.GARBAGE, PoisonKind.TRUNCATED, PoisonKind.NO_PROPERTIES}:
            return frozenset({End.DEAD_LETTER})
        if self in {PoisonKind.BAD_ARGUMENTS, PoisonKind.MEMORY_ERROR}:
            return frozenset({End.FAILURE})
        dropped = {End.DROPPED} if mode is Mode.NOOP and not self.kills else set[End]()
        return frozenset({End.DEAD_LETTER, End.FAILURE} | dropped)


@dataclass(frozen=True)
class Planned:
    """One message, or one chord.

    Attributes:
        kind: what it asks for; of a chord, the kind of its body.
        numbers: its number in the ledger; of a chord, those of the members and at last that of the body.
        value: seconds to work, seconds of countdown, or number of retries.
        poison: its kind, if it is poison.
    """

    kind: MessageKind
    numbers: tuple[int, ...]
    value: float = 0.0
    poison: PoisonKind | None = None

    @property
    def number(self) -> int:
        """The number of a message that is no chord."""
        return self.numbers[-1]

    @property
    def extra_s(self) -> float:
        """How much later than others its answer is due."""
        return self.value if self.kind in {MessageKind.SLOW, MessageKind.LONG, MessageKind.ETA} else 0.0


def plan_messages(options: RunOptions) -> Iterator[Planned]:
    """The messages of a run, in order; their numbers are 0 to ``options.messages`` - 1."""
    dice = random.Random(f"{options.seed}:messages")  # noqa: S311 - replayed from the seed
    special = _special_numbers(options, dice)
    number = 0
    while number < options.messages:
        planned = special.get(number) or _draw(number, options, dice)
        if len(planned.numbers) > 1 and not special.keys().isdisjoint(planned.numbers):
            planned = Planned(MessageKind.PLAIN, (number,))
        yield planned
        number += len(planned.numbers)


def _special_numbers(options: RunOptions, dice: random.Random) -> Mapping[int, Planned]:
    """Poison and long work: as many as there shall be, among the first nine tenths."""
    if not options.canvas:
        return {}
    poison = min(_MOST_POISON, max(len(PoisonKind), options.messages // _POISON_PER_MESSAGES))
    long = min(_MOST_LONG, max(1, options.messages // _LONG_PER_MESSAGES))
    room = range(max(poison + long, options.messages * 9 // 10))
    numbers = dice.sample(room, poison + long)
    kinds = list(PoisonKind)
    found = {
        number: Planned(MessageKind.POISON, (number,), poison=kinds[index % len(kinds)])
        for index, number in enumerate(numbers[:poison])
    }
    # In real mode the worker's time limits are below its visibility timeout.
    length_s = (1.3 if options.mode is Mode.NOOP else 0.6) * options.visibility_timeout_s
    return found | {number: Planned(MessageKind.LONG, (number,), length_s) for number in numbers[poison:]}


def _draw(number: int, options: RunOptions, dice: random.Random) -> Planned:
    luck = dice.random()
    if options.mode is Mode.REAL and dice.random() < options.text_share:
        return Planned(MessageKind.TEXT, (number,))
    if options.canvas:
        for share, draw in _SPECIAL:
            if luck < share:
                return draw(number, options, dice)
            luck -= share
    return Planned(MessageKind.PLAIN, (number,))


def _chord(number: int, options: RunOptions, dice: random.Random) -> Planned:
    size = dice.randint(*_CHORD_MEMBERS)
    if number + size >= options.messages:
        return Planned(MessageKind.PLAIN, (number,))
    return Planned(MessageKind.CHORD_BODY, tuple(range(number, number + size + 1)))


def _eta(number: int, options: RunOptions, dice: random.Random) -> Planned:
    return Planned(MessageKind.ETA, (number,), dice.uniform(0.5, 1.5 * options.visibility_timeout_s))


def _retry(number: int, _: RunOptions, dice: random.Random) -> Planned:
    return Planned(MessageKind.RETRY, (number,), dice.randint(1, 2))


def _slow(number: int, _: RunOptions, dice: random.Random) -> Planned:
    return Planned(MessageKind.SLOW, (number,), dice.uniform(0.1, 1.0))


#: Shares of the messages that are not plain.
_SPECIAL = ((0.005, _chord), (0.02, _eta), (0.02, _retry), (0.005, _slow))
_DEEDS = {
    MessageKind.SLOW: Deed.WAIT,
    MessageKind.LONG: Deed.WAIT,
    MessageKind.RETRY: Deed.RETRY,
}


def raw_message(planned: Planned) -> bytes:
    """The list element of a message that is neither poison, a chord nor a text."""
    eta = datetime.now(UTC) + timedelta(seconds=planned.value) if planned.kind is MessageKind.ETA else None
    kwargs = {"n": planned.number, "do": _DEEDS.get(planned.kind, Deed.NOTHING).value, "value": planned.value}
    return json.dumps(_message(TASK, planned.number, kwargs, eta)).encode()


def raw_poison(planned: Planned) -> bytes:
    """The list element of poison."""
    number, poison = planned.number, planned.poison
    deeds = {PoisonKind.DIE: Deed.DIE, PoisonKind.SEGFAULT: Deed.SEGFAULT, PoisonKind.MEMORY_ERROR: Deed.MEMORY_ERROR}
    message = _message(TASK, number, {"n": number, "do": deeds[poison].value} if poison in deeds else {"wrong": number})
    raw = json.dumps(message).encode()
    if poison is PoisonKind.GARBAGE:
        return b"\xff\xfe{" + id_of(number).encode()
    if poison is PoisonKind.TRUNCATED:
        return raw[:-20]
    changes: dict[PoisonKind | None, Callable[[], object]] = {
        PoisonKind.NO_PROPERTIES: lambda: message.pop("properties"),
        PoisonKind.PICKLE: lambda: message.update({"content-type": "application/x-python-serialize"}),
        PoisonKind.UNKNOWN_TASK: lambda: message["headers"].update(task="chaos.nobody"),
        PoisonKind.BAD_BODY: lambda: message.update(body=base64.b64encode(b"{[").decode()),
    }
    changes.get(poison, lambda: None)()
    return json.dumps(message).encode()


def _message(task: str, number: int, kwargs: Mapping[str, Any], eta: datetime | None = None) -> dict[str, Any]:
    """A message as Celery and kombu write it."""
    task_id = id_of(number)
    body = json.dumps([[], kwargs, {"callbacks": None, "errbacks": None, "chain": None, "chord": None}])
    headers: dict[str, Any] = dict.fromkeys(["shadow", "expires", "group", "group_index", "parent_id", "origin"])
    headers |= {"lang": "py", "task": task, "id": task_id, "root_id": task_id, "argsrepr": "()", "kwargsrepr": "{}"}
    headers |= {"eta": eta.isoformat() if eta else None, "retries": 0, "timelimit": [None, None]}
    headers |= {"ignore_result": False, "stamped_headers": None, "stamps": {}}
    properties = {
        "correlation_id": task_id,
        "reply_to": "chaos",
        "delivery_mode": 2,
        "delivery_info": {"exchange": "", "routing_key": _QUEUE},
        "priority": 0,
        "body_encoding": "base64",
        "delivery_tag": str(uuid.uuid4()),
    }
    return {
        "body": base64.b64encode(body.encode()).decode(),
        "content-encoding": "utf-8",
        "content-type": "application/json",
        "headers": headers,
        "properties": properties,
    }
