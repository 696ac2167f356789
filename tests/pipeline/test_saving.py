"""Songs as files: names, siblings, and what a failure leaves behind."""

from __future__ import annotations

import errno
import threading

import pytest
import torch

from acestep_core import generate
from acestep_core.errors import AudioError, InvalidInput, StorageError
from acestep_core.io.audio import write_audio
from acestep_core.options import RenderSettings
from acestep_core.pipeline import saving
from acestep_core.records.song_record import SongRecord

QUICK = RenderSettings.of(steps=2)


def test_records_and_subtitles_share_the_number(tiny_models, tmp_path):
    song = {"lyrics": "[Verse]\nsing along\nwith me", "language": "en"}
    made = generate("a", duration=10, seed=1, batch=2, models=tiny_models, settings=QUICK, **song)
    (tmp_path / "x_00001.srt").touch()
    paths = made.save(tmp_path / "x.flac", subtitles=("lrc", "vtt", "srt", "json"))
    assert [path.name for path in paths] == ["x_00002.flac", "x_00003.flac"]
    ends = ["flac", "json", "lrc", "lyrics.json", "srt", "vtt"]
    expected = ["x_00001.srt", *(f"x_0000{n}.{end}" for n in (2, 3) for end in ends)]
    assert sorted(path.name for path in tmp_path.iterdir()) == expected
    assert SongRecord.load(tmp_path / "x_00003.json").seeds == {"noise": 2}
    assert (
        "with me" in (tmp_path / "x_00002.srt").read_text() and "[Verse]" not in (tmp_path / "x_00002.srt").read_text()
    )


def test_a_taken_sibling_takes_the_name(tiny_models, tmp_path):
    made = generate("a", duration=10, seed=1, models=tiny_models, settings=QUICK)
    (tmp_path / "x.json").write_text("mine")
    assert made.save(tmp_path / "x.flac", record=False)[0].name == "x.flac"
    assert made.save(tmp_path / "x.wav")[0].name == "x_00001.wav"
    assert (tmp_path / "x.json").read_text() == "mine"


def test_instrumentals_get_subtitles_without_lines(tiny_models, tmp_path):
    made = generate("a", duration=10, seed=1, instrumental=True, models=tiny_models, settings=QUICK)
    made.save(tmp_path / "x.flac", record=False, subtitles=("vtt", "srt"))
    assert (tmp_path / "x.vtt").read_text().strip() == "WEBVTT" and (tmp_path / "x.srt").read_text().strip() == ""
    with pytest.raises(InvalidInput, match="no subtitle format 'ass'"):
        made.save(tmp_path / "y.flac", subtitles=("ass",))
    with pytest.raises(InvalidInput, match=r"a path such as 'song\.flac', not 5"):
        made.save(5)
    assert not (tmp_path / "y.flac").exists()


def test_a_full_disk_costs_no_song_and_leaves_no_half_file(tiny_models, tmp_path, monkeypatch):
    made = generate("a", duration=10, seed=1, batch=2, models=tiny_models, settings=QUICK)

    def full(*about):
        raise OSError(errno.ENOSPC, "no space")

    monkeypatch.setattr(saving, "record_text", full)
    with pytest.raises(StorageError, match="full"):
        made.save(tmp_path / "x.flac")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["x_00001.flac", "x_00002.flac"]
    (tmp_path / "file").touch()
    with pytest.raises(StorageError, match="cannot be created"):
        made.save(tmp_path / "file" / "x.flac")


def test_songs_of_a_batch_are_encoded_at_once_and_named_in_turn(tmp_path, monkeypatch):
    """The first is encoded last here, and one cannot be: the others have the names and bytes of songs saved alone."""
    songs = torch.rand(4, 2, 4800, generator=torch.manual_seed(0)) - 0.5
    later = {number: threading.Event() for number in range(4)}
    alone = []
    for number, song in enumerate(songs):
        saving.save_song(tmp_path, "alone", song, 48000, None, None, saving.Keep("mp3"))
        alone.append((tmp_path / f"alone_{number + 1:05}.mp3").read_bytes())

    def encode(path, song, *about):
        number = next(n for n in range(4) if torch.equal(song, songs[n]))
        if number < 3:
            assert later[number + 1].wait(30), "the next one is encoded meanwhile"
        try:
            if number == 2:
                raise AudioError("not this one.")
            write_audio(path, song, *about)
        finally:
            later[number].set()

    monkeypatch.setattr(saving, "write_audio", encode)
    with pytest.raises(AudioError, match="not this one"):
        saving.save_songs([saving.Batch([(tmp_path, "x")] * 4, songs, 48000, None, [None] * 4)], saving.Keep("mp3"))
    assert [path.read_bytes() for path in sorted(tmp_path.glob("x_*"))] == [alone[0], alone[1], alone[3]]
