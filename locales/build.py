"""Writes what is said about nodes in English from the nodes themselves: `en/nodeDefs.json` and the tables of the help
pages. Names what the other languages lack, sentences included. Run it after changing a node, an option or a sentence:
`python locales/build.py`.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
sys.path[:0] = [str(ROOT), str(HERE)]

from labels import label_of  # noqa: E402
from sentences import spoken, translations  # noqa: E402

from acestep_core.host.graph.packs import load_pack  # noqa: E402

HEADINGS = {
    "en": {"input": "input", "output": "output", "meaning": "meaning", "example": "Example"},
    "ko": {"input": "입력", "output": "출력", "meaning": "설명", "example": "예시"},
    "zh": {"input": "输入", "output": "输出", "meaning": "说明", "example": "示例"},
}
"""Words of a help page. The frontend asks for `web/docs/<node>/<language>.md` first, then for `web/docs/<node>.md`."""


def texts_of(node_id: str, node: Any) -> dict[str, Any]:
    """What the canvas shows of a node."""
    declared = node.INPUT_TYPES()
    widgets = {name: entry[1] for group in ("required", "optional") for name, entry in declared.get(group, {}).items()}
    outputs = zip(node.RETURN_NAMES, node.OUTPUT_TOOLTIPS, strict=True)
    return {
        "display_name": node.TITLE,
        "description": node.DESCRIPTION,
        "inputs": {
            name: {"name": label_of(node_id, name)} | ({"tooltip": options["tooltip"]} if "tooltip" in options else {})
            for name, options in widgets.items()
        },
        "outputs": {
            str(n): {"name": label_of(node_id, name), "tooltip": tooltip} for n, (name, tooltip) in enumerate(outputs)
        },
    }


def with_tables(page: str, texts: dict[str, Any], node: Any, words: dict[str, str] = HEADINGS["en"]) -> str:
    """A help page with its tables of inputs and outputs made anew."""
    outputs = zip(node.RETURN_NAMES, texts["outputs"].values(), strict=True)
    tables = {"input": list(texts["inputs"].items()), "output": list(outputs)}
    for kind, rows in tables.items():
        lines = [f"| {e['name']} (`{name}`) | {e['tooltip']} |\n" for name, e in rows if "tooltip" in e]
        table = f"| {words[kind]} | {words['meaning']} |\n|---|---|\n" + "".join(lines)
        page = re.sub(rf"\| {words[kind]} \| {words['meaning']} \|\n(\|.*\n)+", lambda _, table=table: table, page)
    return page


def help_texts(language: str) -> dict[str, str]:
    """What `help.md` of a language says of each node, between its description and its tables."""
    parts = re.split(r"^# (\w+)\n", (HERE / language / "help.md").read_text(encoding="utf-8"), flags=re.MULTILINE)
    return {name: text.strip() for name, text in zip(parts[1::2], parts[2::2], strict=True)}


def about(page: str, texts: dict[str, Any]) -> str:
    """The same of a whole page."""
    return page.split("\n## ", 1)[0].split("\n", 1)[1].replace(texts["description"], "", 1).strip()


def shape_of(text: str) -> list[str]:
    """What each block of a help text is, and of how many lines; two languages say the same in the same shape."""
    blocks = [block.strip() for block in re.split(r"\n\s*\n", text) if block.strip()]
    counted = re.compile(r"\||- |```")  # tables, lists, code
    return [f"{kind[0]} {len(block.splitlines())}" if (kind := counted.match(block)) else "text" for block in blocks]


def translated(
    page: str, texts: dict[str, Any], node: Any, language: str, titles: dict[str, str], help_text: str
) -> str:
    """The help page of a node in another language: what is said about it there, its tables, and the same example.

    Args:
        page: the English one.
        help_text: of `help_texts`.
        titles: English title of every node -> its title in the language.
    """
    words = HEADINGS[language]
    example = page[page.index("## Example") + len("## Example") :]
    short = {key.removeprefix("ACE-Step "): name.removeprefix("ACE-Step ") for key, name in titles.items()}
    known = titles | short
    named = "|".join(map(re.escape, sorted(known, key=len, reverse=True)))
    example, help_text = (
        re.sub(rf"(?<![\w-])(?:{named})(?![A-Za-z0-9_-])", lambda found: known[found[0]], text)
        for text in (example, help_text)
    )
    parts = [f"# {texts['display_name']}\n\n{texts['description']}\n\n{help_text}\n\n"]
    for kind in ("input", "output"):
        if texts[f"{kind}s"]:
            head = f"| {words[kind]} | {words['meaning']} |\n|---|---|\n"
            parts.append(f"## {words[kind]}\n\n{head}\n")
    return with_tables("".join(parts), texts, node, words) + f"## {words['example']}{example}"


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
    classes = load_pack(ROOT).classes
    english = {node_id: texts_of(node_id, node) for node_id, node in classes.items()}
    text = json.dumps(english, ensure_ascii=False, indent=2) + "\n"
    (HERE / "en" / "nodeDefs.json").write_text(text, encoding="utf-8")
    pages = {}
    for node_id, texts in english.items():
        page = ROOT / "web" / "docs" / f"{node_id}.md"
        pages[node_id] = with_tables(page.read_text(encoding="utf-8"), texts, classes[node_id])
        page.write_text(pages[node_id], encoding="utf-8")
    wanting = []
    for language in (name for name in HEADINGS if name != "en"):
        there = json.loads((HERE / language / "nodeDefs.json").read_text(encoding="utf-8"))
        wanting += (found := [f"{language}: {path}" for path in lacking(there, english)])
        wanting += [f"{language}, sentences: {text}" for text in spoken() if text not in translations(language)]
        helps = help_texts(language)
        for node_id, page_text in pages.items():
            if shape_of(about(page_text, english[node_id])) != shape_of(helps.get(node_id, "")):
                wanting.append(f"{language}: help.md, {node_id}: another shape than the English page")
        titles = {} if found else {node.TITLE: there[node_id]["display_name"] for node_id, node in classes.items()}
        for node_id, page_text in pages.items() if titles else ():
            page = ROOT / "web" / "docs" / node_id / f"{language}.md"
            page.parent.mkdir(exist_ok=True)
            whole = translated(page_text, there[node_id], classes[node_id], language, titles, helps.get(node_id, ""))
            page.write_text(whole, encoding="utf-8")
    sys.stderr.write("".join(f"missing in {line}\n" for line in wanting))
    return bool(wanting)


if __name__ == "__main__":
    sys.exit(main())
