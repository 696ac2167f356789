"""What the documents for developers point at is there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
DOCUMENTS = ("docs/ARCHITECTURE.md", "CONTRIBUTING.md")
PLACE = re.compile(r"`([\w./]+\.(?:py|json|md|txt))(?:: (\w+))?`")
"""`folder/file.py`, or `folder/file.py: name` for something in it."""


def places() -> list[tuple[str, str]]:
    texts = [(ROOT / name).read_text(encoding="utf-8") for name in DOCUMENTS]
    return sorted({(path, name) for text in texts for path, name in PLACE.findall(text)})


@pytest.mark.parametrize(("path", "name"), [(path, name) for path, name in places() if "/" in path])
def test_what_is_named_exists(path: str, name: str) -> None:
    """Paths are those of the repository or, for short, of the library."""
    file = next((file for file in (ROOT / path, ROOT / "acestep_core" / path) if file.exists()), None)
    assert file is not None
    assert re.search(rf"^\s*(def|class) {name}\b" if name else "", file.read_text(encoding="utf-8"), re.MULTILINE)


def test_the_notice_names_files_that_exist() -> None:
    text = (ROOT / "NOTICE").read_text(encoding="utf-8")
    named = re.findall(r"^  ((?:acestep_core|tests)/\S+\.py)", text, re.MULTILINE)
    assert len(named) > 5 and all((ROOT / path).is_file() for path in named)


def test_readme_links_lead_somewhere() -> None:
    links = re.findall(r"\]\((?!http)([^)#]+)\)", (ROOT / "README.md").read_text(encoding="utf-8"))
    assert set(DOCUMENTS) <= set(links) and all((ROOT / link).is_file() for link in links)


def test_every_room_is_in_the_table() -> None:
    table = [line for line in (ROOT / DOCUMENTS[0]).read_text(encoding="utf-8").splitlines() if line.startswith("| `")]
    named = " ".join(line.split("|")[1] for line in table)
    rooms = [path.parent.name for path in (ROOT / "acestep_core").glob("*/__init__.py")]
    assert rooms and not [room for room in rooms if not re.search(rf"`{room}\b", named)]
