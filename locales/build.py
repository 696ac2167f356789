"""Writes what is said about nodes in English from the nodes themselves: `en/nodeDefs.json` and the tables of the help
pages. Names what the other languages lack. Run it after changing a node or an option: `python locales/build.py`.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
sys.path.insert(0, str(ROOT))

from acestep_core.host.graph.packs import load_pack  # noqa: E402


def texts_of(node: Any) -> dict[str, Any]:
    """What the canvas shows of a node."""
    declared = node.INPUT_TYPES()
    widgets = {name: entry[1] for group in ("required", "optional") for name, entry in declared.get(group, {}).items()}
    outputs = zip(node.RETURN_NAMES, node.OUTPUT_TOOLTIPS, strict=True)
    return {
        "display_name": node.TITLE,
        "description": node.DESCRIPTION,
        "inputs": {
            name: {"name": name} | ({"tooltip": options["tooltip"]} if "tooltip" in options else {})
            for name, options in widgets.items()
        },
        "outputs": {str(n): {"name": name, "tooltip": tooltip} for n, (name, tooltip) in enumerate(outputs)},
    }


def with_tables(page: str, texts: dict[str, Any]) -> str:
    """A help page with its tables of inputs and outputs made anew."""
    tables = {
        "input": [(name, entry["tooltip"]) for name, entry in texts["inputs"].items() if "tooltip" in entry],
        "output": [(entry["name"], entry["tooltip"]) for entry in texts["outputs"].values()],
    }
    for kind, rows in tables.items():
        table = f"| {kind} | meaning |\n|---|---|\n" + "".join(f"| `{name}` | {text} |\n" for name, text in rows)
        page = re.sub(rf"\| {kind} \| meaning \|\n(\|.*\n)+", lambda _, table=table: table, page)
    return page


def lacking(texts: Any, expected: Any, where: str = "") -> list[str]:
    """Paths of what a translation lacks."""
    if not isinstance(expected, dict):
        return []
    found = []
    for name, value in expected.items():
        path = f"{where}.{name}".lstrip(".")
        found += [path] if name not in texts else lacking(texts[name], value, path)
    return found


def main() -> int:
    english = {node_id: texts_of(node) for node_id, node in load_pack(ROOT).classes.items()}
    text = json.dumps(english, ensure_ascii=False, indent=2) + "\n"
    (HERE / "en" / "nodeDefs.json").write_text(text, encoding="utf-8")
    for node_id, texts in english.items():
        page = ROOT / "web" / "docs" / f"{node_id}.md"
        page.write_text(with_tables(page.read_text(encoding="utf-8"), texts), encoding="utf-8")
    wanting = []
    for language in sorted(path.name for path in HERE.iterdir() if path.is_dir() and path.name != "en"):
        there = json.loads((HERE / language / "nodeDefs.json").read_text(encoding="utf-8"))
        wanting += [f"{language}: {path}" for path in lacking(there, english)]
    sys.stderr.write("".join(f"missing in {line}\n" for line in wanting))
    return bool(wanting)


if __name__ == "__main__":
    sys.exit(main())
