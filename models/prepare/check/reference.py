"""What the published model answers, through the pipelines of ``transformers`` and its own tokenizer.

Nothing of the project's tokenizing, padding and scoring is used, so that a fault of theirs cannot be on both sides.
"""

from __future__ import annotations

import copy
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from transformers import (
    AutoConfig,
    AutoTokenizer,
    QuestionAnsweringPipeline,
    TextClassificationPipeline,
    ZeroShotClassificationPipeline,
)

from models.prepare.check.probes import MAX_COMPUTED_TOKENS
from models.prepare.check.published import Compute, PublishedModel, Row
from models.prepare.source.checkpoint import Checkpoint
from producer.contract import (
    QuestionAnsweringRequest,
    Request,
    TaskName,
    TextClassificationRequest,
    ZeroShotClassificationRequest,
)

__all__ = ["Expected", "Reference", "quiet_transformers"]

_PIPELINES = {
    TaskName.TEXT_CLASSIFICATION: TextClassificationPipeline,
    TaskName.ZERO_SHOT_CLASSIFICATION: ZeroShotClassificationPipeline,
    TaskName.QUESTION_ANSWERING: QuestionAnsweringPipeline,
}


@dataclass(frozen=True)
class Expected:
    """What the published model answers to one request.

    Attributes:
        result: in the shape of its task; None if it was not computed.
        rows: its sequences.
    """

    result: Any
    rows: list[Row]


class Reference:
    """The published model and its tokenizer.

    Args:
        checkpoint: the published files.
        compute: computes one row.
        max_length: longest sequence that the served model reads, in tokens.
        entailment: the label that says "entailed", if its name does not.
        contradiction: the label that says "contradicted", likewise.
    """

    def __init__(
        self,
        checkpoint: Checkpoint,
        compute: Compute,
        max_length: int,
        *,
        entailment: str = "",
        contradiction: str = "",
    ) -> None:
        directory = checkpoint.directory
        self._config: Any = AutoConfig.from_pretrained(directory, local_files_only=True, trust_remote_code=False)
        self._tokenizer: Any = AutoTokenizer.from_pretrained(directory, local_files_only=True, trust_remote_code=False)
        self._tokenizer.model_max_length = self._own_length(compute, checkpoint, max_length)
        self._compute = compute
        self._given = entailment, contradiction
        self._models: dict[TaskName, PublishedModel] = {}
        self._pipelines: dict[TaskName, Any] = {}

    @property
    def special_tokens(self) -> list[str]:
        """The texts of the special tokens."""
        return [str(token) for token in self._tokenizer.all_special_tokens]

    def count_tokens(self, text: str, pair: str | None) -> int:
        """How many tokens a text and its pair have, special tokens included."""
        return len(self._tokenizer(text, pair, truncation=False, verbose=False)["input_ids"])

    def answer(self, request: Request, *, is_computed: bool = True) -> Expected:
        """What the published model answers to a request with one item.

        Args:
            request: the request.
            is_computed: whether its logits are computed; if not, only its tokens are meant.
        """
        pipeline = self._pipeline(request.task)
        model = self._models[request.task]
        model.is_computing = is_computed
        result = _ask(pipeline, request)
        return Expected(result if is_computed else None, model.take_rows())

    def _pipeline(self, task: TaskName) -> Any:
        if task not in self._pipelines:
            self._models[task] = self._inference() if task is TaskName.ZERO_SHOT_CLASSIFICATION else self._plain()
            self._pipelines[task] = _PIPELINES[task](
                model=self._models[task], tokenizer=self._tokenizer, framework="pt", device=-1
            )
        return self._pipelines[task]

    def _plain(self) -> PublishedModel:
        return PublishedModel(self._config, self._compute)

    def _inference(self) -> PublishedModel:
        """The model with contradiction first and entailment last.

        The pipeline finds entailment by its name alone, and takes the label at the other end for contradiction,
        whatever its name is; served is the label that says so.
        """
        names = [str(self._config.id2label[index]) for index in range(len(self._config.id2label))]
        entailment = _find(names, self._given[0], "entail")
        opposite = len(names) - 1 if entailment == 0 else 0
        contradiction = _find(names, self._given[1], "contra", opposite)
        others = [index for index in range(len(names)) if index not in {entailment, contradiction}]
        config = copy.deepcopy(self._config)
        config.label2id = {"entailment": len(names) - 1}
        return PublishedModel(config, self._compute, [contradiction, *others, entailment])

    def _own_length(self, compute: Compute, checkpoint: Checkpoint, max_length: int) -> int:
        """The most tokens that the published files allow, found without the project's own reckoning.

        It begins with what the tokenizer and the configuration say, and goes down as long as the model cannot read it.
        """
        says = checkpoint.config.get("max_position_embeddings")
        limit = int(min(self._tokenizer.model_max_length, says if isinstance(says, int) and says > 0 else max_length))
        if limit > MAX_COMPUTED_TOKENS:
            return min(limit, max_length)
        while limit >= max_length and not self._reads(compute, limit):
            limit -= 1
        return limit

    def _reads(self, compute: Compute, tokens: int) -> bool:
        row = self._tokenizer("it was good " * tokens, truncation=True, max_length=tokens, return_tensors="pt")
        try:
            compute(dict(row))
        except (IndexError, RuntimeError):
            return False
        return True


def _find(names: list[str], given: str, beginning: str, default: int | None = None) -> int:
    found = [index for index, name in enumerate(names) if name == given or (not given and _begins(name, beginning))]
    if not found and default is None:
        raise ValueError(f"no label of {', '.join(names)} says {given or beginning}")
    return found[0] if found or default is None else default


def _begins(name: str, beginning: str) -> bool:
    return name.lower().startswith(beginning)


def _ask(pipeline: Any, request: Request) -> Any:
    if isinstance(request, TextClassificationRequest):
        (item,) = request.items
        inputs = item.text if item.text_pair is None else {"text": item.text, "text_pair": item.text_pair}
        return pipeline(inputs, truncation=True, top_k=None, function_to_apply=request.function_to_apply)
    if isinstance(request, ZeroShotClassificationRequest):
        (text,) = request.items
        template = request.hypothesis_template
        return pipeline(text, request.labels, hypothesis_template=template, multi_label=request.multi_label)
    if isinstance(request, QuestionAnsweringRequest):
        names = request.model_fields_set - {"question", "context"}
        ((question, context),) = request.items
        return pipeline(question=question, context=context, **{name: getattr(request, name) for name in names})
    raise TypeError(f"there is no pipeline for {request.task}")


@contextmanager
def quiet_transformers() -> Iterator[None]:
    """Keep the log lines and warnings of ``transformers`` and torch from standard error."""
    loggers = [logging.getLogger("transformers"), logging.getLogger("optimum")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
