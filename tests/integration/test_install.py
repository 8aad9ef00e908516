"""What the two distributions contain, and what installing them adds to an environment."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from email.message import Message
from email.parser import Parser
from pathlib import Path

import pytest

from examples.local_stack import PATIENCE_S, LocalServer, LocalWorker, free_port
from models.store import BUNDLED_DIRECTORY
from producer import Client

ROOT = Path(__file__).resolve().parents[2]
WORKER_PROJECT = ROOT / "deploy" / "celeriac-worker"
MAX_SERVICE_WHEEL_BYTES = 200_000
#: PyPI's default limit for one file.
MAX_WORKER_WHEEL_BYTES = 100 * 1024**2
WORKER_PACKAGES = {"worker", "config", "models"}
REQUEST = {"task": "text-classification", "inputs": "A delight."}
#: The top-level packages and modules of every installed distribution.
PRINT_TOP_LEVEL = """
import importlib.metadata, json
print(json.dumps({d.name.lower(): sorted({f.parts[0] for f in d.files if f.suffix == ".py"})
                  for d in importlib.metadata.distributions()}))
"""


def build_wheel(project: Path, target: Path) -> Path:
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(target), str(project)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    (built,) = target.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def service_wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel that a service installs."""
    return build_wheel(ROOT, tmp_path_factory.mktemp("service-wheel"))


@pytest.fixture(scope="module")
def worker_wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel that a worker installs on top of it."""
    return build_wheel(WORKER_PROJECT, tmp_path_factory.mktemp("worker-wheel"))


@pytest.fixture(scope="module")
def service_python(service_wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of a new environment in which the service's wheel, and what it requires, is installed."""
    environment = tmp_path_factory.mktemp("service") / "venv"
    subprocess.run([sys.executable, "-m", "venv", str(environment)], check=True)
    python = environment / "bin" / "python"
    constraints = str(ROOT / "constraints.txt")
    install = [str(python), "-m", "pip", "install", "--quiet", "-c", constraints, str(service_wheel)]
    subprocess.run(install, check=True, capture_output=True)
    return python


@pytest.fixture(scope="module")
def worker_site(service_wheel: Path, worker_wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with both distributions; their requirements are those of this interpreter."""
    site = tmp_path_factory.mktemp("worker") / "site"
    install = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(site)]
    subprocess.run([*install, str(service_wheel), str(worker_wheel)], check=True, capture_output=True)
    return site


def metadata_of(wheel: Path) -> Message:
    with zipfile.ZipFile(wheel) as opened:
        (name,) = [name for name in opened.namelist() if name.endswith(".dist-info/METADATA")]
        return Parser().parsestr(opened.read(name).decode())


def run_as_service(python: Path, *arguments: str, cwd: Path, text: str = "", **variables: str) -> tuple[int, str, str]:
    """Exit status, output and error output of the service's Python, which knows nothing of the checkout."""
    done = subprocess.run(
        [str(python), *arguments],
        input=text,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
        cwd=cwd,
        env={"PATH": "/usr/bin:/bin", "HOME": str(cwd), **variables},
    )
    return done.returncode, done.stdout, done.stderr


def test_the_wheel_of_a_service_is_small_and_typed_and_has_one_package(service_wheel: Path) -> None:
    names = zipfile.ZipFile(service_wheel).namelist()

    assert service_wheel.stat().st_size < MAX_SERVICE_WHEEL_BYTES
    assert {name.partition("/")[0] for name in names if ".dist-info/" not in name} == {"producer"}
    assert {"producer/__init__.py", "producer/py.typed"} <= set(names)


def test_the_wheel_of_a_worker_has_the_other_packages_with_the_bundled_models(worker_wheel: Path) -> None:
    names = zipfile.ZipFile(worker_wheel).namelist()

    assert worker_wheel.stat().st_size < MAX_WORKER_WHEEL_BYTES
    assert {name.partition("/")[0] for name in names if ".dist-info/" not in name} == WORKER_PACKAGES
    for package in WORKER_PACKAGES:
        assert {f"{package}/__init__.py", f"{package}/py.typed"} <= set(names)
    for model in BUNDLED_DIRECTORY.iterdir():
        assert f"models/bundled/{model.name}/openvino_model.bin" in names
    assert not [name for name in names if "__pycache__" in name or name.endswith(".pyc")]
    assert {Path(name).name for name in names if "/licenses/" in name} == {"LICENSE", "NOTICE"}


def test_a_worker_requires_the_service_distribution_of_its_own_version(service_wheel: Path, worker_wheel: Path) -> None:
    service, worker = metadata_of(service_wheel), metadata_of(worker_wheel)
    version = service["Version"]

    assert worker["Version"] == version
    assert [wanted for wanted in worker.get_all("Requires-Dist", []) if ";" not in wanted] == [
        f"celeriac[worker]=={version}"
    ]
    assert {"worker", *worker.get_all("Provides-Extra", [])} <= set(service.get_all("Provides-Extra", []))


def test_there_is_no_source_distribution_of_the_worker_and_the_error_says_where_the_sources_are(
    tmp_path: Path,
) -> None:
    command = [sys.executable, "-m", "build", "--sdist", "--no-isolation", "--outdir", str(tmp_path)]
    done = subprocess.run([*command, str(WORKER_PROJECT)], capture_output=True, text=True, check=False)

    assert done.returncode != 0
    assert "the source distribution of celeriac" in (done.stdout + done.stderr).replace("\n", " ")


@pytest.mark.timeout(300)
def test_an_install_adds_one_package_of_ours_and_neither_openvino_nor_torch_nor_numpy_nor_transformers(
    service_python: Path, tmp_path: Path
) -> None:
    status, output, errors = run_as_service(service_python, "-c", PRINT_TOP_LEVEL, cwd=tmp_path)

    assert status == 0, errors
    installed = json.loads(output)
    assert installed["celeriac"] == ["producer"]
    assert not WORKER_PACKAGES & {name for names in installed.values() for name in names}
    assert "celery" in installed
    assert not set(installed) & {"openvino", "torch", "numpy", "transformers", "tokenizers", "sentry-sdk"}


@pytest.mark.timeout(300)
def test_the_command_of_a_service_runs_without_a_worker_installed(service_python: Path, tmp_path: Path) -> None:
    status, output, errors = run_as_service(service_python, "-m", "producer", "--help", cwd=tmp_path)

    assert (status, errors) == (0, "")
    assert "--broker-url" in output


@pytest.fixture
def django_like(tmp_path: Path) -> Path:
    """A project with packages of its own that are called as ours are."""
    for module, source in {
        "config/__init__.py": "",
        "config/settings.py": "OWNER = 'project'\n",
        "models/__init__.py": "OWNER = 'project'\n",
        "worker.py": "OWNER = 'project'\n",
    }.items():
        path = tmp_path / module
        path.parent.mkdir(exist_ok=True)
        path.write_text(source, encoding="utf-8")
    return tmp_path


@pytest.mark.timeout(300)
def test_a_project_with_packages_of_the_same_names_keeps_its_own(service_python: Path, django_like: Path) -> None:
    code = (
        "import config.settings, models, worker; from producer import Client; "
        "Client('redis://127.0.0.1:1/0').close(); print(config.settings.OWNER, models.OWNER, worker.OWNER)"
    )

    status, output, errors = run_as_service(service_python, "-c", code, cwd=django_like)

    assert (status, output) == (0, "project project project\n"), errors


@pytest.fixture
def others_config(service_python: Path) -> Iterator[None]:
    """A package ``config`` of another distribution, installed beside ours."""
    (site,) = service_python.parents[1].glob("lib/python*/site-packages")
    package = site / "config"
    package.mkdir()
    (package / "__init__.py").touch()
    yield
    shutil.rmtree(package)


@pytest.mark.timeout(300)
@pytest.mark.usefixtures("others_config")
def test_the_command_of_a_service_reads_no_config_of_another_distribution(service_python: Path, tmp_path: Path) -> None:
    url = f"redis://127.0.0.1:{free_port()}/0"

    status, output, errors = run_as_service(
        service_python,
        *("-m", "producer", "--timeout-s", "1"),
        cwd=tmp_path,
        text=json.dumps(REQUEST),
        CELERIAC_BROKER_URL=url,
    )

    assert status == 3, output + errors
    assert "Traceback" not in errors


@pytest.fixture(scope="module")
def server() -> Iterator[LocalServer]:
    """A server of these tests' own: on the shared one, the worker of other tests would answer too."""
    with LocalServer() as started:
        yield started


@pytest.fixture(scope="module")
def installed_variables(
    worker_site: Path, server: LocalServer, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, str]:
    """Variables for a worker of the installed packages."""
    return {
        "PYTHONPATH": str(worker_site),
        "CELERIAC_BROKER_URL": server.url,
        "CELERIAC_MODELS": "sentiment",
        "CELERIAC_CORES_LEASE_DIR": str(tmp_path_factory.mktemp("leases")),
    }


@pytest.fixture(scope="module")
def installed_worker(
    installed_variables: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[LocalWorker]:
    directory = tmp_path_factory.mktemp("elsewhere")
    with LocalWorker(["--concurrency=1"], installed_variables, directory) as worker:
        worker.wait_until_ready()
        yield worker


def test_a_worker_of_both_distributions_answers_with_a_bundled_model(
    installed_worker: LocalWorker, installed_variables: dict[str, str], worker_site: Path, client: Client
) -> None:
    code = "import producer, worker, config, models; print(producer.__file__, worker.__file__, models.__file__)"
    environment = {**os.environ, **installed_variables}
    done = subprocess.run(
        [sys.executable, "-P", "-c", code], capture_output=True, text=True, check=True, env=environment
    )

    (answer,) = client.classify("A delight.")

    assert all(Path(file).is_relative_to(worker_site) for file in done.stdout.split())
    assert answer["label"] == "POSITIVE", installed_worker.log


@pytest.mark.timeout(300)
@pytest.mark.usefixtures("installed_worker")
def test_the_command_of_a_service_takes_its_server_from_the_environment_beside_a_config_of_the_projects_own(
    service_python: Path, django_like: Path, server: LocalServer
) -> None:
    status, output, errors = run_as_service(
        service_python,
        "-m",
        "producer",
        cwd=django_like,
        text=json.dumps(REQUEST),
        CELERIAC_BROKER_URL=server.url,
    )

    assert status == 0, errors
    assert json.loads(output)["result"][0]["label"] == "POSITIVE"


@pytest.mark.timeout(300)
def test_a_worker_without_models_names_the_command_that_gets_one(worker_site: Path, tmp_path: Path) -> None:
    site = tmp_path / "site"
    shutil.copytree(worker_site, site, ignore=shutil.ignore_patterns("bundled"))

    done = subprocess.run(
        [sys.executable, "-m", "celery", "-A", "worker", "worker"],
        cwd=site,
        env={"PYTHONPATH": str(site), "PATH": "/usr/bin:/bin", "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )

    assert done.returncode != 0
    assert "python -m models prepare MODEL --as sentiment" in done.stderr
