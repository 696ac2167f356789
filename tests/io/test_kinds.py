"""What people bring in place of a recording, a text or weights is called by its name."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import pytest

from acestep_core.checkpoints.gguf_header import read_gguf
from acestep_core.checkpoints.safetensors_header import read_header
from acestep_core.checkpoints.weights import load_pt, read_json
from acestep_core.errors import AceStepError, AudioError, CheckpointError, InvalidInput
from acestep_core.io.kinds import kind_of
from acestep_core.io.recordings import load_recording
from acestep_core.io.text import decode_text

POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"0" * 64 + b"\nsize 5\n"
PAGE = b"\n<!-- saved -->\n<!DOCTYPE html><html><body>Sign in</body></html>" * 3
ZEROS = bytes(5000)


def archive(*names: str, mime: str = "") -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as file:
        if mime:
            file.writestr("mimetype", mime, zipfile.ZIP_STORED)
        for name in names:
            file.writestr(name, "a b c " * 99)
    return made.getvalue()


WORKBOOK = archive("[Content_Types].xml", "_rels/.rels", "xl/workbook.xml")
LETTER = archive("[Content_Types].xml", "_rels/.rels", "word/document.xml")
OPEN_SHEET = archive("content.xml", mime="application/vnd.oasis.opendocument.spreadsheet")
ODD = {
    "empty": (b"", "is empty"),
    "zeros": (ZEROS, "nothing but zeros"),
    "page": (PAGE, "is a web page"),
    "xhtml": (b'\xef\xbb\xbf<?xml version="1.0"?>\n<html xmlns="x">', "is a web page"),
    "pointer": (POINTER, "is a git-LFS pointer.*git lfs pull"),
    "annex": (b"/annex/objects/SHA256E-s5--00.wav\n", "git annex get"),
    "refused": (b'<?xml version="1.0"?><Error><Code>AccessDenied</Code></Error>', "refusal of a server"),
    "missing": (b"Entry not found", "refusal of a server"),
    "midi": (b"MThd\0\0\0\6\0\1\0\1\1\xe0MTrk\0\0\0\4\0\xff\x2f\0", "is a MIDI file"),
    "midi in RIFF": (b"RIFF\x20\0\0\0RMIDdata\x10\0\0\0MThd", "is a MIDI file"),
    "project": (b"SQLite format 3\0" + bytes(52) + b"AUDY" + bytes(40), "music program"),
    "picture": (b"\x89PNG\r\n\x1a\n" + bytes(99), "is a picture"),
    "archive": (archive("song.wav"), "unpack it"),
    "workbook": (WORKBOOK, "is a workbook"),
    "letter": (LETTER, "word processor"),
    "macOS": (b"\0\x05\x16\x07\0\2\0\0Mac OS X" + bytes(99), "without ._"),
    "weights": (b"\x10\0\0\0\0\0\0\0" + b'{"a":{"dtype":1}}', "weights of a model"),
    "text": ("[Verse]\n사랑해 너를\n".encode(), "is a text file; choose a recording"),
}


@pytest.mark.parametrize("name", ODD)
def test_a_source_that_is_no_recording_is_named(name: str, tmp_path: Path) -> None:
    content, said = ODD[name]
    (tmp_path / "a.wav").write_bytes(content)
    with pytest.raises(AudioError, match=rf"^a\.wav .*{said}.*\.$"):
        load_recording(tmp_path / "a.wav")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (WORKBOOK, "is a workbook; save its sheet as CSV"),
        (OPEN_SHEET, "is a workbook; save its sheet as CSV"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600), "is an Office file; save a sheet as CSV"),
        (LETTER, "save its words as plain text"),
        (b"{\\rtf1\\ansi la la}", "save its words as plain text"),
        (b"%PDF-1.4\n%\xe2\xe3\xcf\xd3\n", "is a PDF"),
        (archive("song.txt"), "is an archive; unpack it"),
        (PAGE, "is a web page"),
        (POINTER, "is a git-LFS pointer"),
        (ZEROS, "nothing but zeros"),
    ],
)
def test_a_text_that_is_none_is_named(content: bytes, said: str) -> None:
    with pytest.raises(InvalidInput, match=rf"^a\.csv .*{said}"):
        decode_text(content, "a.csv")


@pytest.mark.parametrize("text", ["", "Not found is what I am\n", "<3 you\n", "404\nla", "MThd\n", "html\n", "PK\n"])
def test_words_are_words(text: str) -> None:
    assert decode_text(text.encode(), "a.txt") == text


@pytest.mark.parametrize(
    ("content", "said"), [(POINTER, "git-LFS"), (PAGE, "web page"), (ZEROS, "zeros"), (b"Entry not found", "refusal")]
)
@pytest.mark.parametrize(
    ("name", "reader"),
    [("a.safetensors", read_header), ("a.gguf", read_gguf), ("a.pt", load_pt), ("tokenizer.json", read_json)],
)
def test_what_came_in_place_of_weights_is_named(content: bytes, said: str, name: str, reader, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(CheckpointError, match=said) as refused:
        reader(tmp_path / name)
    assert isinstance(refused.value, AceStepError) and str(refused.value).endswith(".")


def test_what_is_not_in_the_table_has_no_name() -> None:
    assert kind_of(b"\x01\x02\x03") is None


def test_comments_without_a_page_behind_them_are_looked_at_once() -> None:
    """As many as fit; where a comment could end in several places, this would never come to an end."""
    assert kind_of(b"<!---->" * 9000 + b"\0") is None
    assert kind_of(b"<!-- a --> <!-- b -->\n<html>").says == "is a web page, not the file itself"
