"""Errors that are raised in a worker and rebuilt wherever the result is read."""

from __future__ import annotations

import json
import pickle
import subprocess
import sys
import uuid

import pytest
from celery import Celery
from celery.exceptions import TimeLimitExceeded

from examples.local_stack import PATIENCE_S, LocalServer
from producer.errors import (
    CeleriacError,
    ErrorCode,
    InvalidRequest,
    ModelFailed,
    RemoteFailure,
    RequestError,
    ServiceUnavailable,
    UnknownModel,
    UnknownTask,
)

#: Celery 5.7 stores results with a command that redis-py 8 has deprecated.
pytestmark = pytest.mark.filterwarnings("ignore:Call to deprecated setex:DeprecationWarning")

CLASSES = [InvalidRequest, UnknownModel, UnknownTask, ModelFailed]
#: A service with Celery but without this package reads a failed result.
STOCK_SERVICE = """
import json, sys
sys.modules["producer"] = None  # as if it were not installed
from celery import Celery
url, task_id = sys.argv[1:]
app = Celery("stock", broker=url, backend=url)
try:
    app.AsyncResult(task_id).get(timeout=300)
except Exception as error:
    print(json.dumps([type(error).__name__, type(error).__module__, error.args]))
"""


def error_of(kind: type[RequestError]) -> RequestError:
    return kind.of(ErrorCode.TOO_LONG, "inputs[3]: is too long", field="inputs[3]", limit=512)


@pytest.mark.parametrize("kind", CLASSES)
def test_an_error_is_rebuilt_from_its_arguments_as_json_and_as_pickle(kind: type[RequestError]) -> None:
    error = error_of(kind)
    for rebuilt in (kind(*json.loads(json.dumps(error.args))), pickle.loads(pickle.dumps(error))):  # noqa: S301
        assert type(rebuilt) is kind
        assert str(rebuilt) == "inputs[3]: is too long"
        assert (rebuilt.code, rebuilt.field, rebuilt.limit) == (ErrorCode.TOO_LONG, "inputs[3]", 512)


@pytest.mark.parametrize("kind", CLASSES)
def test_celery_raises_the_same_class_where_this_package_is_installed(kind: type[RequestError], stock: Celery) -> None:
    request_id = str(uuid.uuid4())
    stock.backend.mark_as_failure(request_id, error_of(kind))
    with pytest.raises(kind) as caught:
        stock.AsyncResult(request_id).get(timeout=PATIENCE_S)
    assert caught.value.details == {"code": "too_long", "field": "inputs[3]", "limit": 512}


def test_celery_raises_a_class_of_that_name_where_this_package_is_not_installed(
    server: LocalServer, stock: Celery
) -> None:
    request_id = str(uuid.uuid4())
    stock.backend.mark_as_failure(request_id, error_of(UnknownModel))
    command = [sys.executable, "-c", STOCK_SERVICE, server.url, request_id]
    printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    name, module, arguments = json.loads(printed)
    assert (name, module) == ("UnknownModel", "celery.exceptions")
    assert arguments == ["inputs[3]: is too long", {"code": "too_long", "field": "inputs[3]", "limit": 512}]


@pytest.mark.parametrize("kind", CLASSES)
def test_celery_keeps_name_and_arguments_in_what_it_stores(kind: type[RequestError], stock: Celery) -> None:
    stored = json.loads(stock.backend.encode(stock.backend.prepare_exception(error_of(kind))))
    assert stored["exc_type"] == kind.__name__
    assert stored["exc_message"] == list(error_of(kind).args)


def test_a_failure_of_the_worker_says_what_it_was() -> None:
    error = RemoteFailure(TimeLimitExceeded.__name__, "45")
    assert (error.name, str(error)) == ("TimeLimitExceeded", "TimeLimitExceeded: 45")
    assert str(pickle.loads(pickle.dumps(error))) == str(error)  # noqa: S301


def test_every_error_of_the_package_can_be_caught_as_one() -> None:
    kinds = {*CLASSES, RemoteFailure, *ServiceUnavailable.__subclasses__(), *CeleriacError.__subclasses__()}
    assert all(issubclass(kind, CeleriacError) for kind in kinds)
    assert {kind.__name__ for kind in ServiceUnavailable.__subclasses__()} == {
        "BrokerUnavailable",
        "ResultBackendUnavailable",
    }
