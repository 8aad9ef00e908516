"""A service that uses the producer loads nothing that only a worker needs."""

from __future__ import annotations

import json
import subprocess
import sys
from functools import cache

import pytest

INFERENCE = {"openvino", "numpy", "torch", "transformers", "tokenizers", "nncf", "optimum"}


@cache
def loaded_by(statement: str) -> frozenset[str]:
    """The names of the packages that a fresh interpreter has loaded after a statement."""
    code = f"import json, sys\n{statement}\nprint(json.dumps(sorted({{name.split('.')[0] for name in sys.modules}})))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return frozenset(json.loads(done.stdout))


@pytest.mark.parametrize("statement", ["import producer", "from producer import Client"])
def test_the_producer_loads_no_inference_library(statement: str) -> None:
    assert not loaded_by(statement) & INFERENCE


@pytest.mark.parametrize("statement", ["import producer", "import producer.contract"])
def test_the_contract_alone_loads_neither_celery_nor_redis(statement: str) -> None:
    assert not loaded_by(statement) & {"celery", "kombu", "redis", "billiard"}


def test_the_producer_loads_no_other_part_of_this_project() -> None:
    assert not loaded_by("from producer import Client") & {"worker", "config", "models"}


def test_a_name_that_the_package_does_not_have_is_an_attribute_error() -> None:
    import producer

    with pytest.raises(AttributeError, match="Klient"):
        _ = producer.Klient
