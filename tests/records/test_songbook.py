"""The index of a folder's songs: what is listed, in which batches, and when a record is read again."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from acestep_core.errors import InvalidInput
from acestep_core.io.audio import write_audio
from acestep_core.io.staging import write_song
from acestep_core.records import songbook
from acestep_core.records.favourites import favourites, mark
from acestep_core.records.headings import heading_of
from acestep_core.records.song_record import FileRecord, SongRecord
from acestep_core.records.songbook import Listed, Search, Songbook, choices
from tests.capabilities import link

RECORD = SongRecord(
    song={"caption": "Night train, brushed drums", "lyrics": "hold the night", "bpm": 88, "keyscale": "A minor"},
    seeds={"noise": 7},
    task={"name": "text2music", "index": 0, "seeds": [7, 8]},
    files=(
        FileRecord("dit", "acestep-v15-turbo", extra={"variant": "turbo"}),
        FileRecord("lm", "acestep-5Hz-lm-1.7B"),
    ),
    scores={"alignment": 0.9, "lm": 0.7},
)


def record(index: int = 0, seeds: tuple[int, ...] = (7, 8), **song: Any) -> SongRecord:
    task = {**RECORD.task, "index": index, "seeds": list(seeds)}
    return replace(RECORD, song={**RECORD.song, **song}, seeds={"noise": seeds[index]}, task=task)


def put(path: Path, made: SongRecord | str | None = RECORD, at: float = 0) -> Path:
    """A song that nobody will listen to, with its record, written at a time."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"no sound")
    if made is not None:
        path.with_suffix(".json").write_text(made if isinstance(made, str) else made.to_json(), encoding="utf-8")
    if at:
        os.utime(path, (at, at))
    return path


def names(book: Songbook, **search: Any) -> list[str]:
    return [song.name for song in book.find(Search(**search))[1]]


def test_newest_batch_first_and_in_each_the_first_take(tmp_path: Path) -> None:
    for take, (index, seeds, at) in enumerate([(1, (1, 2), 100), (0, (1, 2), 101), (0, (5,), 300), (0, (1, 2), 200)]):
        put(tmp_path / "sub" / f"song_{take}.flac", record(index, seeds), at)
    _, songs = Songbook(tmp_path).songs()
    found = [(song.name, song.batch, song.take, song.takes) for song in songs]
    assert found == [
        ("sub/song_2.flac", 3, 1, 1),
        ("sub/song_3.flac", 2, 1, 1),  # the same seeds once more are another batch
        ("sub/song_1.flac", 1, 1, 2),
        ("sub/song_0.flac", 1, 2, 2),
    ]


def test_what_is_told_of_a_song(tmp_path: Path) -> None:
    put(tmp_path / "a.mp3")
    ((song,),) = (Songbook(tmp_path).songs()[1],)
    heading = song.heading
    assert (heading.caption, heading.bpm, heading.keyscale) == ("Night train, brushed drums", 88, "A minor")
    assert heading.score == pytest.approx(0.8) and heading.model == "turbo" and not heading.damaged
    assert song.bytes == len("no sound")


def test_only_our_songs_are_listed(tmp_path: Path) -> None:
    put(tmp_path / "plain.flac", None)
    put(tmp_path / "foreign.flac", '{"format": "other"}')
    put(tmp_path / "workflow.flac", '{"nodes": []}')
    put(tmp_path / ".hidden.flac")
    put(tmp_path / ".trash-00000000.stage" / "files" / "deleted.flac")
    (tmp_path / "alone.json").write_text(RECORD.to_json())
    put(tmp_path / "graph_only.flac", '{"prompt": {"1": {}}}')
    for number, broken in enumerate(("", "{", "\0", "[" * 100_000, RECORD.to_json()[:-50])):
        put(tmp_path / f"broken_{number}.flac", broken)
    write_audio(tmp_path / "tagged.flac", torch.zeros(2, 4800), metadata={"acestep": RECORD.to_json()})
    write_audio(tmp_path / "both.flac", torch.zeros(2, 4800), metadata={"acestep": RECORD.to_json()})
    (tmp_path / "both.json").write_text("{")
    found = {song.name: song.heading for song in Songbook(tmp_path).songs()[1]}
    assert set(found) == {
        *(f"broken_{number}.flac" for number in range(5)),
        *("graph_only.flac", "tagged.flac", "both.flac"),
    }
    assert all(found[f"broken_{number}.flac"].damaged for number in range(5))
    assert found["tagged.flac"].bpm == 88 and not found["tagged.flac"].damaged
    assert found["both.flac"].bpm == 88 and found["both.flac"].damaged


@pytest.mark.parametrize(
    ("part", "value"),
    [
        ("song", None),
        ("song", {"caption": 5, "lyrics": [], "bpm": "fast", "keyscale": {}, "duration": True}),
        ("task", [1]),
        ("task", {"index": -1, "seeds": {"a": 1}}),
        ("task", {"index": "0", "seeds": ["x", None]}),
        ("files", [1, "dit", {"role": 5}, {"role": "dit", "name": None}]),
        ("scores", {"alignment": "good", "lm": 1e300}),
        ("machine", 3),
    ],
)
def test_a_record_with_nonsense_in_it_is_listed(part: str, value: Any, tmp_path: Path) -> None:
    put(tmp_path / "a.flac", json.dumps(RECORD.to_dict() | {part: value}))
    ((song,),) = (Songbook(tmp_path).songs()[1],)
    assert isinstance(song, Listed) and isinstance(song.heading.caption, str)


def test_links_are_not_followed(tmp_path: Path) -> None:
    put(tmp_path / "outside" / "secret.flac")
    (tmp_path / "out").mkdir()
    link(tmp_path / "out" / "link", tmp_path / "outside")
    link(tmp_path / "out" / "a.flac", tmp_path / "outside" / "secret.flac")
    link(tmp_path / "out" / "loop", tmp_path / "out")
    assert names(Songbook(tmp_path / "out")) == []


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The songs whose records are read, as they are."""
    found: list[str] = []
    monkeypatch.setattr(
        songbook, "heading_of", lambda audio, beside: found.append(audio.name) or heading_of(audio, beside)
    )
    return found


def test_a_thousand_songs_are_read_once(tmp_path: Path, reads: list[str]) -> None:
    texts = [record(0, (number,)).to_json() for number in range(1000)]
    for number, text in enumerate(texts):
        put(tmp_path / f"folder_{number % 7}" / f"song_{number:05d}.flac", text, at=1000 + number)
    book = Songbook(tmp_path)
    revision, songs = book.songs()
    assert len(songs) == 1000 and songs[0].batch == 1000 and len(reads) == 1000
    for folder in tmp_path.iterdir():
        os.utime(folder, (1000, 1000))
    book.songs()
    reads.clear()
    assert book.songs() == (revision, songs) and book.find(Search("night"))[0] == revision and reads == []


def test_what_has_changed_is_read_again(tmp_path: Path, reads: list[str]) -> None:
    for number in range(3):
        put(tmp_path / "sub" / f"song_{number}.flac", record(0, (number,)), at=100 + number)
    book = Songbook(tmp_path)
    first, _ = book.songs()
    reads.clear()
    record(0, (1,), bpm=120).save(tmp_path / "sub" / "song_1.json")
    second, songs = book.songs()
    assert reads == ["song_1.flac"] and second != first and songs[1].heading.bpm == 120
    (tmp_path / "sub" / "song_2.flac").unlink()
    write_song(tmp_path / "sub", "song", {".flac": b"", ".json": record(0, (9,)).to_json()})
    third, songs = book.songs()
    assert third != second and {song.name for song in songs} == {
        "sub/song_0.flac",
        "sub/song_1.flac",
        "sub/song_00001.flac",
    }
    (tmp_path / "sub").rename(tmp_path / "other")
    assert names(book)[-1].startswith("other/") and len(names(book)) == 3


def test_a_record_that_is_written_into_is_seen_in_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its folder does not change then; so files are looked at too, now and then."""
    put(tmp_path / "a.flac")
    os.utime(tmp_path, (1000, 1000))
    book = Songbook(tmp_path)
    book.songs()
    (tmp_path / "a.json").write_text(record(bpm=99).to_json())
    os.utime(tmp_path, (1000, 1000))
    assert book.songs()[1][0].heading.bpm == 88
    monkeypatch.setattr(songbook, "_FRESH", 0)
    assert book.songs()[1][0].heading.bpm == 99


@pytest.mark.parametrize(
    ("search", "found"),
    [
        ({"words": ""}, "abc"),
        ({"words": "NIGHT train"}, "a"),
        ({"words": "night"}, "ac"),  # in the lyrics too
        ({"words": "밤의"}, "b"),
        ({"words": "88"}, "a"),
        ({"words": "80–100 bpm"}, "ab"),
        ({"words": "80-90 night"}, "a"),
        ({"words": "Am"}, "a"),
        ({"words": "a minor"}, "a"),
        ({"words": "F#m"}, "b"),
        ({"words": "Gb major"}, ""),
        ({"words": "turbo"}, "ab"),
        ({"words": "xl-base"}, "c"),
        ({"words": "sub/c"}, "c"),
        ({"keyscale": "F# minor"}, "b"),
        ({"bpm": (90, 120)}, "b"),
        ({"model": "base"}, "c"),
        ({"favourites": True}, "b"),
        ({"favourites": True, "words": "night"}, ""),
    ],
)
def test_search(search: dict[str, Any], found: str, tmp_path: Path) -> None:
    put(tmp_path / "a.flac")
    put(tmp_path / "b.flac", record(0, (1,), caption="밤의 열차", lyrics="", bpm=92, keyscale="F# minor"))
    base = (FileRecord("dit", "acestep-v15-xl-base", extra={"variant": "base"}),)
    put(tmp_path / "sub" / "c.flac", replace(record(0, (2,), caption="calm", bpm=None, keyscale=""), files=base))
    mark(tmp_path, ["b.flac"], True)
    book = Songbook(tmp_path)
    assert sorted(Path(name).stem for name in names(book, **search)) == list(found)
    assert choices(book.songs()[1]) == {"keys": ["A minor", "F# minor"], "models": ["base", "turbo"]}


def test_a_deleted_song_comes_back_as_a_favourite(tmp_path: Path) -> None:
    song = put(tmp_path / "sub" / "song_00001.flac")
    song.with_suffix(".lrc").write_text("la")
    mark(tmp_path, ["sub/song_00001.flac"], True)
    book = Songbook(tmp_path)
    deleted = book.delete([song])
    assert names(book) == [] and not list((tmp_path / "sub").iterdir())
    write_song(tmp_path / "sub", "song", {".flac": b"", ".json": RECORD.to_json()})
    assert not favourites(tmp_path), "the mark does not pass to another song of that name"
    (back,) = book.restore(deleted.entry)
    assert back.with_suffix(".lrc").read_text() == "la" and back.name != "song_00001.flac"
    assert favourites(tmp_path) == {back.relative_to(tmp_path).as_posix()} and len(names(book)) == 2


def test_a_record_stays_with_the_other_format_of_a_song(tmp_path: Path) -> None:
    song = put(tmp_path / "a [1].flac")
    put(tmp_path / "a [1].mp3", None)
    book = Songbook(tmp_path)
    book.delete([song])
    assert sorted(path.name for path in tmp_path.glob("a*")) == ["a [1].json", "a [1].mp3"]
    book.delete([tmp_path / "a [1].mp3"])
    assert not list(tmp_path.glob("a*"))


@pytest.mark.parametrize("name", ["notes.txt", ".trash-00000000.stage/files/a.flac", "../a.flac"])
def test_nothing_else_is_deleted(name: str, tmp_path: Path) -> None:
    root = tmp_path / "root"
    root.mkdir()
    (root / name).parent.mkdir(parents=True, exist_ok=True)
    (root / name).write_text("mine")
    with pytest.raises(InvalidInput):
        Songbook(root).delete([(root / name).resolve()])
    assert (root / name).read_text() == "mine"


def test_damaged_favourites_are_left_alone(tmp_path: Path) -> None:
    path = tmp_path / ".acestep_favourites.json"
    for text in ("{", "[]", '{"favourites": [1]}', ""):
        path.write_text(text)
        assert favourites(tmp_path) == frozenset()
        with pytest.raises(InvalidInput, match="damaged"):
            mark(tmp_path, ["a.flac"], True)
        assert path.read_text() == text
    path.unlink()
    mark(tmp_path, ["가.flac"], True)
    mark(tmp_path, ["b.flac"], True)
    mark(tmp_path, ["b.flac", "c.flac"], False)
    assert favourites(tmp_path) == {"가.flac"}
