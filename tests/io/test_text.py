from __future__ import annotations

import os
from pathlib import Path

import pytest

from acestep_core.errors import GraphError, InvalidInput
from acestep_core.io.text import decode_text, read_text

TEXT = "[Verse]\r\nÜber 노래 𝄞\n"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_every_way_an_editor_saves_reads_the_same(tmp_path: Path, encoding: str) -> None:
    (tmp_path / "a.txt").write_bytes(TEXT.encode(encoding))
    assert read_text(tmp_path / "a.txt") == TEXT
    assert decode_text(b"\xfe\xff" + TEXT.encode("utf-16-be"), "a") == TEXT


@pytest.mark.parametrize(
    "data",
    [
        "Über".encode("latin-1"),
        "노래".encode("cp949"),
        "text".encode("utf-16-le"),
        "text".encode("utf-32"),
        b"\xff\xfea",
        b"a\0b",
    ],
)
def test_other_encodings_are_refused_with_what_to_do(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "a.txt").write_bytes(data)
    with pytest.raises(InvalidInput, match=r"a\.txt cannot be read as text; save it as UTF-8\."):
        read_text(tmp_path / "a.txt")


def test_what_is_no_text_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(GraphError, match="There is no file"):
        read_text(tmp_path / "absent", GraphError)
    with pytest.raises(GraphError, match="cannot be opened"):
        read_text(tmp_path, GraphError)
    with pytest.raises(GraphError, match="cannot be opened"):
        read_text("a\0b", GraphError)
    (tmp_path / "huge").touch()
    os.truncate(tmp_path / "huge", 1 << 40)
    with pytest.raises(InvalidInput, match="larger than 64 MB"):
        read_text(tmp_path / "huge")


def test_an_encoding_is_tried_where_nothing_else_fits(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes("한국어".encode("cp949"))
    assert read_text(tmp_path / "a.txt", encoding="cp949") == "한국어"
    (tmp_path / "a.txt").write_bytes("한국어".encode())
    assert read_text(tmp_path / "a.txt", encoding="cp949") == "한국어"
    for encoding in ("", "ascii", "no such one"):
        with pytest.raises(InvalidInput, match="save it as UTF-8"):
            decode_text("한국어".encode("cp949"), "a.txt", encoding=encoding)


def test_a_text_is_named_with_what_a_copy_brings_along(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("la")
    assert read_text(f"{tmp_path / 'a.txt'}\r\n") == "la"
