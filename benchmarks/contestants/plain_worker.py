"""Plain Celery: one task, one pipeline in each prefork process, Celery's own settings.

``celery -A benchmarks.contestants.plain_worker worker``, with what to load in ``BENCH_…`` variables. Each process has
a core of its own and one thread, as ours have, which is better than what Celery does by itself.
"""

from __future__ import annotations

import os
from typing import Any

from billiard.process import current_process
from celery import Celery, signals

_TASKS = {
    "text-classification": "OVModelForSequenceClassification",
    "zero-shot-classification": "OVModelForSequenceClassification",
    "question-answering": "OVModelForQuestionAnswering",
}
_MAX_TOKENS = 512

app = Celery("plain", broker=os.environ.get("BENCH_BROKER_URL"), backend=os.environ.get("BENCH_BROKER_URL"))
app.conf.broker_connection_retry_on_startup = True
_task = os.environ.get("BENCH_TASK", "text-classification")
_pipeline: Any = None


@signals.worker_process_init.connect
def _load(**_: object) -> None:
    global _pipeline  # noqa: PLW0603 - one per process, set once
    cores = [int(core) for core in os.environ["BENCH_CORES"].split(",")]
    os.sched_setaffinity(0, {cores[current_process().index % len(cores)]})
    import torch
    from transformers import AutoTokenizer, pipeline

    torch.set_num_threads(1)
    torch.set_num_interop_threads(1)
    directory = os.environ["BENCH_MODEL"]
    tokenizer = AutoTokenizer.from_pretrained(directory, model_max_length=_MAX_TOKENS)
    model = _openvino_model(directory) if os.environ["BENCH_LIBRARY"] == "optimum" else directory
    _pipeline = pipeline(_task, model=model, tokenizer=tokenizer, framework="pt", device="cpu")


def _openvino_model(directory: str) -> Any:
    import optimum.intel

    options = {
        "INFERENCE_NUM_THREADS": "1",
        "NUM_STREAMS": "1",
        "ENABLE_CPU_PINNING": "NO",
        "INFERENCE_PRECISION_HINT": "f32",
    }
    return getattr(optimum.intel, _TASKS[_task]).from_pretrained(directory, ov_config=options)


@app.task(name=_task)
def answer(**arguments: Any) -> Any:
    """Answer the arguments of our contract for one item."""
    if _task == "text-classification":
        return _pipeline(arguments["inputs"], truncation=True)
    if _task == "zero-shot-classification":
        return _pipeline(arguments["inputs"], candidate_labels=arguments["candidate_labels"])
    return _pipeline(question=arguments["question"], context=arguments["context"])
