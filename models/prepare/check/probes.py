"""What is asked in a check: texts of every length, pairs, and batches of several kinds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from models.engine.batching import BatchingOptions, plan_batches
from models.prepare.check.texts import TextMaker
from producer.contract import Request

__all__ = ["MAX_COMPUTED_TOKENS", "Probe", "batch_probes", "length_probes", "step_lengths"]

#: Longer rows take long, and are no other than shorter ones: of longer texts only the tokens are compared.
MAX_COMPUTED_TOKENS = 1024
#: Up to the first length every step is probed at and beyond it, up to the second at one of three places in turn, and
#: after that every third step: long rows take most of the time, and are padded by the same code.
_DENSE_TOKENS, _EVERY_STEP_TOKENS = 64, 128
#: Empty rows are added to batches of short texts only.
_EMPTY_ROW_TEXTS, _EMPTY_ROW_TOKENS = 9, (8, 12, 16, 24, 32)


@dataclass(frozen=True)
class Probe:
    """Requests that are answered together.

    Attributes:
        name: what is probed, for messages.
        requests: the requests, each with one item.
        is_computed: whether answers are compared; if not, only tokens are.
    """

    name: str
    requests: Sequence[Request]
    is_computed: bool = True


#: Makes a request of a text of its task: the text itself, a premise or a context.
MakeRequest = Callable[[str], Request]


def step_lengths(max_length: int, batching: BatchingOptions) -> list[int]:
    """The lengths to which rows are padded, shortest first, up to what is computed in a check."""
    longest = min(max_length, MAX_COMPUTED_TOKENS)
    return sorted({plan_batches([tokens], max_length, batching)[0].padded_length for tokens in range(1, longest + 1)})


def length_probes(texts: TextMaker, request_of: MakeRequest, max_length: int, batching: BatchingOptions) -> list[Probe]:
    """Texts of lengths from the shortest to far beyond the longest, alone and in mixed batches.

    Args:
        texts: makes the texts; it counts tokens as sequences of the task have them.
        request_of: makes the requests.
        max_length: longest sequence that the model reads, in tokens.
        batching: how sequences are batched.
    """
    longest = min(max_length, MAX_COMPUTED_TOKENS)
    steps = step_lengths(max_length, batching)
    dense = [step for step in steps if step <= _DENSE_TOKENS]
    sparse = [step for step in steps if _DENSE_TOKENS < step <= _EVERY_STEP_TOKENS]
    sparse += [step for step in steps if step > _EVERY_STEP_TOKENS][1::3]
    short = texts.shortest_tokens

    def made(lengths: Sequence[int]) -> list[Request]:
        wanted = sorted({length for length in lengths if short <= length <= longest})
        return [request_of(texts.of_tokens(length)) for length in wanted]

    middle = dense[len(dense) // 2]
    alone = [
        short,
        short + 1,
        short + 2,
        *dense[:3],
        dense[0] + 1,
        dense[1] + 1,
        middle - 1,
        middle,
        dense[-1],
    ]
    at, after = made(dense), made([step + 1 for step in dense])
    before = made([step - 1 for step in dense[::4]])
    beside = made([step + number % 3 - 1 for number, step in enumerate(sparse)])
    mixed = [
        Probe(f"texts at every rounding step up to {_DENSE_TOKENS} tokens, together", at),
        Probe(f"texts one token beyond every rounding step up to {_DENSE_TOKENS} tokens, together", after),
        Probe("texts one token short of rounding steps, together", before),
        Probe(f"texts at and beside rounding steps over {_DENSE_TOKENS} tokens, together", beside),
        Probe("short and long texts in turn, together", [*at[:2], *beside[:1], *before[:2]]),
    ]
    singles = [Probe("a text on its own", [request]) for length in dict.fromkeys(alone) for request in made([length])]
    full = [Probe("a text as long as the model reads", made([longest]), max_length > MAX_COMPUTED_TOKENS)]
    long = _long_probes(texts, request_of, max_length)
    return [*(probe for probe in [*singles, *mixed] if probe.requests), *full, *long]


def _long_probes(texts: TextMaker, request_of: MakeRequest, max_length: int) -> list[Probe]:
    is_computed = max_length <= MAX_COMPUTED_TOKENS
    beyond = [request_of(texts.of_tokens(length)) for length in (max_length + 1, max_length + 2, 3 * max_length)]
    names = ("a text of one token more than the model reads", "a text of two tokens more", "a text of three times that")
    return [
        # All are cut to the length of the longest text, so computing one of them is enough.
        Probe(name, [request], is_computed and number == 0)
        for number, (name, request) in enumerate(zip(names, beyond, strict=True))
    ]


def batch_probes(texts: TextMaker, request_of: MakeRequest, max_length: int, batching: BatchingOptions) -> list[Probe]:
    """Batches of texts of one length: several, and so many that a row of the batch is empty."""
    probes = []
    for count in (2, 3):
        same = [request_of(texts.of_tokens(texts.shortest_tokens + 3)) for _ in range(count)]
        probes.append(Probe(f"{count} texts of one length", same))
    for tokens in _EMPTY_ROW_TOKENS:
        if not texts.shortest_tokens <= tokens <= max_length:
            continue
        plans = plan_batches([tokens] * _EMPTY_ROW_TEXTS, max_length, batching)
        if any(plan.rows > len(plan.indices) for plan in plans):
            same = [request_of(texts.of_tokens(tokens)) for _ in range(_EMPTY_ROW_TEXTS)]
            return [*probes, Probe("a batch with an empty row", same)]
    return probes
