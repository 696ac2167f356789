"""The rows of a batch, from the files that spreadsheets and programs write, or from a folder of recordings."""

from __future__ import annotations

import csv
import io
import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from acestep_core.errors import GraphError
from acestep_core.host.client.sources import is_recording
from acestep_core.host.graph.workflow import Workflow
from acestep_core.io.text import read_text

_SHEETS = (".csv", ".tsv", ".tab")
_SEPARATORS = ",;\t|"
_COMMENT = re.compile(r"""\s*(["']?#(?!["']?\s*[,;\t|]).*)?""", re.DOTALL)


def read_rows(path: Path) -> list[dict[str, Any]]:
    """The rows of a batch file: a sheet (`.csv`, `.tsv`) under a header of `NODE.input` names, or JSON: one object per
    line, or a list of them.

    An empty cell or a null leaves the input as the workflow has it; a row of nothing else is none. Cells are separated
    by commas, semicolons, tabs or bars, whichever the header has most of, or what a first line `sep=;` names. Lines
    above the header that begin with `#` are comments.

    Raises:
        GraphError: the file is absent or malformed, or has no rows; the message names the line.
    """
    text, name = read_text(path, GraphError), path.name
    sheet = path.suffix.lower() in _SHEETS or (path.suffix.lower() == ".txt" and not text.lstrip().startswith("{"))
    rows = list(_of_sheet(text, name) if sheet else _of_json(text, name))
    if not rows:
        raise GraphError(f"{name} has no rows to run; write one below the header for each song.")
    return rows


def rows_of_folder(folder: Path, workflow: Workflow) -> list[dict[str, Any]]:
    """A row for each recording in a folder and those below it, for the one input of the workflow that takes a file.

    Hidden files and folders are passed over, and so is what cannot be read as audio.

    Raises:
        GraphError: the workflow has no such input or several, or the folder holds no recording.
    """
    inputs = [f"{node_id}.{name}" for node_id, name, _ in workflow.files()]
    if len(inputs) != 1:
        what = f"several inputs that take a file ({', '.join(inputs)})" if inputs else "no input that takes a file"
        raise GraphError(f"The workflow has {what}; write a sheet with a column for each input that changes.")
    files = sorted(path for path in folder.rglob("*") if not _is_hidden(path.relative_to(folder)) and path.is_file())
    rows = [{inputs[0]: str(path)} for path in files if is_recording(path)]
    if not rows:
        raise GraphError(f"There is no recording in {folder.name!r}; put some there, or name a sheet.")
    return rows


def _is_hidden(path: Path) -> bool:
    return any(part.startswith(".") for part in path.parts)


def _of_sheet(text: str, name: str) -> Iterator[dict[str, str]]:
    text = _without_comments(text if "\n" in text else text.replace("\r", "\n"))
    first, _, rest = text.partition("\n")
    separator = first.strip().strip('"')[4:]
    if first.strip().strip('"').lower().startswith("sep=") and len(separator) == 1:
        text = _without_comments(rest)
    else:
        separator = max(_SEPARATORS, key=text.lstrip().partition("\n")[0].count)
    rows = (row for row in _cells(text, separator, name) if any(row))
    header = [cell.strip() for cell in next(rows, [])]
    while header and not header[-1]:
        header.pop()
    if twice := [column for column, count in Counter(map(str.casefold, filter(None, header))).items() if count > 1]:
        raise GraphError(f"{name} has two columns {twice[0]!r}; remove or rename one.")
    for number, row in enumerate(rows, 1):
        if len(row) < len(header) or any(row[len(header) :]):
            raise GraphError(
                f"Row {number} of {name} has not as many cells as the header; "
                f"put cells that hold {separator!r} or a line break in quotes."
            )
        filled = [(column, cell) for column, cell in zip(header, row, strict=False) if cell]
        if lost := [cell for column, cell in filled if not column]:
            raise GraphError(f"The column of {lost[0][:40]!r} in {name} has no name; write NODE.input above it.")
        yield dict(filled)


def _without_comments(text: str) -> str:
    """The text from the first line on that is neither empty nor a comment after `#`; a lone `#` heads a column."""
    while (first := text.partition("\n"))[1] and _COMMENT.fullmatch(first[0]):
        text = first[2]
    return text


def _cells(text: str, separator: str, name: str) -> Iterator[list[str]]:
    """The cells of each row; those of white space are empty."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
    try:
        for row in reader:
            yield [cell if cell.strip() else "" for cell in row]
    except csv.Error as error:
        raise GraphError(f"Line {reader.line_num} of {name} is damaged ({error}); close its quotes.") from error


def _of_json(text: str, name: str) -> Iterator[dict[str, Any]]:
    if text.lstrip().startswith("["):
        yield from (_row(entry, f"Entry {number}", name) for number, entry in enumerate(_list(text, name), 1))
        return
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            yield _row(_json(line), f"Line {number}", name)


def _list(text: str, name: str) -> list[Any]:
    found = _json(text)
    if not isinstance(found, list):
        raise GraphError(f"{name} cannot be read as JSON; write one object per line, or a list of objects.")
    return found


def _row(row: Any, where: str, name: str) -> dict[str, Any]:
    if not isinstance(row, dict):
        raise GraphError(f"{where} of {name} is not a JSON object; write one object per line.")
    return {key: value for key, value in row.items() if value is not None}


def _json(text: str) -> Any:
    try:
        return json.loads(text, object_pairs_hook=_once)
    except (ValueError, RecursionError):
        return None


def _once(pairs: Iterable[tuple[str, Any]]) -> dict[str, Any] | None:
    """An object; None, which is no row, where a name stands twice."""
    given = list(pairs)
    found = dict(given)
    return found if len(found) == len(given) else None
