"""Names: which are the same, which are safe, and which is next."""

from __future__ import annotations

import os
import unicodedata
from itertools import islice
from pathlib import Path, PurePosixPath, PureWindowsPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from acestep_core.io.names import (
    COPY,
    NUMBER,
    PLAIN,
    ROW,
    Taken,
    as_pasted,
    by_stem,
    candidates,
    meant,
    safe_name,
    same_name,
)


def first(stem: str, rule: str, names: list[str], end: str = "") -> list[str]:
    return list(islice(candidates(stem, rule, Taken(names), end), 2))


def test_names_that_some_system_takes_for_one() -> None:
    for one, other in (("a", "A"), ("노래", "노래"), ("é", "É"), ("straße", "STRASSE")):
        assert same_name(one, other)
        assert same_name(unicodedata.normalize("NFD", one), unicodedata.normalize("NFC", other))
    assert not same_name("a", "b") and not same_name("a", "a ")


@pytest.mark.parametrize(
    ("name", "safe"),
    [
        ("lo-fi: take 2?", "lo-fi_ take 2_"),
        ("../../etc/passwd", "_.._etc_passwd"),
        ("C:\\x", "C__x"),
        ("\\\\server\\share", "__server_share"),
        ("nul", "_nul"),
        ("COM1.flac", "_COM1.flac"),
        ("lpt¹ .a.b", "_lpt¹ .a.b"),
        ("console", "console"),
        (" .hidden. ", "hidden"),
        ("..", "x"),
        ("", "x"),
        ("a\0b\n\ud800", "a_b__"),
        ("노래", unicodedata.normalize("NFC", "노래")),
        ("歌" * 100, "歌" * 66),
    ],
)
def test_safe_names(name: str, safe: str) -> None:
    assert safe_name(name, "x") == safe


@given(st.text())
def test_safe_names_are_one_part_everywhere(name: str) -> None:
    safe = safe_name(name)
    assert PureWindowsPath("C:/out") / safe == PureWindowsPath(f"C:/out/{safe}")
    assert len(PureWindowsPath(safe).parts) == len(PurePosixPath(safe).parts) == 1
    assert not PureWindowsPath(safe).is_reserved() and safe not in (".", "..") and len(safe.encode()) <= 200
    assert safe_name(safe) == safe


def test_the_rules() -> None:
    there = ["song_00007.json", "Song_00008_.flac", ".song_00009.reserved", "song_new_00020.flac", "other_00030.flac"]
    assert first("song", NUMBER, there) == ["song_00010", "song_00011"]
    assert first("song", NUMBER, there, "_") == ["song_00010_", "song_00011_"]
    assert first("song", PLAIN, there) == ["song", "song_00010"]
    assert first("song", COPY, there) == ["song", "song (1)"]
    assert first("song_00001_", ROW, there) == ["song_00010_", "song_00011_"]
    assert first("song_00040", ROW, there) == ["song_00040", "song_00041"]
    assert first("song", ROW, there) == ["song", "song_00010"]
    assert first("s" * 250, PLAIN, [])[1] == "s" * 220 + "_00001"


LETTERS = ["a", "A", "\u00e9", "e\u0301", "\u0130", "i\u0307", "\u00df", "ss", "."]
SIMILAR = st.lists(st.sampled_from(LETTERS), min_size=1, max_size=4).map("".join)


@given(st.lists(st.tuples(SIMILAR, st.sampled_from([NUMBER, PLAIN, ROW, COPY])), max_size=12))
def test_no_two_songs_get_names_that_some_system_takes_for_one(wanted: list[tuple[str, str]]) -> None:
    taken = Taken([])
    given: list[str] = []
    for stem, rule in wanted:
        name = next(name for name in candidates(stem, rule, taken) if not taken.has(name, [".flac"])) + ".flac"
        assert not any(same_name(name, other) for other in given)
        taken.add([name])
        given.append(name)


def test_files_that_belong_together() -> None:
    names = ["a.flac", "a.json", "a.lyrics.json", "b.c_00001_.mp3", "b.c_00001_.lrc", "readme", ".hidden"]
    assert by_stem(names) == {
        ".hidden": [""],
        "a": [".flac", ".json", ".lyrics.json"],
        "b.c_00001_": [".lrc", ".mp3"],
        "readme": [""],
    }


@pytest.mark.parametrize(
    ("pasted", "path"),
    [
        ("a.wav", "a.wav"),
        (" a.wav\n", "a.wav"),
        ('"C:\\My songs\\a.wav"', "C:\\My songs\\a.wav"),
        ("file:///C:/My%20songs/a.wav", "C:/My songs/a.wav"),
        ("file:///home/a%23b.wav", "/home/a#b.wav"),
        ("FILE://localhost/a.wav", "/a.wav"),
        ('"', '"'),
        ("it's", "it's"),
    ],
)
def test_a_path_is_read_as_it_was_copied(pasted: str, path: str) -> None:
    assert as_pasted(pasted) == path


def test_a_path_is_the_spelling_that_is_there(tmp_path: Path) -> None:
    (tmp_path / "a.wav").touch()
    path = tmp_path / "a.wav"
    for spelled in (path, f"{path} ", f"{path}\r\n", f"  '{path}'\n", f"file://{path}"):
        assert meant(spelled) == path, spelled
    assert meant("absent.wav\n") == Path("absent.wav")


@pytest.mark.skipif(os.sep == "\\", reason="names cannot end with a space there")
def test_a_name_that_ends_with_a_space_is_itself(tmp_path: Path) -> None:
    (tmp_path / "a.wav").touch()
    (tmp_path / "a.wav ").touch()
    assert meant(f"{tmp_path}/a.wav ") == tmp_path / "a.wav "
