"""`acestep workflows`: what `acestep run NAME` can do."""

from __future__ import annotations

import argparse
import difflib
import json
import sys
from pathlib import Path
from typing import Any

from acestep_core.errors import GraphError
from acestep_core.host.graph.packs import find_pack
from acestep_core.io.names import meant
from acestep_core.io.text import read_text


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    parser = subparsers.add_parser("workflows", help="list the workflows that come with this", description=__doc__)
    parser.add_argument("--json", action="store_true", help="print name and description as JSON, one a line")


def run(options: argparse.Namespace) -> int:
    known = shipped()
    width = max(map(len, known), default=0)
    for name, path in known.items():
        about = _about(json.loads(read_text(path)))
        sys.stdout.write(f"{json.dumps(about | {'name': name})}\n" if options.json else _line(name, width, about))
    return 0


def shipped() -> dict[str, Path]:
    """The workflows of the pack that this command belongs to, by name."""
    pack = find_pack()
    files = sorted((pack / "workflows").glob("*.json")) if pack else []
    return {file.stem: file for file in files if not file.stem.endswith("_app")}


def recordings() -> list[Path]:
    """The folder of the recordings that shipped workflows open with."""
    pack = find_pack()
    return [pack / "workflows" / "examples"] if pack else []


def located(named: Path) -> Path:
    """A file, or the shipped workflow of that name.

    Raises:
        GraphError: there is neither.
    """
    named = meant(named)
    if named.is_file():
        return named
    known = shipped()
    if str(named) in known:
        return known[str(named)]
    near = difflib.get_close_matches(str(named), known, 1)
    hint = f"did you mean {near[0]}?" if near else "`acestep workflows` lists those that there are."
    raise GraphError(f"There is no file {named} and no workflow of that name; {hint}")


def _about(canvas: dict[str, Any]) -> dict[str, str]:
    """Title and text of the note that stands beside a workflow."""
    note: dict[str, Any] = next((node for node in canvas["nodes"] if node["type"] == "MarkdownNote"), {})
    return {"title": str(note.get("title", "")), "description": str((note.get("widgets_values") or [""])[0])}


def _line(name: str, width: int, about: dict[str, str]) -> str:
    first = about["description"].partition(". ")[0].rstrip(".")
    return f"{name:<{width}}  {about['title']}: {first}.\n"
