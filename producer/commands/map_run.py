"""One run of ``map``: from the records of an input to the lines of an output, from where the last run stopped."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from producer.chunks import Outcome
from producer.client import Client
from producer.commands.answer_files import AnswerFile, AnswerSink, BatchFiles, HowFar, StandardOutput, how_far
from producer.commands.failures import ExitStatus, Failure
from producer.commands.input_formats import InputFormat, count_records, raw_records
from producer.commands.journal import Journal, describe_input, journal_path
from producer.commands.openai_batch import made_from_batch_line
from producer.commands.progress import is_watched, with_progress
from producer.commands.records import InOrder, Record
from producer.commands.request_maker import MadeRequest, RequestMaker
from producer.contract import QueueClass
from producer.errors import ServiceUnavailable, WaitTimeout
from producer.options import DEFAULT_CHUNK_S
from producer.outcomes import Answer

__all__ = ["MapRun", "Totals"]


@dataclass(frozen=True)
class Totals:
    """What has become of the records.

    Attributes:
        records: how many there are.
        failed: how many of them were not answered.
    """

    records: int
    failed: int


@dataclass(frozen=True)
class MapRun:
    """What is to be done.

    Attributes:
        path: of the input; ``-`` for standard input.
        input_format: of the input.
        maker: makes the requests.
        output: where the answers go; None for standard output.
        errors: where the errors go in OpenAI's format.
        queue_class: of the requests.
        in_flight: how many messages may be unanswered.
        is_piped: whether the lines of the input may come slowly, so that none must wait for the next one.
    """

    path: str
    input_format: InputFormat
    maker: RequestMaker
    output: Path | None
    errors: Path | None
    queue_class: QueueClass
    in_flight: int
    is_piped: bool

    def start(self, client: Client, *, resume: bool) -> Totals:
        """Answer all records that have no answer.

        Args:
            client: to send with.
            resume: whether the output may be there, and is gone on with.

        Raises:
            CeleriacError: the servers or the workers do not answer. Without an output file, a record that is not
                answered in time is an error in its place instead.
            Failure: the output must not be written, or the input cannot be read.
        """
        if self.output is None:
            return self._answer(client, StandardOutput(), None, HowFar())
        files = [self.output, *([self.errors] if self.errors is not None else [])]
        journal_file = journal_path(self.output)
        self._check(files, journal_file, resume=resume)
        with ExitStack() as stack:
            journal, written = None, HowFar()
            if self.path != "-":
                journal = stack.enter_context(Journal(journal_file, is_new=not resume))
                # Half a line is cut off: only who holds the journal may do that.
                written = self._written(files) if resume else written
                journal.begin(self._description(), written.lines)
                if journal.has_ended:
                    return Totals(written.lines, written.errors)
            sink: AnswerSink = (
                stack.enter_context(BatchFiles(self.output, self.errors, journal.run_id if journal else "stdin"))
                if self.errors is not None
                else stack.enter_context(AnswerFile(self.output))
            )
            totals = self._answer(client, sink, journal, written)
            if journal is not None:
                journal.end()
            return totals

    def _answer(self, client: Client, sink: AnswerSink, journal: Journal | None, written: HowFar) -> Totals:
        start = journal.start if journal is not None else 0
        in_order = InOrder(self._records(start), journal)
        outcomes = in_order.run(
            lambda requests, log: client.map(
                requests,
                queue_class=self.queue_class,
                in_flight=self.in_flight,
                chunk_s=None if self.is_piped else DEFAULT_CHUNK_S,
                log=log,
            )
        )
        # The first message may have records whose answers are written.
        new: Iterator[tuple[Record, Outcome]] = islice(outcomes, written.lines - start, None)
        if is_watched(prints=self.output is None):
            new = with_progress(new, lambda: count_records(self.path, self.input_format), written.lines)
        records, failed = written.lines, written.errors
        for record, outcome in new:
            if self.output is not None and isinstance(outcome, ServiceUnavailable | WaitTimeout):
                # It is answered when the run is resumed.
                raise outcome
            sink.write(record, outcome)
            records += 1
            failed += not isinstance(outcome, Answer)
        return Totals(records, failed)

    def _records(self, start: int) -> Iterator[Record]:
        raw = islice(raw_records(self.path, self.input_format, self.maker.columns), start, None)
        for number, item in enumerate(raw, start):
            key, request = self._made(item)
            yield Record(number, request, key)

    def _made(self, item: Any) -> MadeRequest:
        if self.input_format is InputFormat.OPENAI_BATCH:
            return made_from_batch_line(self.maker, item)
        if self.input_format is InputFormat.LINES:
            return self.maker.from_text(item)
        return self.maker.from_line(item) if self.input_format is InputFormat.JSONL else self.maker.from_row(item)

    def _description(self) -> dict[str, Any]:
        return {
            **{f"the input's {name}": value for name, value in describe_input(self.path).items()},
            "--format": self.input_format.value,
            "--task": self.maker.task,
            "--column": self.maker.column,
            "--param": dict(self.maker.parameters),
            "--errors": None if self.errors is None else self.errors.name,
        }

    @staticmethod
    def _check(files: list[Path], journal_file: Path, *, resume: bool) -> None:
        existing = [path for path in files if path.exists()]
        if existing and not resume:
            raise Failure(
                f"{existing[0]} exists; go on with it with --resume, or give another --output", ExitStatus.WRONG_USAGE
            )
        if existing and not journal_file.exists():
            raise Failure(
                f"{existing[0]} has no journal {journal_file}, so it cannot be told what it was made from; "
                "give another --output, or remove it and begin anew",
                ExitStatus.WRONG_USAGE,
            )

    @staticmethod
    def _written(files: list[Path]) -> HowFar:
        found = [how_far(path) for path in files]
        if len(found) == 1:
            return found[0]
        return HowFar(sum(file.lines for file in found), found[1].lines)
