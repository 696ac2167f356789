"""The rows of a batch, as spreadsheets and programs write them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from acestep_core.errors import GraphError
from acestep_core.host.client.rows import read_rows, rows_of_folder
from acestep_core.host.graph.workflow import Workflow

WORKBOOK = b"PK\x03\x04" + bytes(26) + b"[Content_Types].xml" + b"PK\x03\x04" + bytes(26) + b"xl/workbook.xml"


def rows_of(tmp_path: Path, content: str | bytes, name: str = "a.csv") -> list[dict[str, Any]]:
    (tmp_path / name).write_bytes(content.encode() if isinstance(content, str) else content)
    return read_rows(tmp_path / name)


TWO = [{"song.caption": "lo-fi, slow", "song.seed": "1"}, {"song.caption": "jazz"}]


@pytest.mark.parametrize(
    ("content", "name"),
    [
        ('song.caption,song.seed\n"lo-fi, slow",1\njazz,\n', "a.csv"),
        ('\ufeffsong.caption,song.seed\r\n"lo-fi, slow",1\r\njazz,\r\n', "a.csv"),
        ("song.caption;song.seed\nlo-fi, slow;1\njazz;\n", "a.csv"),
        ("sep=;\r\nsong.caption;song.seed\r\nlo-fi, slow;1\r\njazz;\r\n", "a.csv"),
        ("song.caption\tsong.seed\nlo-fi, slow\t1\njazz\t\n", "a.tsv"),
        ("song.caption\tsong.seed\r\nlo-fi, slow\t1\r\njazz\t\r\n".encode("utf-16"), "a.txt"),
        ("song.caption;song.seed\rlo-fi, slow;1\rjazz;\r", "a.csv"),
        ('song.caption,song.seed,\n"lo-fi, slow",1,\njazz,,\n,,\n , ,\n\n', "a.CSV"),
        ('\n, ,\n song.caption , song.seed ,,\n\n"lo-fi, slow",1,,\njazz,\n', "a.csv"),
        (
            '[{"song.caption": "lo-fi, slow", "song.seed": "1"},\n {"song.caption": "jazz", "song.seed": null}]',
            "a.json",
        ),
        ('{"song.caption": "lo-fi, slow", "song.seed": "1"}\r\n\r\n{"song.caption": "jazz"}\r\n', "a.jsonl"),
    ],
)
def test_the_same_two_rows_from_any_program(content: str | bytes, name: str, tmp_path: Path) -> None:
    assert rows_of(tmp_path, content, name) == TWO


@pytest.mark.parametrize(
    "above",
    [
        "# songs, made by hand; don't edit\n",
        "\n#a\n # b\n\n",
        '"# a comment, in quotes"\n',
        "sep=,\n# and\n",
        "# and\nsep=,\n",
    ],
)
def test_comments_above_the_header_are_passed_over(above: str, tmp_path: Path) -> None:
    assert rows_of(tmp_path, f'{above}song.caption,song.seed\n"lo-fi, slow",1\njazz,\n') == TWO


def test_a_column_of_numbers_is_no_comment(tmp_path: Path) -> None:
    assert rows_of(tmp_path, "#,song.caption\n1,jazz\n")[0]["song.caption"] == "jazz"


def test_words_below_the_header_may_begin_with_a_hash(tmp_path: Path) -> None:
    assert rows_of(tmp_path, "song.caption\n#lofi vibes\n") == [{"song.caption": "#lofi vibes"}]


def test_cells_keep_their_lines_and_spaces(tmp_path: Path) -> None:
    assert rows_of(tmp_path, 'song.lyrics\n"[verse]\nla ""la""\n"\n') == [{"song.lyrics": '[verse]\nla "la"\n'}]


def test_json_rows_keep_types_and_lines_that_only_unicode_breaks(tmp_path: Path) -> None:
    content = '{"song.caption": "a\u2028b", "song.bpm": 90}\n\n{"song.caption": ""}\n{}\n'
    want = [{"song.caption": "a\u2028b", "song.bpm": 90}, {"song.caption": ""}, {}]
    assert rows_of(tmp_path, content, "rows.jsonl") == want


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.csv", "a.b,c.d\n1\n", "Row 1"),
        ("a.csv", "a.b\n1,2\n", "Row 1"),
        ("a.csv", 'a.b,c.d\n1,2\n"3,4\n', "Line 3 of a.csv is damaged"),
        ("a.csv", "a.b\n", "has no rows"),
        ("a.csv", "a.b,c.d\n,\n,\n", "has no rows"),
        ("a.csv", "", "has no rows"),
        ("a.csv", "a.b,c.d,A.b\n1,2,3\n", "two columns 'a.b'"),
        ("a.csv", "a.b,,c.d\n1,2,3\n", "column of '2'"),
        ("a.csv", b"a.b\nsch\xf6n\n", "UTF-8"),
        ("a.xlsx", WORKBOOK, "is a workbook; save its sheet as CSV"),
        ("a.csv", WORKBOOK, "is a workbook; save its sheet as CSV"),
        ("a.xls", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(9), "save a sheet as CSV"),
        ("a.jsonl", "{}\n[]\n", "Line 2"),
        ("a.jsonl", "{\n", "Line 1"),
        ("a.jsonl", '{"a.b": 1, "a.b": 2}\n', "Line 1"),
        ("a.jsonl", "\n", "has no rows"),
        ("a.json", "[{}, 3]", "Entry 2"),
        ("a.json", "[{},", "cannot be read as JSON"),
    ],
)
def test_malformed_files_are_refused_with_the_place(
    name: str, content: str | bytes, message: str, tmp_path: Path
) -> None:
    with pytest.raises(GraphError, match=message):
        rows_of(tmp_path, content, name)


FILES: Any = {
    "Hear": {"input": {"required": {"audio": [["a"], {"audio_upload": True}]}}, "output": []},
    "Say": {"input": {"required": {"text": ["STRING", {}]}}, "output": []},
}


def hearing(count: int) -> Workflow:
    nodes = {str(number): {"class_type": "Hear", "inputs": {"audio": "a"}} for number in range(count)}
    return Workflow(nodes | {"say": {"class_type": "Say", "inputs": {"text": "x"}}}, FILES)


def test_a_folder_is_a_row_for_each_recording(tmp_path: Path) -> None:
    for name in ("b.wav", "a.flac", "more/c.ogg", ".hidden/d.wav", ".e.wav"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        soundfile.write(tmp_path / name, np.zeros((4800, 2)), 48000)
    (tmp_path / "notes.txt").write_text("no recording")
    rows = rows_of_folder(tmp_path, hearing(1))
    assert rows == [{"0.audio": str(tmp_path / name)} for name in ("a.flac", "b.wav", "more/c.ogg")]


@pytest.mark.parametrize(
    ("count", "said"),
    [(0, "has no input that takes a file"), (2, r"several inputs .*\(0.audio, 1.audio\)"), (1, "no recording")],
)
def test_a_folder_without_a_place_for_it_is_refused(count: int, said: str, tmp_path: Path) -> None:
    with pytest.raises(GraphError, match=said):
        rows_of_folder(tmp_path, hearing(count))
