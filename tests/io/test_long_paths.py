"""Paths that are longer than Windows takes them by default, 259 characters, and what is written there all the same."""

from __future__ import annotations

from pathlib import Path, PureWindowsPath

import pytest

from acestep_core.errors import StorageError
from acestep_core.io import long_paths, system
from acestep_core.io.atomic import atomic_write, visible
from acestep_core.io.staging import keep_copy, staging, write_song
from acestep_core.io.trash import bring_back, move_away
from tests.pretended_files import windows

OWN = {name: getattr(long_paths, name) for name in ("_MARK", "_marked", "_plain")}


@pytest.fixture
def own_marks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Windows' own spelling, also where its files are pretended."""
    for name, value in OWN.items():
        monkeypatch.setattr(long_paths, name, value)
    monkeypatch.setattr(system, "WINDOWS", False)


@pytest.fixture
def on_windows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    windows(monkeypatch, tmp_path)
    return tmp_path


def deep(root: Path, length: int) -> Path:
    """A new folder whose path has `length` characters."""
    while (left := length - len(str(root))) > 200:
        root = root / ("d" * 100)
    folder = root / ("d" * (left - 1))
    folder.mkdir(parents=True)
    assert len(str(folder)) == length
    return folder


@pytest.mark.parametrize(
    ("path", "marked"),
    [
        (r"C:\songs\a.flac", r"\\?\C:\songs\a.flac"),
        (r"\\server\share\a.flac", r"\\?\UNC\server\share\a.flac"),
    ],
)
@pytest.mark.usefixtures("own_marks")
def test_the_spelling_that_windows_takes_at_any_length(path: str, marked: str) -> None:
    assert long_paths._marked(path) == marked and PureWindowsPath(marked).is_absolute()
    assert long_paths._plain(marked) == path


@pytest.mark.usefixtures("own_marks")
def test_only_long_paths_on_windows_are_spelled_otherwise(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    long = tmp_path / "x" / ("y" * 250)
    assert long_paths.reachable(long) == long
    monkeypatch.setattr(system, "WINDOWS", True)
    assert long_paths.reachable(tmp_path) == tmp_path
    marked = long_paths.reachable(long)
    assert str(marked) == rf"\\?\{long}"
    assert long_paths.familiar(marked) == long and long_paths.familiar(tmp_path) == tmp_path


@pytest.mark.parametrize("length", [150, 215, 225, 235, 240])
def test_a_stage_is_no_reason_to_refuse_a_song(on_windows: Path, length: int) -> None:
    """Whatever its folder, a song that has room there is written, and nothing is left beside it."""
    folder = deep(on_windows, length)
    stem = "s" * (259 - length - 1 - len("_00001.flac"))
    made = write_song(folder, stem, {".flac": b"x", ".json": "{}"})
    assert made[".flac"] == folder / f"{stem}_00001.flac" and made[".flac"].read_bytes() == b"x"
    assert sorted(folder.iterdir()) == sorted(made.values())


@pytest.mark.parametrize("rule", ["number", "plain", "row", "copy"])
def test_a_name_that_has_no_room_is_cut(on_windows: Path, rule: str) -> None:
    folder = deep(on_windows, 170)
    first, second = (write_song(folder, "s" * 150, {".flac": bytes([n]), ".json": "{}"}, rule=rule) for n in (1, 2))
    for made, content in ((first, b"\1"), (second, b"\2")):
        assert 225 < len(str(made[".flac"])) <= 259 and made[".flac"].read_bytes() == content
    assert len(list(folder.iterdir())) == 4


def test_where_no_name_has_room_the_song_is_written_all_the_same(on_windows: Path) -> None:
    folder = deep(on_windows, 247)
    made = write_song(folder, "a longer name", {".flac": b"x"})[".flac"]
    assert made == folder / "a longer name_00001.flac"
    assert long_paths.reachable(made).read_bytes() == b"x"


def test_copies_single_files_and_texts(on_windows: Path) -> None:
    folder, source = deep(on_windows, 215), on_windows / "a.wav"
    source.write_bytes(b"a")
    assert keep_copy(source, folder, "a" * 25 + ".wav").read_bytes() == b"a"
    with staging(folder) as stage:
        (stage.folder / "b").write_bytes(b"b")
        assert stage.deliver_one(stage.folder / "b", "b" * 100, ".bin").read_bytes() == b"b"
    settings = deep(on_windows, 247) / "c.json"  # the name of the temporary file is longer
    with atomic_write(settings) as temporary:
        temporary.write_text("c", encoding="utf-8")
    assert settings.read_text(encoding="utf-8") == "c"


@pytest.mark.parametrize("length", [215, 235])
def test_a_song_is_deleted_and_brought_back(on_windows: Path, length: int) -> None:
    folder = deep(on_windows, length)
    audio = write_song(folder, "a song to delete", {".flac": b"x", ".json": "{}"})[".flac"]
    entry = move_away(folder, [audio], lambda song: [song, song.with_suffix(".json")]).entry
    assert not audio.exists()
    _, back = bring_back(folder, entry)
    assert audio in back.values() and audio.read_bytes() == b"x"


def test_a_folder_that_is_not_there_is_named_as_people_write_it(on_windows: Path) -> None:
    gone = on_windows / ("e" * 240)
    with pytest.raises(StorageError, match=r"does not exist|too long") as refused, atomic_write(gone / "a"):
        pass
    assert "//" not in str(refused.value)
    folder = deep(on_windows, 245)
    assert visible(long_paths.reachable(folder)) == folder != long_paths.reachable(folder)


def test_characters_are_counted_as_windows_does(on_windows: Path) -> None:
    """Those beyond the first plane count twice."""
    folder = deep(on_windows, 200)
    cut = long_paths.fitting("🎵" * 60, folder, 11)
    assert cut == "🎵" * 23
