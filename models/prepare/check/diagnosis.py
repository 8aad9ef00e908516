"""On what the engine and the published model differ, as an error."""

from __future__ import annotations

from typing import Any

from models.engine.engine import TokenSequence
from models.errors import CheckError
from models.prepare.check.comparison import TOLERANCE, logit_distance, named_scores, same_tokens
from models.prepare.check.probes import Probe
from models.prepare.check.published import Row
from models.prepare.check.reference import Expected
from models.prepare.check.served import Answered, ServedModel
from models.store import TOKENIZER_NAME, StoredModel
from producer.contract import RequestError

__all__ = ["not_computed", "tell_difference"]

_SHOWN_IDS, _SHOWN_CHARACTERS, _SHOWN_LOGITS, _SHOWN_ENTRIES = 12, 60, 4, 3
_SCORE_DIGITS = 6


def tell_difference(
    model: StoredModel, served: ServedModel, *, probe: Probe, number: int, answered: Answered, expected: Expected
) -> CheckError:
    """The error of a request whose answer differs.

    Args:
        model: the model.
        served: the model as it is served.
        probe: what was asked.
        number: index of the request in the probe.
        answered: what the engine answers to it.
        expected: what the published model answers to it.
    """
    asked = f"{probe.name} ({_text(probe, number)})"
    if isinstance(answered.result, RequestError) or not expected.rows:
        reason = "one of the two refuses a request that the other one answers"
        return CheckError(reason, asked, _short(expected.result), _short(answered.result))
    if not same_tokens(answered.sequences, expected.rows):
        return _other_tokens(model, asked, answered, expected)
    names = served.output_names
    for sequence, output, row in zip(answered.sequences, answered.outputs, expected.rows, strict=True):
        if logit_distance(output, names, row) <= TOLERANCE:
            continue
        wanted = "; ".join(_logits(value) for value in row.outputs.values())
        reason = _cause(model, served, sequence, row)
        return CheckError(reason, asked, f"logits {wanted}", "logits " + "; ".join(_logits(value) for value in output))
    reason = (
        "the same logits become other answers: the labels are in another order or have other names, or scores are made "
        "in another way"
    )
    return CheckError(reason, asked, _short(expected.result), _short(answered.result))


def _cause(model: StoredModel, served: ServedModel, sequence: TokenSequence, row: Row) -> str:
    """Why the logits of a row are others, by computing it in other ways."""
    names = served.output_names
    if logit_distance(served.compute_unpadded(sequence), names, row) > TOLERANCE:
        return f"the graph computes other logits than the published model, for a row of {len(row.ids)} tokens"
    if logit_distance(served.compute_alone(sequence), names, row) <= TOLERANCE:
        return f"other rows of a batch change its answers: a row of {len(row.ids)} tokens is right on its own"
    feeding = model.manifest.feeding
    return (
        f"padding changes its answers (id {feeding.pad_id} on the {feeding.padding_side.value}): a row of "
        f"{len(row.ids)} tokens is right without it"
    )


def not_computed(probe: Probe, error: Exception) -> CheckError:
    """The error of a probe that the engine cannot compute."""
    problem = str(error).strip().splitlines()[-1]
    reason = "the graph cannot compute rows that the published model can"
    return CheckError(reason, f"{probe.name} ({_text(probe, 0)})", "answers", f"{type(error).__name__}: {problem}")


def _other_tokens(model: StoredModel, asked: str, answered: Answered, expected: Expected) -> CheckError:
    found, wanted = [list(sequence.ids) for sequence in answered.sequences], [row.ids for row in expected.rows]
    lengths = [max(map(len, rows), default=0) for rows in (found, wanted)]
    is_cut = max(lengths) >= model.manifest.max_length_tokens
    if is_cut and lengths[0] != lengths[1]:
        reason = (
            f"it reads up to {lengths[0]} tokens of a long text, the published model {lengths[1]}: positions or the "
            "tokenizer's limit are counted wrong"
        )
    elif is_cut and [ids[0] for ids in found] == [ids[0] for ids in wanted]:
        reason = "a long text is cut off at another end than the published tokenizer cuts it"
    else:
        reason = f"{TOKENIZER_NAME} gives other tokens than the tokenizer that the model was published with"
    number = next((n for n, pair in enumerate(zip(found, wanted, strict=False)) if pair[0] != pair[1]), 0)
    return CheckError(reason, asked, _ids(wanted[number]), _ids(found[number]) if found else "nothing")


def _ids(ids: list[int]) -> str:
    more = ", …" if len(ids) > _SHOWN_IDS else ""
    return f"{len(ids)} tokens {', '.join(map(str, ids[:_SHOWN_IDS]))}{more}"


def _logits(values: Any) -> str:
    more = ", …" if len(values) > _SHOWN_LOGITS else ""
    return ", ".join(f"{value:.4f}" for value in values[:_SHOWN_LOGITS]) + more


def _text(probe: Probe, number: int) -> str:
    item = probe.requests[number].items[0]  # type: ignore[attr-defined]
    text = item if isinstance(item, str) else getattr(item, "text", None) or item[1]
    return repr(text if len(text) <= _SHOWN_CHARACTERS else f"{text[:_SHOWN_CHARACTERS]}…")


def _short(result: Any) -> str:
    if isinstance(result, RequestError):
        return f"{type(result).__name__}: {result}"
    shown = [f"{name!r} {score:.{_SCORE_DIGITS}f}" for name, score in named_scores(result)[:_SHOWN_ENTRIES]]
    return ", ".join(shown) or "nothing"
