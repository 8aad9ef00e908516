"""The licence comes from the front matter of the card."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.mark.prepare
@pytest.mark.parametrize(
    ("card", "licence"),
    [
        ("---\nlicense: mit\n---\n", "mit"),
        ("---\nlicense: other\nlicense_name: my-licence\n---\n", "my-licence"),
        ("---\nlicense: [mit, apache-2.0]\n---\n", "mit, apache-2.0"),
        ("---\nlanguage: en\n---\n", "unknown"),
        ("# No front matter\n", "unknown"),
        ("---\nlicense: [\n---\n", "unknown"),
        (None, "unknown"),
    ],
)
def test_the_licence_is_what_the_card_names(tmp_path: Path, card: str | None, licence: str) -> None:
    pytest.importorskip("huggingface_hub")
    from models.prepare.source.licence import read_licence

    if card is not None:
        (tmp_path / "README.md").write_text(card)
    assert read_licence(tmp_path) == licence
