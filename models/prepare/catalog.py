"""The models that the project knows by name."""

from __future__ import annotations

from dataclasses import dataclass

from producer.contract import TaskName

__all__ = ["CATALOG", "CatalogEntry"]


@dataclass(frozen=True)
class CatalogEntry:
    """One known model.

    Attributes:
        name: the name that requests use.
        task: the task that it is made for.
        summary: one line about it, for its card.
        licence: used if the checkpoint's card names none.
    """

    name: str
    task: TaskName
    summary: str
    licence: str


CATALOG: dict[str, CatalogEntry] = {
    entry.name: entry
    for entry in (
        CatalogEntry(
            name="sentiment",
            task=TaskName.TEXT_CLASSIFICATION,
            summary="English sentiment, NEGATIVE or POSITIVE: MiniLM-L6 fine-tuned on SST-2",
            licence="Apache-2.0",
        ),
        CatalogEntry(
            name="nli",
            task=TaskName.ZERO_SHOT_CLASSIFICATION,
            summary="English zero-shot classification: MiniLM-L6 fine-tuned on natural language inference",
            licence="Apache-2.0",
        ),
        CatalogEntry(
            name="qa",
            task=TaskName.QUESTION_ANSWERING,
            summary="English extractive question answering: MiniLM-L6 fine-tuned on SQuAD v1.1",
            licence="Apache-2.0",
        ),
    )
}
