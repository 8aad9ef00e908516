"""Compiled models on disk: the same outputs, whatever the files contain and whoever else writes them."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from models.engine import compiled_cache
from models.engine.compiled_cache import CompiledFile, compiled_file, delete_compiled
from models.engine.engine import Engine, TokenSequence
from models.store import MODEL_NAME, StoredModel
from tests.models.options import engine_options

SEQUENCES = [TokenSequence([101, *range(2000, 2000 + size), 102], [0] * (size + 2)) for size in (1, 5, 30, 200)]
LONGEST = 512


def compute(model: StoredModel, cache_dir: Path | None) -> list[bytes]:
    """The outputs of the model for some sequences, as bytes."""
    options = engine_options(cache_dir=cache_dir)
    engine = Engine(model.directory / MODEL_NAME, LONGEST, options, revision=model.manifest.revision)
    return [b"".join(output.tobytes() for output in outputs) for outputs in engine.compute(SEQUENCES)]


def blobs(directory: Path) -> list[Path]:
    return sorted(directory.glob("*.blob"))


@pytest.fixture(scope="module")
def expected(sentiment: StoredModel) -> list[bytes]:
    """The outputs without a cache."""
    return compute(sentiment, None)


@pytest.fixture(scope="module")
def filled(sentiment: StoredModel, expected: list[bytes], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file of the model in a cache that no test changes."""
    directory = tmp_path_factory.mktemp("filled")
    assert compute(sentiment, directory) == expected
    (path,) = blobs(directory)
    return path


@pytest.fixture
def cached(filled: Path, tmp_path: Path) -> Iterator[Path]:
    """The file of the model in a cache of the test's own. It must exist at the end of the test."""
    path = Path(shutil.copy(filled, tmp_path))
    yield path
    assert blobs(tmp_path) == [path]
    # OpenVINO generates names of different lengths.
    assert path.stat().st_size == pytest.approx(filled.stat().st_size, rel=0.01)


def test_a_cached_model_gives_the_same_bits_and_is_written_once(
    sentiment: StoredModel, cached: Path, expected: list[bytes]
) -> None:
    before = cached.stat().st_ino
    assert compute(sentiment, cached.parent) == expected
    assert cached.stat().st_ino == before


@pytest.mark.parametrize("name", ["nli", "qa"])
def test_the_other_bundled_models_give_the_same_bits_too(
    request: pytest.FixtureRequest, name: str, tmp_path: Path
) -> None:
    model = request.getfixturevalue(name)
    expected = compute(model, None)
    assert compute(model, tmp_path) == expected
    assert compute(model, tmp_path) == expected
    assert len(blobs(tmp_path)) == 1


@pytest.mark.parametrize("harm", ["empty", "short", "truncated", "changed", "none of ours"])
def test_a_damaged_file_is_made_anew(
    sentiment: StoredModel, cached: Path, expected: list[bytes], caplog: pytest.LogCaptureFixture, harm: str
) -> None:
    whole = cached.read_bytes()
    middle = len(whole) // 2
    cached.write_bytes(
        {
            "empty": b"",
            "short": b"x" * 10,
            "truncated": whole[:middle],
            "changed": whole[:middle] + bytes([whole[middle] ^ 1]) + whole[middle + 1 :],
            "none of ours": b"x" * 10_000,
        }[harm]
    )
    assert compute(sentiment, cached.parent) == expected
    assert harm == "empty" or "is damaged" in caplog.text


def test_a_whole_file_that_openvino_does_not_take_is_dropped(
    sentiment: StoredModel, cached: Path, expected: list[bytes], caplog: pytest.LogCaptureFixture
) -> None:
    CompiledFile(cached).write(memoryview(b"no model at all" * 1000))
    assert compute(sentiment, cached.parent) == expected
    assert "OpenVINO rejects" in caplog.text
    assert blobs(cached.parent) == []
    assert compute(sentiment, cached.parent) == expected


def test_a_cache_that_cannot_be_written_is_done_without(
    sentiment: StoredModel, tmp_path: Path, expected: list[bytes], caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "cache").write_text("a file where the directory should be")
    assert compute(sentiment, tmp_path / "cache") == expected
    assert "compiled models cannot be kept" in caplog.text


def test_nothing_half_written_is_left_when_the_disk_is_full(tmp_path: Path) -> None:
    cached = CompiledFile(tmp_path / "model.blob")
    code = (
        "import resource, sys; from pathlib import Path; from models.engine.compiled_cache import CompiledFile\n"
        "import signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "before = resource.getrlimit(resource.RLIMIT_FSIZE)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))\n"
        "print(CompiledFile(Path(sys.argv[1])).read_or_compile(lambda: memoryview(b'x' * 5000)))\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, before)\n"  # what measures coverage writes a file
    )
    done = subprocess.run([sys.executable, "-c", code, cached.path], capture_output=True, text=True, check=True)
    assert done.stdout == "None\n"
    assert [path.name for path in tmp_path.iterdir()] == ["model.lock"]


def test_what_a_killed_process_was_writing_is_cleared_by_the_next(tmp_path: Path) -> None:
    cached = CompiledFile(tmp_path / "model.blob")
    code = (
        "import resource, signal, sys; from pathlib import Path\n"
        "from models.engine.compiled_cache import CompiledFile\n"
        "resource.setrlimit(resource.RLIMIT_CORE, (0, 0))\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_DFL)\n"  # the kernel kills the process within its write
        "CompiledFile(Path(sys.argv[1])).read_or_compile(lambda: memoryview(b'x' * 5000))\n"
    )
    killed = subprocess.run([sys.executable, "-c", code, cached.path], check=False)
    assert killed.returncode == -signal.SIGXFSZ
    (left,) = tmp_path.glob(".model-*")
    other = tmp_path / ".other-half"  # another model's, which somebody may be writing
    other.write_bytes(b"")

    assert cached.read_or_compile(lambda: memoryview(b"whole")) is not None
    assert not left.exists()
    assert other.exists()


def test_a_process_that_does_not_get_done_is_not_waited_for_for_ever(
    sentiment: StoredModel, tmp_path: Path, filled: Path, expected: list[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compiled_cache, "_WAIT_S", 0.1)
    with CompiledFile(tmp_path / filled.name).locked(wait_s=1.0):
        assert compute(sentiment, tmp_path) == expected
    assert blobs(tmp_path) == []


def test_processes_that_start_together_on_an_empty_cache_all_get_the_same(
    tmp_path: Path, expected: list[bytes]
) -> None:
    code = (
        "import sys; from pathlib import Path; from tests.models.engine.test_compiled_cache import compute\n"
        "from models.store import find\n"
        "sys.stdout.buffer.write(b''.join(compute(find('sentiment', Path('nowhere')), Path(sys.argv[1]))))\n"
    )
    command = [sys.executable, "-c", code, str(tmp_path)]
    several = [subprocess.Popen(command, stdout=subprocess.PIPE) for _ in range(3)]
    assert [one.communicate()[0] for one in several] == [b"".join(expected)] * 3
    assert len(blobs(tmp_path)) == 1
    assert {path.suffix for path in tmp_path.iterdir()} == {".blob", ".lock"}


def test_another_cpu_version_revision_or_option_has_a_file_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = set()
    for flags in ("avx2", "avx2 avx512_vnni"):
        info = tmp_path / "cpuinfo"
        info.write_text(f"processor\t: 0\nmodel name\t: one\nflags\t\t: {flags}\n\nprocessor\t: 1\n")
        monkeypatch.setattr("models.engine.cpu._CPUINFO", info)
        for revision in ("a", "b"):
            for version in ("1", "2"):
                for options in ({"precision": "f32"}, {"precision": "bf16"}, {}):
                    names.add(compiled_file(tmp_path, revision, version, options).path)
    assert len(names) == 2 * 2 * 2 * 3
    info.write_text(info.read_text().replace("processor\t: 0", "processor\t: 5").replace("one", "one") + "cpu MHz: 1\n")
    assert compiled_file(tmp_path, "a", "1", {}).path in names


def test_what_nobody_has_used_for_long_goes_when_something_comes(tmp_path: Path) -> None:
    long_ago_s = time.time() - 31 * 24 * 3600
    for name in ("old.blob", "old.lock", ".old-temporary", "young.blob"):
        (tmp_path / name).write_bytes(b"")
        if "old" in name:
            os.utime(tmp_path / name, (long_ago_s, long_ago_s))
    CompiledFile(tmp_path / "new.blob").write(memoryview(b"new"))
    assert {path.name for path in tmp_path.iterdir()} == {"young.blob", "new.blob"}


def test_what_is_read_counts_as_used(tmp_path: Path) -> None:
    cached = CompiledFile(tmp_path / "new.blob")
    cached.write(memoryview(b"content"))
    os.utime(cached.path, (0, 0))
    found = cached.read()
    assert found is not None
    assert np.array_equal(found, np.frombuffer(b"content", np.uint8))
    assert cached.path.stat().st_mtime > 0


def test_a_removed_model_is_forgotten_for_every_cpu(tmp_path: Path) -> None:
    for name in ("aaaa-1.blob", "aaaa-2.blob", "aaaa-1.lock", ".aaaa-1-half", "bbbb-1.blob"):
        (tmp_path / name).write_bytes(b"")
    delete_compiled(tmp_path, "aaaa")
    assert [path.name for path in tmp_path.iterdir()] == ["bbbb-1.blob"]
    delete_compiled(tmp_path / "nowhere", "aaaa")
