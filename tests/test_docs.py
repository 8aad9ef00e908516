"""The documents say what is so: their Python runs, their commands and paths exist."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from config.report import example_env
from examples.local_stack import PATIENCE_S, LocalServer

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)
DOCUMENTS = sorted(
    [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md"), *(ROOT / "deploy").rglob("*.md")]
)
DECISIONS = sorted((ROOT / "docs" / "decisions").glob("[0-9]*.md"))
#: A path of the repository, with a directory's slash or a file's ending.
PATH = r"(?:(?:worker|models|producer|config|tests|docs|deploy|examples|benchmarks)/[\w./-]*|[\w./-]+\.(?:py|lua|md))"


@pytest.mark.usefixtures("worker")
@pytest.mark.parametrize("block", BLOCKS, ids=lambda block: block.strip().splitlines()[0])
def test_the_python_of_the_readme_runs_and_prints_what_it_says(block: str, server: LocalServer) -> None:
    code = block.replace("redis://localhost:6379/0", server.url)

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=PATIENCE_S, check=False)

    assert done.returncode == 0, done.stderr
    assert "error" not in done.stdout
    for label, score in re.findall(r"# \[\{'label': '(\w+)', 'score': ([\d.]+)\}\]", block):
        found = re.search(rf"\[\{{'label': '{label}', 'score': ([\d.]+)\}}\]", done.stdout)
        assert found, done.stdout
        assert float(found[1]) == pytest.approx(float(score), abs=0.02)


def test_the_readme_has_examples() -> None:
    assert len(BLOCKS) >= 3


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_what_a_document_links_to_exists(document: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", document.read_text(encoding="utf-8")):
        if not target.startswith("https://"):
            assert (document.parent / target).exists(), target


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_setting_that_a_document_names_exists(document: Path) -> None:
    named = set(re.findall(r"CELERIAC_[A-Z_]+[A-Z]", document.read_text(encoding="utf-8")))

    assert named <= set(re.findall(r"CELERIAC_[A-Z_]+[A-Z]", example_env()))


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_module_and_make_target_that_a_document_runs_exists(document: Path) -> None:
    text = document.read_text(encoding="utf-8")
    targets = re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), flags=re.MULTILINE)

    for module in set(re.findall(r"python -m ([a-z_.]+[a-z_])", text)):
        assert list(ROOT.glob(f"{module.replace('.', '/')}.py")) or (ROOT / module.replace(".", "/")).is_dir(), module
    for target in set(re.findall(r"`make ([a-z]+)|^make ([a-z]+)", text, flags=re.MULTILINE)):
        assert (target[0] or target[1]) in targets


@pytest.mark.parametrize("document", [ROOT / "docs" / "architecture.md", *DECISIONS], ids=lambda path: path.name)
def test_every_path_that_the_architecture_and_the_decisions_name_exists(document: Path) -> None:
    text = document.read_text(encoding="utf-8")

    # In backticks, or at the beginning of a line of the picture.
    named = set(re.findall(rf"`({PATH})`|^({PATH})(?= )", text, flags=re.MULTILINE))

    assert [path for path in map("".join, named) if not (ROOT / path).exists()] == []


def test_the_picture_and_the_decisions_name_paths() -> None:
    text = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "docs" / "architecture.md", *DECISIONS))

    assert len(re.findall(rf"`{PATH}`", text)) > 50
    assert len(re.findall(rf"^{PATH}(?= )", text, flags=re.MULTILINE)) > 20


def test_the_index_lists_every_decision() -> None:
    index = (ROOT / "docs" / "decisions" / "README.md").read_text(encoding="utf-8")

    assert sorted(re.findall(r"\]\(([^)]+\.md)\)", index.partition("## ")[2])) == [path.name for path in DECISIONS]


@pytest.mark.parametrize("document", DECISIONS, ids=lambda path: path.name)
def test_a_decision_has_its_parts(document: Path) -> None:
    lines = document.read_text(encoding="utf-8").splitlines()

    assert lines[0].startswith(f"# {document.name[:4]}: ")
    parts = [line.removeprefix("## ") for line in lines if line.startswith("## ")]
    assert [part for part in parts if part != "Measured"] == ["Context", "Decision", "Consequences"]
