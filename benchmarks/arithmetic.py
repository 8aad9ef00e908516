"""One model in every arithmetic, beside its FP32 export: ``python -m benchmarks.arithmetic``.

Three tables: the speed of single inferences, how far the answers are from those of the FP32 export on labelled rows,
and the anonymous memory of a process. ``ONEDNN_MAX_CPU_ISA=AVX2`` in the environment shows a CPU without VNNI.

``--write-answers FILE`` on one host and ``--compare FILE`` on another tell by how much their answers differ.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tqdm import tqdm

from benchmarks.processes import rss_anon_mib
from config import load_settings
from models.engine.arithmetic import Arithmetic, has_bf16_products
from models.engine.batching import BatchingOptions
from models.engine.cpu import cpu_name, max_isa
from models.engine.options import EngineOptions
from models.evaluation.data_sets import DataSet, read_data_set
from models.store import CONFIG_NAME, MODEL_NAME, TOKENIZER_NAME, StoredModel, find
from models.store.contents import WEIGHTS_NAME
from models.store.manifest import record_files
from producer.contract import RequestError, TextClassificationRequest

_SHARED = Path(__file__).resolve().parents[2] / "shared"
_DATA = {"sentiment": "sst2/dev.jsonl", "nli": "mnli/dev_matched.jsonl", "qa": "squad/dev.jsonl"}
_CACHE = Path("~/.cache/celeriac/benchmarks/fp32")
_SHAPES = ((1, 16), (1, 32), (16, 32), (1, 128), (4, 128), (1, 384))
#: A turn takes at least this long, so that short inferences are repeated.
_TURN_S = 0.03
_WARM_UPS = 2
#: Most rows for which memory is measured: it has levelled off by then.
_MEMORY_ROWS = 1000
_CLS = 101
_EXPORT = "FP32 export"


@dataclass(frozen=True)
class Contestant:
    """A model and how it is computed."""

    name: str
    model: StoredModel
    options: EngineOptions


@dataclass(frozen=True)
class Distance:
    """How far the answers to all rows are from others.

    Attributes:
        value: the metric of the data, from 0 to 1.
        mean: mean over the rows of the largest difference of a score: of any label, or of the best span.
        largest: the largest such difference.
        same: share of the rows with the same best answer.
    """

    value: float
    mean: float
    largest: float
    same: float


def main() -> int:
    """Measure and print."""
    options = _parser().parse_args()
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    settings = load_settings()
    model = find(options.model, settings.model_dir)
    data_path = options.data or _SHARED / "data" / _DATA[model.name]
    data = read_data_set(data_path, model.manifest.task, limit=options.limit)
    batching = BatchingOptions(settings.batch.max_tokens, settings.batch.length_multiple)
    plain = EngineOptions(threads=1, precision="f32", batching=batching)
    if options.memory_of:
        # A contestant as a process of its own.
        contestant = Contestant(options.memory_of, model, replace(plain, cache_dir=options.cache_dir))
        return _print_memory(_in_its_arithmetic(contestant), data)
    export = _export(model, options.checkpoint or _SHARED / "checkpoints" / model.name)
    names = [Arithmetic.INT8, Arithmetic.F32, *([Arithmetic.BF16] if has_bf16_products() else [])]
    contestants = [Contestant(_EXPORT, export, plain)]
    contestants += [_in_its_arithmetic(Contestant(name, model, plain)) for name in names]
    limit = f", limited to {max_isa()}" if max_isa() else ""
    print(f"{model.name} {model.manifest.revision} on {cpu_name()}{limit}, one thread\n")
    if options.memory_only:
        print(_memory_table(contestants, options))
        return 0
    answers = {one.name: _answers(one, data) for one in tqdm(contestants, desc="answers", unit="model")}
    print(_distance_table({name: _distance(found, answers[_EXPORT], data) for name, found in answers.items()}, data))
    if options.write_answers:
        options.write_answers.write_text(json.dumps(answers), encoding="utf-8")
    if options.compare:
        print(_host_table(answers, json.loads(options.compare.read_bytes()), data))
    if options.answers_only:
        return 0
    print(_speed_table(_speeds(contestants, options.rounds)))
    print(_memory_table(contestants, options))
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.arithmetic",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--model", default="sentiment", help="name or path of a model (default: %(default)s)")
    parser.add_argument("--checkpoint", type=Path, help="the FP32 checkpoint (default: the shared one of that name)")
    parser.add_argument("--data", type=Path, help="labelled rows (default: the shared evaluation data of the model)")
    parser.add_argument("--limit", type=int, help="use only this many rows")
    parser.add_argument("--rounds", type=int, default=15, help="turns of each contestant (default: %(default)s)")
    parser.add_argument("--answers-only", action="store_true", help="measure neither speed nor memory")
    parser.add_argument("--memory-only", action="store_true", help="measure neither answers nor speed")
    parser.add_argument("--write-answers", type=Path, metavar="FILE", help="keep the answers for --compare")
    parser.add_argument("--compare", type=Path, metavar="FILE", help="the answers of another host to the same rows")
    parser.add_argument("--memory-of", help=argparse.SUPPRESS)
    parser.add_argument("--cache-dir", type=Path, help=argparse.SUPPRESS)
    return parser


def _in_its_arithmetic(contestant: Contestant) -> Contestant:
    if contestant.name == _EXPORT:
        return contestant
    return replace(contestant, options=replace(contestant.options, arithmetic=Arithmetic(contestant.name)))


def _export(model: StoredModel, checkpoint: Path) -> StoredModel:
    """The FP32 graph of a checkpoint as a model, made once."""
    directory = _CACHE.expanduser() / model.name
    if not (directory / MODEL_NAME).exists():
        from models.prepare.graph.export import export
        from models.prepare.source.checkpoint import read_checkpoint

        shutil.rmtree(directory, ignore_errors=True)
        directory.mkdir(parents=True)
        export(read_checkpoint(checkpoint, model.manifest.task), directory)
        shutil.copyfile(model.directory / TOKENIZER_NAME, directory / TOKENIZER_NAME)
    files = record_files(directory, [CONFIG_NAME, MODEL_NAME, WEIGHTS_NAME, TOKENIZER_NAME])
    exported = StoredModel(directory, model.manifest.model_copy(update={"files": files}))
    exported.manifest.write(directory)
    return exported


def _speeds(contestants: Sequence[Contestant], rounds: int) -> dict[tuple[int, int], dict[str, float]]:
    """Median CPU time of an inference in seconds, by shape and contestant; they take turns.

    CPU time, since one thread computes and other work on the machine then counts less than by the clock.
    """
    from models.engine.engine import Engine, TokenSequence

    engines = {
        one.name: Engine(one.model.directory / MODEL_NAME, one.model.manifest.max_length_tokens, one.options)
        for one in contestants
    }

    def seconds(name: str, shape: tuple[int, int], times: int) -> float:
        sequences = [TokenSequence([_CLS] * shape[1], [0] * shape[1])] * shape[0]
        started_s = time.process_time()
        for _ in range(times):
            for batch in engines[name].run(sequences):
                del batch
        return (time.process_time() - started_s) / times

    medians = {}
    for shape in tqdm(_SHAPES, desc="speed", unit="shape"):
        slowest_s = max(seconds(name, shape, _WARM_UPS) for name in engines)
        times = max(1, int(_TURN_S / slowest_s))
        turns: dict[str, list[float]] = {name: [] for name in engines}
        for _ in range(rounds):
            for name, found in turns.items():
                found.append(seconds(name, shape, times))
        medians[shape] = {name: statistics.median(found) for name, found in turns.items()}
    return medians


def _speed_table(medians: Mapping[tuple[int, int], Mapping[str, float]]) -> str:
    names = list(next(iter(medians.values())))
    table = []
    for (rows, tokens), seconds in medians.items():
        int8_s = seconds[Arithmetic.INT8]
        table.append(
            [f"{rows}x{tokens}", *(f"{seconds[name] * 1000:.1f} ({int8_s / seconds[name]:.2f})" for name in names)]
        )
    return _table(["ms an inference (speed, int8 = 1)", *names], table)


def _answers(contestant: Contestant, data: DataSet) -> list[Any]:
    from models import pipelines

    pipeline = pipelines.load_all(contestant.model, contestant.options)[data.task]
    results: list[Any] = []
    for request in data.requests():
        is_classified = isinstance(request, TextClassificationRequest)
        # The scores of all labels, not of the best alone.
        asked = request.model_copy(update={"top_k": None}) if is_classified else request
        results += pipeline.answer([asked])[0]
    return results


def _distance(answers: Sequence[Any], others: Sequence[Any], data: DataSet) -> Distance:
    judged = [data.judge(row, answer)[0] for row, answer in zip(data.rows, answers, strict=True)]
    pairs = list(zip(map(_scores, answers), map(_scores, others), strict=True))
    distances = [
        max(abs(ours[name] - theirs[name]) for name in theirs)
        if ours.keys() == theirs.keys()
        else abs(max(ours.values()) - max(theirs.values()))
        for ours, theirs in pairs
    ]
    same = [max(ours, key=ours.__getitem__) == max(theirs, key=theirs.__getitem__) for ours, theirs in pairs]
    return Distance(statistics.mean(judged), statistics.mean(distances), max(distances), statistics.mean(same))


def _scores(answer: Any) -> dict[Any, float]:
    """The score of each label, or of the span that was found."""
    if isinstance(answer, RequestError):
        raise TypeError(f"a row was refused: {answer}")
    if isinstance(answer, list):
        return {entry["label"]: entry["score"] for entry in answer}
    if "labels" in answer:
        return dict(zip(answer["labels"], answer["scores"], strict=True))
    return {(answer["start"], answer["end"]): answer["score"]}


def _distance_table(distances: Mapping[str, Distance], data: DataSet) -> str:
    rows = [
        [name, f"{found.value:.4f}", f"{found.mean:.4f}", f"{found.largest:.3f}", f"{found.same:.4f}"]
        for name, found in distances.items()
    ]
    header = [f"{data.name}, {len(data.rows)} rows", data.metrics[0], "mean distance", "largest", "same answer"]
    return _table(header, rows)


def _host_table(ours: Mapping[str, Sequence[Any]], theirs: Mapping[str, Sequence[Any]], data: DataSet) -> str:
    rows = []
    for name, answers in ours.items():
        found = [_distance(answers, others, data) for others in theirs.values()]
        rows.append([name, *(f"{each.mean:.4f}; {each.largest:.3f}; {each.same:.4f}" for each in found)])
    return _table(["here; there (mean, largest, same answer)", *theirs], rows)


def _memory(contestant: Contestant, options: argparse.Namespace) -> list[float]:
    """Anonymous memory of a process whose compiled model was on disk before, in MiB, at several moments."""
    command = [sys.executable, "-m", "benchmarks.arithmetic", "--memory-of", contestant.name]
    command += ["--model", str(contestant.model.directory)]
    command += ["--data", str(options.data or _SHARED / "data" / _DATA[contestant.model.name])]
    command += ["--limit", str(min(options.limit or _MEMORY_ROWS, _MEMORY_ROWS))]
    with tempfile.TemporaryDirectory() as directory:
        for _ in range(2):
            done = subprocess.run(  # noqa: S603 - this module
                [*command, "--cache-dir", directory], capture_output=True, text=True, check=True
            )
    found: list[float] = json.loads(done.stdout)
    return found


def _print_memory(contestant: Contestant, data: DataSet) -> int:
    from models import pipelines
    from models.engine.engine import TokenSequence

    pipeline = pipelines.load_all(contestant.model, contestant.options)[data.task]
    pipeline.warm_up()
    found = [rss_anon_mib(os.getpid())]
    for rows, tokens in _SHAPES:
        pipeline.engine.compute([TokenSequence([_CLS] * tokens, [0] * tokens)] * rows)
    found.append(rss_anon_mib(os.getpid()))
    for request in data.requests():
        pipeline.answer([request])
    found.append(rss_anon_mib(os.getpid()))
    print(json.dumps(found))
    return 0


def _memory_table(contestants: Sequence[Contestant], options: argparse.Namespace) -> str:
    progress = tqdm(contestants, desc="memory", unit="model")
    rows = [[one.name, *(f"{mib:.0f}" for mib in _memory(one, options))] for one in progress]
    return _table(["RssAnon, MiB", "warm", "after the shapes above", "after the rows"], rows)


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [header, ["---", *["---:"] * (len(header) - 1)], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


if __name__ == "__main__":
    sys.exit(main())
