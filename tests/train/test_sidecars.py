"""What lies beside a recording."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from acestep_core.errors import DatasetError
from acestep_core.io.tags import write_tags
from acestep_core.train.dataset import Dataset, Sample
from acestep_core.train.dataset_options import Scanning
from acestep_core.train.scan import scan
from acestep_core.train.sidecars import read_sheet, text_values
from tests.train.recordings import write_tone


def scanned(folder: Path, **options: object) -> Dataset:
    return scan(folder, Scanning(**options))  # type: ignore[arg-type]


def one(folder: Path, **files: str | bytes) -> Sample:
    """A recording `a.wav` with these files beside it, `json` for `a.json`."""
    write_tone(folder / "a.wav", 1.5)
    for suffix, content in files.items():
        path = folder / f"a.{suffix.replace('_', '.')}"
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return scanned(folder).samples[0]


def test_texts_json_and_sheet_count_in_this_order(tmp_path: Path) -> None:
    (tmp_path / "sheet.csv").write_text("File;BPM;Key;Tag;Instrumental\na.wav;128;10B;MINE;no\n")
    found = one(
        tmp_path,
        caption_txt=" from the text \n",
        lyrics_txt="la la\r\nlo lo",
        json=json.dumps({"caption": "from the json", "bpm": 90, "key": "Am", "vocal_language": "English", "mood": 1}),
    )
    assert (found.caption, found.bpm, found.keyscale) == ("from the json", 128, "D major")
    assert (found.lyrics, found.raw_lyrics, found.is_instrumental, found.language) == ("la la\nlo lo",) * 2 + (
        False,
        "en",
    )
    assert found.custom_tag == "MINE"
    assert found.labels["caption"] == "file" and found.labels["bpm"] == "csv"
    told = "\n".join(found.problems)
    assert "a.caption.txt and a.json disagree about caption" in told
    assert "a.json and sheet.csv disagree about bpm" in told
    assert found.labeled


def test_tags_and_our_own_record_count_least(tmp_path: Path) -> None:
    from acestep_core.records.song_record import SongRecord

    record = SongRecord.from_dict(
        {"format": "acestep-song", "version": 1, "song": {"caption": "as it was made", "lyrics": "la", "bpm": 100},
         "seeds": {"noise": 1}, "settings": {}, "versions": {}, "files": []}
    )  # fmt: skip
    write_tone(tmp_path / "a.wav", 1.5)
    write_tags(tmp_path / "a.wav", {"genre": "house", "bpm": "99", "key": "8A"})
    record.save(tmp_path / "a.json")
    found = scanned(tmp_path).samples[0]
    assert (found.genre, found.bpm, found.keyscale, found.caption) == ("house", 100, "A minor", "as it was made")
    assert found.lyrics == "la"


@pytest.mark.parametrize(("text", "wanted"), [
    ("just words\nand more", {"lyrics": "just words\nand more"}),
    ("Caption: a song\n  with more\nBPM: 120\nlyrics: la\n\n[Chorus]\nkey: to my heart",
     {"caption": "a song with more", "bpm": "120", "lyrics": "la\n\n[Chorus]\nkey: to my heart"}),
    ("<CAPTION>a song</CAPTION><LYRICS>\nla\nlo\n</LYRICS><BPM>120</BPM><DURATION>9</DURATION><LANGUAGE>en</LANGUAGE>",
     {"caption": "a song", "lyrics": "la\nlo", "bpm": "120", "language": "en"}),
    ("", {}),
])  # fmt: skip
def test_forms_of_a_text(text: str, wanted: dict) -> None:
    assert text_values(text) == wanted


def test_timed_lyrics(tmp_path: Path) -> None:
    found = one(tmp_path, lrc="[ti:x]\n[00:00.50]la la\n[00:01.00]lo lo\n")
    assert found.lyrics == "la la\nlo lo" and not found.is_instrumental
    assert [(line.start, line.text) for line in found.timing] == [(0.5, "la la"), (1.0, "lo lo")]
    (tmp_path / "a.txt").write_text("[Verse]\nla la\nlo lo")
    again = scanned(tmp_path).samples[0]
    assert again.lyrics.startswith("[Verse]") and len(again.timing) == 2
    assert not again.problems


@pytest.mark.parametrize("content", ["한국어 가사".encode("utf-8-sig"), "한국어 가사".encode("utf-16")])
def test_text_with_a_byte_order_mark(tmp_path: Path, content: bytes) -> None:
    assert one(tmp_path, txt=content).lyrics == "한국어 가사"


def test_other_encodings_must_be_named(tmp_path: Path) -> None:
    found = one(tmp_path, txt="한국어 가사".encode("cp949"))
    assert found.is_instrumental and "cp949" in found.problems[0] and "a.txt" in found.problems[0]
    assert scanned(tmp_path, encoding="cp949").samples[0].lyrics == "한국어 가사"
    assert scanned(tmp_path, encoding="none such").samples[0].problems


@pytest.mark.parametrize("content", [b"{", b"[1, 2]", b"[" * 100_000, b"x" * (2 << 20), b'{"bpm": "fast"}', b"\0\1"])
def test_a_bad_json_costs_only_itself(tmp_path: Path, content: bytes) -> None:
    found = one(tmp_path, json=content, caption_txt="a song")
    assert found.caption == "a song"
    assert len(found.problems) == 1 and "a.json" in found.problems[0]


def test_who_says_that_it_is_instrumental(tmp_path: Path) -> None:
    found = one(tmp_path, json='{"is_instrumental": true, "language": "en"}', txt="la la")
    assert found.is_instrumental and found.lyrics == "[Instrumental]" and found.raw_lyrics == "la la"
    assert one(tmp_path / "b", json='{"language": "instrumental"}').is_instrumental
    assert one(tmp_path / "c", txt="[instrumental]").labels["is_instrumental"] == "file"
    write_tone(tmp_path / "d/a.wav", 1.5)
    assert not scanned(tmp_path / "d", all_instrumental=False).samples[0].is_instrumental


def test_names_are_compared_as_every_system_does(tmp_path: Path) -> None:
    import unicodedata

    name = "Él Niño 한국"
    write_tone(tmp_path / f"{unicodedata.normalize('NFC', name)}.wav", 1.5)
    (tmp_path / f"{unicodedata.normalize('NFD', name.upper())}.CAPTION.TXT").write_text("a song")
    assert scanned(tmp_path).samples[0].caption == "a song"


def test_rows_of_a_sheet(tmp_path: Path) -> None:
    for name in ("one.wav", "sub/one.wav", "sub/two.wav", "three.wav"):
        write_tone(tmp_path / name, 1.5)
    (tmp_path / "sheet.csv").write_text(
        "caption\tFILE\tbpm\na\tsub\\one.wav\t100\nb\ttwo.wav\t\nc\tone.wav\t110\nd\tnone.wav\t\ne\ttwo.wav\t\nf\n\n"
    )
    (tmp_path / "sub" / "own.csv").write_text('"File","Caption"\n"one.wav","mine"\n')
    (tmp_path / "bad.csv").write_text("a,b\n1,2\n")
    dataset = scanned(tmp_path)
    found = {s.audio_path.removeprefix(f"{tmp_path}/"): (s.caption, s.bpm) for s in dataset.samples}
    assert found == {"one.wav": ("c", 110), "sub/one.wav": ("mine", 100), "sub/two.wav": ("b", None),
                     "three.wav": ("", None)}  # fmt: skip
    told = "\n".join(dataset.problems)
    assert "'none.wav'" in told and "more than one row for 'two.wav'" in told and "bad.csv has no column 'File'" in told
    (tmp_path / "sheet.csv").write_text("File,Caption\ntwin.wav,x\n")
    write_tone(tmp_path / "a/twin.wav", 1.5)
    write_tone(tmp_path / "b/twin.wav", 1.5)
    assert any("several files are called so" in text for text in scanned(tmp_path).problems)


def test_a_sheet_that_is_none(tmp_path: Path) -> None:
    for content in (b"", b"\xff\xfe\0", b"x" * 200_000, b'File\n"' + b"x" * 200_000):
        (tmp_path / "s.csv").write_bytes(content)
        with pytest.raises(DatasetError):
            read_sheet(tmp_path / "s.csv")
