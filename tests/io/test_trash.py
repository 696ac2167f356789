"""Deleted songs: they come back whole, whatever happened meanwhile."""

from __future__ import annotations

import json
import threading
from collections.abc import Sequence
from pathlib import Path

import pytest

from acestep_core.errors import InvalidInput, StorageError
from acestep_core.io import atomic, trash
from acestep_core.io.staging import write_song
from acestep_core.io.trash import bring_back, empty, mend, move_away
from tests.capabilities import needs_kills
from tests.crash_sweep import sweep

SUFFIXES = (".flac", ".json", ".lrc", ".lyrics.json")


def family(audio: Path) -> list[Path]:
    return [path for suffix in SUFFIXES if (path := audio.with_suffix(suffix)).is_file()]


def song(folder: Path, stem: str = "song_00001", text: str = "mine") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for suffix in SUFFIXES:
        (folder / f"{stem}{suffix}").write_text(text * (10 if suffix == ".flac" else 1))
    return folder / f"{stem}.flac"


def seen(root: Path) -> dict[str, str]:
    """Content of all files that are not hidden."""
    files = [path for path in root.rglob("*") if path.is_file()]
    names = {path.relative_to(root).as_posix(): path for path in files}
    return {name: path.read_text() for name, path in names.items() if "/." not in f"/{name}"}


def test_songs_of_several_folders_go_and_come_back(tmp_path: Path) -> None:
    songs = [song(tmp_path / "a"), song(tmp_path / "a", "song_00002"), song(tmp_path / "b" / "c")]
    (tmp_path / "a" / "song_000010.txt").touch()
    before = seen(tmp_path)
    deleted = move_away(tmp_path, songs, family, {"why": "test"})
    assert set(seen(tmp_path)) == {"a/song_000010.txt"} and trash.size(tmp_path) > 0
    assert [entry.entry for entry in trash.trash(tmp_path)] == [deleted.entry]
    known, moved = bring_back(tmp_path, deleted.entry)
    assert seen(tmp_path) == before and known.note == {"why": "test"}
    assert moved["b/c/song_00001.flac"] == tmp_path / "b" / "c" / "song_00001.flac" and len(moved) == 12
    assert not list(tmp_path.rglob(".*"))
    with pytest.raises(InvalidInput, match="cannot be brought back"):
        bring_back(tmp_path, deleted.entry)


def test_a_name_that_was_taken_meanwhile_is_left_alone(tmp_path: Path) -> None:
    deleted = move_away(tmp_path, [song(tmp_path)], family)
    assert write_song(tmp_path, "song", {".flac": "new" * 10})[".flac"].name == "song_00001.flac"
    bring_back(tmp_path, deleted.entry)
    found = seen(tmp_path)
    assert found.pop("song_00001.flac") == "new" * 10
    stems = {name.partition(".")[0] for name in found}
    assert len(found) == 4 and len(stems) == 1 and stems != {"song_00001"}, "all under one other name"


def test_all_or_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    songs = [song(tmp_path / "a"), song(tmp_path / "b")]
    before = seen(tmp_path)
    with pytest.raises(InvalidInput, match=r"no song 'gone.flac'"):
        move_away(tmp_path, [*songs, tmp_path / "gone.flac"], family)
    assert seen(tmp_path) == before

    def in_use(source: Path, target: Path) -> None:
        if source == songs[1]:
            raise PermissionError(13, "in use")
        atomic.place(source, target)

    monkeypatch.setattr(trash, "place", in_use)
    with pytest.raises(StorageError):
        move_away(tmp_path, songs, family)
    assert seen(tmp_path) == before and not list(tmp_path.rglob(".*"))


def test_emptying_is_for_good(tmp_path: Path) -> None:
    kept = song(tmp_path / "a")
    deleted = move_away(tmp_path, [song(tmp_path / "b")], family)
    empty(tmp_path)
    assert trash.size(tmp_path) == 0 and not trash.trash(tmp_path) and kept.is_file()
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]
    with pytest.raises(InvalidInput):
        bring_back(tmp_path, deleted.entry)


@pytest.mark.parametrize("entry", ["", ".", "..", "a", "../elsewhere", ".save-00000000.stage", ".trash-0000000g.stage"])
def test_only_entries_of_the_trash_come_back(entry: str, tmp_path: Path) -> None:
    song(tmp_path / "root" / "a")
    song(tmp_path / "root" / ".save-00000000.stage" / "files")
    with pytest.raises(InvalidInput):
        bring_back(tmp_path / "root", entry)
    assert len(seen(tmp_path / "root" / ".save-00000000.stage")) == 4


def test_a_note_that_leads_outside_is_not_followed(tmp_path: Path) -> None:
    root = tmp_path / "root"
    deleted = move_away(root, [song(root)], family)
    note = root / deleted.entry / "deleted.json"
    values = json.loads(note.read_text())
    values["bundles"][0]["folder"] = ".."
    note.write_text(json.dumps(values))
    mend(root)
    assert not list(tmp_path.glob("song*")) and len(seen(root)) == 4


def test_what_a_note_does_not_name_is_kept_too(tmp_path: Path) -> None:
    deleted = move_away(tmp_path, [song(tmp_path / "a")], family)
    (tmp_path / deleted.entry / "files" / "a" / "more.txt").write_text("more")
    bring_back(tmp_path, deleted.entry)
    assert len(seen(tmp_path)) == 5


def test_without_its_note_an_entry_goes_back(tmp_path: Path) -> None:
    deleted = move_away(tmp_path, [song(tmp_path / "a")], family)
    (tmp_path / deleted.entry / "deleted.json").write_text("{")
    mend(tmp_path)
    assert len(seen(tmp_path)) == 4 and not list(tmp_path.rglob(".*"))


def test_while_others_write(tmp_path: Path) -> None:
    """Numbers are given under the lock under which songs are taken away, so no song loses a part to another."""
    lost: list[str] = []

    def write() -> None:
        for number in range(20):
            write_song(tmp_path, "song", {".flac": f"{number:04d}" * 10, ".json": f"{number:04d}"})

    def delete() -> None:
        for _ in range(20):
            for audio in list(tmp_path.glob("*.flac"))[:2]:
                try:
                    entry = move_away(tmp_path, [audio], family).entry
                    bring_back(tmp_path, entry)
                except InvalidInput:
                    lost.append(audio.name)

    threads = [threading.Thread(target=write), threading.Thread(target=delete)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    songs = {path.stem: path.read_text() for path in tmp_path.glob("*.flac")}
    assert sorted(songs.values()) == [f"{number:04d}" * 10 for number in range(20)]
    assert all((tmp_path / f"{stem}.json").read_text() == text[:4] for stem, text in songs.items())
    assert not lost


# -- killed anywhere ---------------------------------------------------------------------------------------------------


def everything(folder: Path) -> set[str]:
    return {path.name for path in folder.rglob("song_0000*") if path.stat().st_size}


class Deleting:
    @staticmethod
    def prepare(folder: Path) -> None:
        song(folder / "a")

    @staticmethod
    def write(folder: Path) -> None:
        mend(folder)
        songs: Sequence[Path] = [path for path in [folder / "a" / "song_00001.flac"] if path.exists()]
        if songs:
            move_away(folder, songs, family)

    @staticmethod
    def killed(folder: Path) -> None:
        assert everything(folder) == {f"song_00001{suffix}" for suffix in SUFFIXES}

    @staticmethod
    def restarted(folder: Path) -> None:
        assert not seen(folder)
        (entry,) = trash.trash(folder)
        bring_back(folder, entry.entry)
        assert set(seen(folder)) == {f"a/song_00001{suffix}" for suffix in SUFFIXES}
        assert not list(folder.rglob(".*"))


class BringingBack(Deleting):
    @staticmethod
    def prepare(folder: Path) -> None:
        move_away(folder, [song(folder / "a")], family)

    @staticmethod
    def write(folder: Path) -> None:
        mend(folder)
        for entry in trash.trash(folder):
            bring_back(folder, entry.entry)

    @staticmethod
    def restarted(folder: Path) -> None:
        assert set(seen(folder)) == {f"a/song_00001{suffix}" for suffix in SUFFIXES}
        assert not list(folder.rglob(".*"))


@needs_kills
@pytest.mark.parametrize("scenario", [Deleting, BringingBack])
def test_killed_before_every_operation(scenario: type, tmp_path: Path) -> None:
    assert sweep(__name__, scenario.__name__, tmp_path) > 20
