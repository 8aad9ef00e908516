"""What is asked: own texts, the model that answers them, and how an answer is compared with another's."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from examples.demo.texts import generate, read_examples, read_questions
from models.engine.arithmetic import Arithmetic
from models.store import BUNDLED_DIRECTORY
from producer import QuestionAnsweringRequest, TextClassificationRequest, ZeroShotClassificationRequest
from producer.contract import Request, TaskName

__all__ = ["WORKLOADS", "Item", "Workload", "make_workload"]

#: A text; or a question with its context.
Item = str | tuple[str, str]

LABELS = ("delivery", "payment", "software", "praise", "travel")
_CONTEXT_WORDS = 150
_SEED = 20261121
#: Short texts that a text of the mix is put together from: most are one or two, one in a hundred fills the model's 512
#: tokens.
_MIX_MEDIAN, _MIX_SHAPE, _MIX_MOST = 1.2, 1.1, 30

#: Name, bundled model (None: made on demand), and what is in it.
WORKLOADS: dict[str, tuple[str | None, str]] = {
    "short": ("sentiment", "short texts as in SST-2, MiniLM-L6 (`sentiment`)"),
    "short_distilbert": (None, "the same texts, a model of DistilBERT's size with random weights"),
    "nli": ("nli", f"the same texts, zero-shot with {len(LABELS)} labels, MiniLM-L6 (`nli`)"),
    "qa": ("qa", f"questions with contexts of {_CONTEXT_WORDS} words, MiniLM-L6 (`qa`)"),
    "mix": ("sentiment", "texts of one sentence up to the model's 512 tokens, long-tailed, MiniLM-L6 (`sentiment`)"),
}
_TASKS = {"nli": TaskName.ZERO_SHOT_CLASSIFICATION, "qa": TaskName.QUESTION_ANSWERING}


@dataclass(frozen=True)
class Workload:
    """Items, and the model that answers them.

    Attributes:
        name: a key of :data:`WORKLOADS`.
        description: for the report.
        task: which of the contract's tasks.
        model: the INT8 directory, as ``python -m models prepare`` makes it.
        checkpoint: the same architecture as transformers saves it, for torch; None where it was not made.
        same_weights: whether the checkpoint holds the weights that the model was made from.
        items: all that may be asked; a slow contestant is asked the first of them.
        arithmetic: in which the model is computed by who may choose.
    """

    name: str
    description: str
    task: TaskName
    model: Path
    checkpoint: Path | None
    same_weights: bool
    items: Sequence[Item]
    arithmetic: Arithmetic = Arithmetic.INT8

    def request(self, items: Sequence[Item], *, several: bool) -> Request:
        """One message: one item, or a list of them."""
        if self.task is TaskName.QUESTION_ANSWERING:
            questions, contexts = zip(*items, strict=True)
            if several:
                return QuestionAnsweringRequest.parse({"question": list(questions), "context": list(contexts)})
            return QuestionAnsweringRequest.parse({"question": questions[0], "context": contexts[0]})
        inputs = list(items) if several else items[0]
        if self.task is TaskName.ZERO_SHOT_CLASSIFICATION:
            return ZeroShotClassificationRequest.parse({"inputs": inputs, "candidate_labels": list(LABELS)})
        return TextClassificationRequest.parse({"inputs": inputs})

    def answers(self, result: Any, *, several: bool) -> list[str]:
        """What counts of a result, item by item: the best label, or the words of the answer.

        Raises:
            LookupError, TypeError: it is no result of this task.
        """
        return [_answer(self.task, one) for one in (result if several else [result])]


def _answer(task: TaskName, result: Any) -> str:
    if task is TaskName.QUESTION_ANSWERING:
        return str(result["answer"])
    if task is TaskName.ZERO_SHOT_CLASSIFICATION:
        return str(result["labels"][0])
    return str(result[0]["label"])


def make_workload(
    name: str, count: int, *, model: Path | None, checkpoint: Path | None, same_weights: bool
) -> Workload:
    """A workload of ``count`` items; ``model`` is for those whose model is not bundled."""
    bundled, description = WORKLOADS[name]
    directory = BUNDLED_DIRECTORY / bundled if bundled else model
    if directory is None:
        raise ValueError(f"workload {name} needs a model")
    task = _TASKS.get(name, TaskName.TEXT_CLASSIFICATION)
    return Workload(name, description, task, directory, checkpoint, same_weights, _items(name, count))


def _items(name: str, count: int) -> Sequence[Item]:
    if name == "qa":
        return _questions(count)
    if name == "mix":
        return _mixed_texts(count)
    return generate(read_examples(), count)


def _mixed_texts(count: int) -> list[str]:
    dice = random.Random(_SEED)  # noqa: S311 - texts of a measurement
    pieces = generate(read_examples(), 256)
    made = []
    for _ in range(count):
        pieces_wanted = round(_MIX_MEDIAN * dice.lognormvariate(0, _MIX_SHAPE))
        made.append(" ".join(dice.choices(pieces, k=min(max(1, pieces_wanted), _MIX_MOST))))
    return made


def _questions(count: int) -> list[tuple[str, str]]:
    """A question's own context, with other sentences before and after it up to the wanted number of words."""
    dice = random.Random(_SEED)  # noqa: S311 - texts of a measurement
    questions, filler = read_questions(), generate(read_examples(), 256)
    made = []
    for _ in range(count):
        question = dice.choice(questions)
        parts = [question["context"]]
        while sum(len(part.split()) for part in parts) < _CONTEXT_WORDS:
            parts.insert(dice.randint(0, len(parts)), dice.choice(filler))
        made.append((question["question"], " ".join(" ".join(parts).split()[:_CONTEXT_WORDS])))
    return made
