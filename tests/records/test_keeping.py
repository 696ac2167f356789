from dataclasses import replace
from pathlib import Path
from zipfile import ZipFile

import torch

from acestep_core.io.audio import write_audio
from acestep_core.records.facts import CODES_SHOWN, facts_of
from acestep_core.records.keeping import archive, family, keep
from acestep_core.records.song_record import FileRecord, SongRecord

RECORD = SongRecord(
    song={"caption": "calm", "lyrics": "la", "bpm": 90},
    seeds={"noise": 2**60},
    plan="bpm: 90",
    codes=tuple(range(CODES_SHOWN + 5)),
    task={"name": "cover", "seeds": [2**60, 5]},
    settings={"steps": 8},
    files=(
        FileRecord("dit", "acestep-v15-turbo", extra={"variant": "turbo"}),
        FileRecord("lm", "acestep-5Hz-lm-1.7B"),
        FileRecord("adapter", "jazz.safetensors", strength=0.5),
    ),
    machine={"test_model": True},
    seconds={"sample": 2.0},
    scores={"alignment": 0.5, "lm": None},
)


def song(path: Path, record: SongRecord | None = RECORD) -> Path:
    tags = {} if record is None else {"acestep": record.to_json()}
    write_audio(path, torch.zeros(2, 4800), metadata=tags)
    return path


def test_a_played_song_is_kept_with_lyrics_and_record(tmp_path: Path) -> None:
    audio = song(tmp_path / "acestep_preview_00007.flac")
    (tmp_path / "acestep_preview_00007.lrc").write_text("[00:01.00]la")
    (tmp_path / "acestep_preview_00007.lyrics.json").write_text("{}")
    out = tmp_path / "out"
    out.mkdir()
    for number in (1, 2):
        kept = keep(audio, out, "song")
        stem = f"song_0000{number}"
        assert {path.name for path in kept} == {f"{stem}.{end}" for end in ("flac", "json", "lrc", "lyrics.json")}
        assert kept[0].read_bytes() == audio.read_bytes()
        assert SongRecord.load(out / f"{stem}.json") == RECORD
    assert set(family(kept[0])) == set(kept)


def test_a_recording_without_a_story_is_kept_alone(tmp_path: Path) -> None:
    audio = song(tmp_path / "plain.flac", None)
    (tmp_path / "out").mkdir()
    assert [path.name for path in keep(audio, tmp_path / "out", "song")] == ["song_00001.flac"]


def test_an_archive_holds_files_of_one_name_twice(tmp_path: Path) -> None:
    files = []
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        files.append(song(tmp_path / folder / "song.flac"))
    archive(tmp_path / "all.zip", files)
    with ZipFile(tmp_path / "all.zip") as found:
        assert found.namelist() == ["song.flac", "b/song.flac"]
        assert found.read("b/song.flac") == files[1].read_bytes()


def test_what_a_listener_is_told() -> None:
    facts = facts_of(RECORD)
    assert facts["seed"] == str(2**60), "more than a browser can count"
    assert facts["seeds"] == [str(2**60), "5"]
    assert (facts["caption"], facts["bpm"], facts["keyscale"]) == ("calm", 90, None)
    assert facts["scores"] == {"alignment": 0.5}
    assert facts["codes"] == {"count": CODES_SHOWN + 5, "first": list(range(CODES_SHOWN))}
    assert (facts["model"], facts["variant"], facts["lm"]) == ("acestep-v15-turbo", "turbo", "acestep-5Hz-lm-1.7B")
    assert facts["adapters"] == [["jazz.safetensors", 0.5]]
    assert facts["test"] is True and facts["task"] == "cover" and facts["steps"] == 8


def test_a_schedule_of_its_own_tells_its_steps() -> None:
    times = replace(RECORD, settings={"timesteps": [1.0, 0.75, 0.5, 0.25, 0.0]})
    assert facts_of(times)["steps"] == 4
