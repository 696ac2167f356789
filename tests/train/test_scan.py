"""From a folder to a dataset."""

from __future__ import annotations

import os
import tracemalloc
import unicodedata
from pathlib import Path

import numpy as np
import pytest
import soundfile

from acestep_core.errors import DatasetError
from acestep_core.io.names import same_name
from acestep_core.monitor import Monitor
from acestep_core.train.dataset_options import Scanning
from acestep_core.train.scan import folder_stamp, rescanned, scan
from tests.capabilities import close_to_reading, link
from tests.train.hostile import hostile, write_hours
from tests.train.recordings import write_tone


def test_files_are_found_in_order_and_measured(tmp_path: Path) -> None:
    write_tone(tmp_path / "b.wav", 2.9, rate=44_100, channels=1)
    write_tone(tmp_path / "a" / "z.wav", 1.0)
    soundfile.write(tmp_path / "c.flac", np.zeros((96_000, 2)), 48_000)
    for passed in (".hidden.wav", "._b.wav", "__MACOSX/b.wav", "notes.md", "old/latents/x", "old/manifest.json"):
        (tmp_path / passed).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / passed).write_bytes(b"x")
    write_tone(tmp_path / "old" / "in_a_trainset.wav", 2)
    dataset = scan(tmp_path, Scanning(name=" x ", custom_tag=" tag ", genre_ratio=10))
    assert [Path(s.audio_path).relative_to(tmp_path).as_posix() for s in dataset.samples] == [
        "a/z.wav",
        "b.wav",
        "c.flac",
    ]
    assert [(s.duration, s.samples) for s in dataset.samples] == [(1, 48_000), (2, 139_200), (2, 96_000)]
    assert (dataset.name, dataset.custom_tag, dataset.genre_ratio) == ("x", "tag", 10)
    assert not dataset.problems
    again = scan(tmp_path, Scanning(name="x", custom_tag="tag", genre_ratio=10))
    assert again == dataset  # ids, too, are the same at every scan


@pytest.mark.parametrize("kind", ["wav", "flac", "ogg", "mp3"])
def test_a_length_is_that_of_the_sound(tmp_path: Path, kind: str) -> None:
    soundfile.write(tmp_path / f"a.{kind}", np.random.default_rng(0).normal(0, 0.1, (132_300, 2)), 44_100)
    assert abs(scan(tmp_path).samples[0].samples - 144_000) < 3000  # an MP3 is filled up to whole frames


@pytest.mark.parametrize("kind", ["wav", "flac", "ogg"])
def test_a_header_that_claims_more_than_there_is(tmp_path: Path, kind: str) -> None:
    write_tone(tmp_path / "good.wav", 2)
    soundfile.write(tmp_path / f"cut.{kind}", np.random.default_rng(0).normal(0, 0.1, (480_000, 2)), 48_000)
    data = (tmp_path / f"cut.{kind}").read_bytes()
    (tmp_path / f"cut.{kind}").write_bytes(data[: len(data) // 3])
    dataset = scan(tmp_path)
    assert [s.filename for s in dataset.samples] == ["good.wav"]
    assert len(dataset.problems) == 1 and f"cut.{kind}" in dataset.problems[0]


def test_a_hostile_folder(tmp_path: Path) -> None:
    good, bad = hostile(tmp_path)
    folder = tmp_path / "set"
    assert sum(len(files) for _, _, files in os.walk(folder)) >= 100
    dataset = scan(folder)
    assert {Path(s.audio_path).relative_to(folder).as_posix() for s in dataset.samples} == good
    told = "\n".join(dataset.problems)
    for name in bad:
        assert name in told, name
    assert "sheet.csv" in told
    assert all(text.endswith(".") for text in dataset.problems)
    by_name = {s.filename: s for s in dataset.samples}
    assert by_name["silent.flac"].problems and by_name["rate.wav"].problems and by_name["six.wav"].problems
    assert by_name["dc.flac"].lyrics == "words"
    assert any("00 copy.wav has the same content" in t or "same content as 00 copy.wav" in t for t in dataset.remarks())
    assert len({s.id for s in dataset.samples}) == len(dataset.samples)


def test_a_recording_whose_name_is_written_in_two_ways_counts_once(tmp_path: Path) -> None:
    """A Mac writes accents and syllables apart; what comes from it by two ways lies there under two names, which look
    the same.
    """
    name = "노래 é.wav"
    for form in ("NFC", "NFD"):
        write_tone(tmp_path / unicodedata.normalize(form, name), 2)
        write_tone(tmp_path / "else" / unicodedata.normalize(form, name), 2, pitch=220 if form == "NFC" else 330)
    if len(list(tmp_path.iterdir())) == 2:
        pytest.skip("here both spellings are one file")
    write_tone(tmp_path / "copy.wav", 2)
    dataset = scan(tmp_path)
    kept = [Path(s.audio_path).relative_to(tmp_path).as_posix() for s in dataset.samples]
    assert sorted(unicodedata.normalize("NFC", path) for path in kept) == ["copy.wav", *[f"else/{name}"] * 2, name]
    (problem,) = dataset.problems
    assert "twice" in problem and same_name(problem.partition(" is ")[0], name)


def test_links_are_followed_into_folders_that_are_allowed(tmp_path: Path) -> None:
    write_tone(tmp_path / "set" / "a.wav", 2)
    write_tone(tmp_path / "other" / "b.wav", 2)
    link(tmp_path / "set" / "link", tmp_path / "other")
    assert len(scan(tmp_path / "set").samples) == 1
    assert len(scan(tmp_path / "set", roots=[tmp_path / "other"]).samples) == 2


def test_what_may_not_be_read(tmp_path: Path) -> None:
    write_tone(tmp_path / "a.wav", 2)
    if not close_to_reading(write_tone(tmp_path / "b.wav", 2)):
        pytest.skip("this user may read everything")
    dataset = scan(tmp_path)
    assert len(dataset.samples) == 1 and "b.wav" in dataset.problems[0]


def test_a_long_recording_costs_no_memory(tmp_path: Path) -> None:
    write_hours(tmp_path / "long.wav", 3)
    tracemalloc.start()
    try:
        dataset = scan(tmp_path)
        assert tracemalloc.get_traced_memory()[1] < 100 << 20  # decoded it would be 330 MB
    finally:
        tracemalloc.stop()
    assert dataset.samples[0].duration == 3 * 3600


def test_nothing_to_scan(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="no folder"):
        scan(tmp_path / "none")
    with pytest.raises(DatasetError, match="no recording"):
        scan(tmp_path)
    (tmp_path / "a.wav").touch()
    with pytest.raises(DatasetError, match="None of the 1 recordings"):
        scan(tmp_path)
    with pytest.raises(DatasetError, match="more than 1"):
        (tmp_path / "b.wav").touch()
        scan(tmp_path, Scanning(max_files=1))


def test_a_scan_can_be_cancelled(tmp_path: Path) -> None:
    from acestep_core.errors import Cancelled

    write_tone(tmp_path / "a.wav", 2)
    with pytest.raises(Cancelled):
        scan(tmp_path, monitor=Monitor(cancelled=lambda: True))


def test_scanning_again_keeps_what_was_written(tmp_path: Path) -> None:
    for name in "abc":
        write_tone(tmp_path / f"{name}.wav", 2)
    first = scan(tmp_path)
    edited = first.edited({"a.wav": {"caption": "mine", "repeat": 2}, "b.wav": {"lyrics": "la la"}})
    edited = edited.edited({"c.wav": {"caption": "heard"}}, origin="lm:x@1")
    (tmp_path / "a.caption.txt").write_text("from a file")
    write_tone(tmp_path / "d.wav", 2)
    (tmp_path / "c.wav").unlink()
    merged = rescanned(scan(tmp_path), edited)
    assert [(s.filename, s.caption, s.repeat, s.raw_lyrics) for s in merged.samples] == [
        ("a.wav", "mine", 2, ""),
        ("b.wav", "", 1, "la la"),
        ("d.wav", "", 1, ""),
    ]
    assert merged.samples[0].labeled and not merged.samples[1].is_instrumental
    assert rescanned(scan(tmp_path), merged) == merged


def test_the_stamp_changes_with_the_folder(tmp_path: Path) -> None:
    write_tone(tmp_path / "a.wav", 2)
    first = folder_stamp(tmp_path)
    assert folder_stamp(tmp_path) == first
    (tmp_path / "a.txt").write_text("words")
    assert folder_stamp(tmp_path) != first
