"""New files: their names, many writers at once, and what is left when a writer is killed anywhere."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import time
import unicodedata
from contextlib import suppress
from pathlib import Path

import pytest

from acestep_core.errors import StorageError
from acestep_core.io import atomic, staging, system
from acestep_core.io.atomic import atomic_write, place
from acestep_core.io.names import COPY, PLAIN, ROW, same_name
from acestep_core.io.staging import SAVER, finish_leftovers, keep_copy, write_song
from tests.capabilities import needs_kills, needs_proc
from tests.crash_sweep import ROOT, in_child, kill_before, sweep


def names(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def test_a_song_gets_one_number_for_all_its_files(tmp_path: Path) -> None:
    (tmp_path / "song_00007.lyrics.json").touch()
    paths = write_song(tmp_path, "song", {".flac": b"audio", ".json": "{}"})
    assert paths == {".flac": tmp_path / "song_00008.flac", ".json": tmp_path / "song_00008.json"}
    assert write_song(tmp_path, "song", {".mp3": b""}, end="_")[".mp3"].name == "song_00009_.mp3"
    assert write_song(tmp_path, "song", {".mp3": b""})[".mp3"].name == "song_00010.mp3"


@pytest.mark.parametrize(
    ("there", "stem"),
    [("Song_00001.flac", "song"), ("노래_00001.flac", "노래"), ("straße_00001.txt", "STRASSE")],
)
def test_case_and_form_do_not_make_another_name(there: str, stem: str, tmp_path: Path) -> None:
    (tmp_path / there).touch()
    assert write_song(tmp_path, stem, {".flac": b""})[".flac"].name == f"{stem}_00002.flac"


def test_a_name_of_ones_own_is_kept_where_it_is_free(tmp_path: Path) -> None:
    (tmp_path / "x.txt").touch()
    assert write_song(tmp_path, "x", {".flac": b"", ".json": ""}, rule=PLAIN)[".flac"].name == "x.flac"
    assert write_song(tmp_path, "X", {".wav": b"", ".json": ""}, rule=PLAIN)[".json"].name == "X_00001.json"
    (tmp_path / "y.lrc").touch()
    assert write_song(tmp_path, "y", {".flac": b""}, rule=PLAIN, reserved=[".lrc"])[".flac"].name == "y_00001.flac"


def test_names_are_made_safe(tmp_path: Path) -> None:
    for stem, name in (("D:evil", "D_evil"), ("a/../b", "a_.._b"), ("con", "_con"), ("...", "song")):
        assert write_song(tmp_path, stem, {".flac": b""}, rule=PLAIN)[".flac"] == tmp_path / f"{name}.flac"


def test_the_song_is_kept_if_what_comes_after_fails(tmp_path: Path) -> None:
    def fail(path: Path) -> None:
        path.write_text("half")
        raise OSError(errno.ENOSPC, "no space")

    with pytest.raises(StorageError, match=f"The disk that holds {tmp_path} is full"):
        write_song(tmp_path, "x", {".flac": b"audio", ".json": fail, ".lrc": ""})
    assert names(tmp_path) == ["x_00001.flac"]
    with pytest.raises(StorageError, match="full"):
        write_song(tmp_path, "y", {".flac": fail, ".json": "{}"})
    assert names(tmp_path) == ["x_00001.flac"]


def test_a_file_that_appears_in_the_last_moment_is_not_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def late(source: Path, target: Path) -> None:
        if target.name == "x_00001.flac" and not target.exists():
            target.write_text("foreign")
        place(source, target)

    monkeypatch.setattr(staging, "place", late)
    paths = write_song(tmp_path, "x", {".flac": b"audio", ".json": "{}"})
    assert [path.name for path in paths.values()] == ["x_00002.flac", "x_00002.json"]
    assert names(tmp_path) == ["x_00001.flac", "x_00002.flac", "x_00002.json"]
    assert (tmp_path / "x_00001.flac").read_text() == "foreign"


@pytest.mark.parametrize("error", [errno.EPERM, errno.EOPNOTSUPP])
def test_file_systems_without_links(error: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: object, **options: object) -> None:
        raise OSError(error, "no links here")

    monkeypatch.setattr(os, "link", refuse)
    assert write_song(tmp_path, "x", {".flac": b"audio"})[".flac"].read_bytes() == b"audio"
    (tmp_path / "a").write_text("a")
    (tmp_path / "b").write_text("b")
    with pytest.raises(FileExistsError):
        place(tmp_path / "a", tmp_path / "b")
    assert (tmp_path / "b").read_text() == "b"


def test_copies_of_one_content_are_one_file(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.write_text("one")
    folder = tmp_path / "in" / "put"
    assert keep_copy(source, folder, "a.b.wav").name == keep_copy(source, folder, "a.b.wav").name == "a.b.wav"
    source.write_text("two")
    assert keep_copy(source, folder, "a.b.wav").name == keep_copy(source, folder, "a.b.wav").name == "a.b (1).wav"
    source.write_text("three")
    assert keep_copy(source, folder, "A.B.wav").name == "A.B (2).wav"
    assert (folder / "a.b.wav").read_text() == "one"


def test_a_copy_of_what_is_there_under_another_spelling_is_not_kept_twice(tmp_path: Path) -> None:
    """The file that is there is named, as it is written there: other spellings do not find it on every system."""
    folder, source = tmp_path / "input", tmp_path / "source"
    apart, whole = (unicodedata.normalize(form, "노래 é.WAV") for form in ("NFD", "NFC"))
    source.write_text("one")
    assert keep_copy(source, folder, apart).name == apart
    assert keep_copy(source, folder, whole).name == keep_copy(source, folder, whole.lower()).name == apart
    source.write_text("two")
    other = keep_copy(source, folder, whole).name
    assert same_name(other, "노래 é (1).wav") and len(names(folder)) == 2
    assert keep_copy(source, folder, apart).name == other and len(names(folder)) == 2


def test_of_two_spellings_the_one_that_was_asked_for_counts(tmp_path: Path) -> None:
    folder, source = tmp_path / "input", tmp_path / "source"
    folder.mkdir()
    source.write_text("one")
    for name in ("A.wav", "a.wav"):
        (folder / name).write_text("one")
    if len(names(folder)) == 1:
        pytest.skip("here names have no case")
    assert [keep_copy(source, folder, name).name for name in ("A.wav", "a.wav", "a.WAV")] == ["A.wav", "a.wav", "A.wav"]


def test_songs_under_another_spelling_are_the_same_only_as_a_whole(tmp_path: Path) -> None:
    (tmp_path / "Song.flac").write_text("audio")
    (tmp_path / "song.JSON").write_text("story")
    for story, expected in (("story", {"Song.flac", "song.JSON"}), ("another", {"song (1).flac", "song (1).json"})):
        with staging.staging(tmp_path) as stage:
            (stage.folder / "song.flac").write_text("audio")
            (stage.folder / "song.json").write_text(story)
            assert {path.name for path in stage.deliver(COPY).values()} == expected


def test_a_tree_arrives_with_songs_together(tmp_path: Path) -> None:
    for name in ("a/song_00001.flac", "a/Song_00003.json", "free.txt", "taken.txt", "taken.flac"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("old")
    with staging.staging(tmp_path) as stage:
        (stage.folder / "a").mkdir()
        for name in ("a/song_00001.flac", "a/song_00001.lyrics.json", "a/song_00002.flac", "taken.flac", "taken.lrc"):
            (stage.folder / name).write_text("new")
        moved = stage.deliver(ROW)
    assert {name: path.relative_to(tmp_path).as_posix() for name, path in moved.items()} == {
        "a/song_00001.flac": "a/song_00004.flac",
        "a/song_00001.lyrics.json": "a/song_00004.lyrics.json",
        "a/song_00002.flac": "a/song_00005.flac",
        "taken.flac": "taken_00001.flac",
        "taken.lrc": "taken_00001.lrc",
    }
    assert all(path.read_text() == "new" for path in moved.values()) and (tmp_path / "taken.flac").read_text() == "old"


def test_one_file_or_folder_gets_a_free_name(tmp_path: Path) -> None:
    (tmp_path / "style.safetensors").write_text("mine")
    (tmp_path / "Peft").mkdir()
    found = []
    for _ in range(2):
        with staging.staging(tmp_path) as stage:
            file, folder = stage.folder / "a.safetensors", stage.folder / "b"
            file.write_text("new")
            (folder / "deep").mkdir(parents=True)
            (folder / "deep" / "x").write_text("x")
            found += [stage.deliver_one(file, "style", ".safetensors"), stage.deliver_one(folder, "peft")]
    names = ["style_00001.safetensors", "peft_00001", "style_00002.safetensors", "peft_00002"]
    assert [path.name for path in found] == names
    assert (tmp_path / "style.safetensors").read_text() == "mine" and not list((tmp_path / "Peft").iterdir())
    assert all((tmp_path / name / "deep" / "x").read_text() == "x" for name in names[1::2])
    assert not list(tmp_path.glob(".*.stage"))


def test_what_was_not_delivered_is_dropped(tmp_path: Path) -> None:
    with pytest.raises(KeyError), staging.staging(tmp_path) as stage:
        (stage.folder / "x").touch()
        raise KeyError
    assert list(tmp_path.iterdir()) == []


def test_a_target_that_cannot_be_written_costs_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(source: Path, target: Path) -> None:
        raise PermissionError(errno.EACCES, "scanned")

    monkeypatch.setattr(staging, "place", refuse)
    with pytest.raises(StorageError, match=r"cannot be written|closed to writing"):
        write_song(tmp_path, "x", {".flac": b"audio"})
    monkeypatch.undo()
    write_song(tmp_path, "y", {".flac": b"audio"})
    assert names(tmp_path) == ["x_00001.flac", "y_00001.flac"]


@needs_proc
def test_a_folder_in_which_nothing_can_be_made_is_refused() -> None:
    refused = r"cannot be written into .*proc; .*choose another folder|not allowed in /proc; choose a shorter one"
    with pytest.raises(StorageError, match=refused):  # the second is how Windows puts it
        write_song("/proc", "song", {".txt": "la"})


def test_only_the_users_of_a_note_finish_its_stage(tmp_path: Path) -> None:
    with pytest.raises(KeyError), staging.staging(tmp_path, "rows") as stage:
        (stage.folder / "x.flac").write_text("x")
        stage.deliver(PLAIN, note={"row": 1})
        raise KeyError
    write_song(tmp_path, "y", {".flac": b""})
    assert list(finish_leftovers(tmp_path, SAVER)) == []
    assert list(finish_leftovers(tmp_path, "rows")) == [({"row": 1}, {"x.flac": tmp_path / "x.flac"})]
    assert list(finish_leftovers(tmp_path, "rows")) == []
    assert names(tmp_path) == ["x.flac", "y_00001.flac"]


@pytest.mark.parametrize("intent", ["{", "[]", '{"bundles": [{"folder": ".", "stem": "x", "suffixes": ["/../../x"]}]}'])
def test_a_stage_from_elsewhere_moves_nothing(intent: str, tmp_path: Path) -> None:
    root = tmp_path / "root"
    home = root / ".save-01234567.stage"
    (home / "files").mkdir(parents=True)
    (home / "files" / "x").touch()
    (home / "intent.json").write_text(intent)
    write_song(root, "y", {".flac": b""})
    assert names(tmp_path) == ["root/.save-01234567.stage/files/x", "root/.save-01234567.stage/intent.json",
                               "root/y_00001.flac"]  # fmt: skip


def test_running_work_is_left_alone_and_old_temporaries_go(tmp_path: Path) -> None:
    with staging.staging(tmp_path) as stage:
        (stage.folder / "mine").write_text("mine")
        write_song(tmp_path, "other", {".flac": b""})
        for name, age in ((".01234567.tmp", 2 * 86400), (".89abcdef.tmp", 60), ("my.tmp", 2 * 86400)):
            (tmp_path / name).touch()
            os.utime(tmp_path / name, (time.time() - age,) * 2)
        write_song(tmp_path, "other", {".flac": b""})
        assert stage.deliver(PLAIN)["mine"].read_text() == "mine"
    assert names(tmp_path) == [".89abcdef.tmp", "mine", "my.tmp", "other_00001.flac", "other_00002.flac"]


def test_new_files_refuse_to_replace(tmp_path: Path) -> None:
    with atomic_write(tmp_path / "x", new=True) as temporary:
        temporary.write_text("one")
    with pytest.raises(StorageError, match="exists already"), atomic_write(tmp_path / "x", new=True) as temporary:
        temporary.write_text("two")
    assert names(tmp_path) == ["x"] and (tmp_path / "x").read_text() == "one"


MANY = """
import os, sys
from pathlib import Path
from acestep_core.io.staging import write_song
os.fsync = lambda descriptor: None
for number in range(50):
    name = f"{sys.argv[2]}-{number}"
    write_song(Path(sys.argv[1]), "song", {".flac": name * 10, ".json": name})
"""


def test_two_processes_with_fifty_songs_each(tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    processes = [
        subprocess.Popen([sys.executable, "-c", MANY, str(tmp_path), name], env=environment) for name in ("a", "b")
    ]
    assert [process.wait() for process in processes] == [0, 0]
    texts = {path.stem: path.read_text() for path in tmp_path.glob("*.json")}
    assert sorted(texts) == [f"song_{number:05d}" for number in range(1, 101)]
    assert set(texts.values()) == {f"{name}-{number}" for name in "ab" for number in range(50)}
    assert all((tmp_path / f"{stem}.flac").read_text() == text * 10 for stem, text in texts.items())
    assert len(list(tmp_path.iterdir())) == 200


# -- killed anywhere ---------------------------------------------------------------------------------------------------


def halves(text: str, path: Path) -> None:
    """Writes in two steps, with a point to be killed at in between."""
    with path.open("w") as file:
        file.write(text[: len(text) // 2])
        file.flush()
        os.fsync(file.fileno())
        file.write(text[len(text) // 2 :])


def whole_songs(folder: Path) -> list[str]:
    """Checks that every file belongs to a whole song, and gives their contents."""
    songs = [path.read_text() for path in sorted(folder.glob("*.flac"))]
    for path in folder.glob("*.flac"):
        assert path.with_suffix(".json").read_text() == path.with_suffix(".lrc").read_text() == path.read_text()[:8]
    assert len(names(folder)) == 3 * len(songs)
    return songs


class OneSong:
    @staticmethod
    def prepare(folder: Path) -> None:
        for suffix in (".flac", ".json", ".lrc"):
            (folder / f"song_00001{suffix}").write_text("original" * (10 if suffix == ".flac" else 1))

    @staticmethod
    def write(folder: Path) -> None:
        text = os.urandom(4).hex()
        write_song(folder, "song", {".flac": lambda path: halves(text * 10, path), ".json": text, ".lrc": text})

    @staticmethod
    def killed(folder: Path) -> None:
        for path in folder.glob("*.flac"):  # the audio is the last to appear
            assert path.with_suffix(".json").read_text() == path.with_suffix(".lrc").read_text() == path.read_text()[:8]
            assert len(path.read_text()) == 80

    @staticmethod
    def restarted(folder: Path) -> None:
        songs = whole_songs(folder)
        assert "original" * 10 in songs and 2 <= len(songs) <= 3 and len(set(songs)) == len(songs)
        assert not list(folder.rglob(".*"))


class KilledTwice(OneSong):
    """The recovery is killed, too."""

    @staticmethod
    def prepare(folder: Path) -> None:
        OneSong.prepare(folder)

        def attempt() -> None:
            kill_before(3, only="os.link")
            OneSong.write(folder)

        in_child(attempt)
        assert len(list(folder.glob("*_00002.*"))) == 2

    @staticmethod
    def restarted(folder: Path) -> None:
        songs = whole_songs(folder)
        assert "original" * 10 in songs and 3 <= len(songs) <= 4 and len(set(songs)) == len(songs)
        assert not list(folder.rglob(".*"))


class RecoveryMeetsAStranger(KilledTwice):
    """Before the recovery somebody takes the name of the song that was cut off."""

    @staticmethod
    def prepare(folder: Path) -> None:
        OneSong.prepare(folder)

        def attempt() -> None:
            kill_before(3, only="os.link")
            write_song(folder, "song", {".flac": "mine" * 20, ".json": "mine" * 2, ".lrc": "mine" * 2})

        in_child(attempt)
        assert not (folder / "song_00002.flac").exists()
        (folder / "song_00002.flac").write_text("strange!" * 10)

    @staticmethod
    def killed(folder: Path) -> None:
        assert (folder / "song_00002.flac").read_text() == "strange!" * 10

    @staticmethod
    def restarted(folder: Path) -> None:
        assert (folder / "song_00002.flac").read_text() == "strange!" * 10
        for suffix in (".json", ".lrc"):
            (folder / "song_00002").with_suffix(suffix).write_text("strange!")
        songs = whole_songs(folder)
        assert songs.count("mine" * 20) == 1 and songs.count("original" * 10) == 1 and 4 <= len(songs) <= 5
        assert not list(folder.rglob(".*"))


class Copies:
    @staticmethod
    def prepare(folder: Path) -> None:
        (folder / "source").write_text("new" * 1000)
        (folder / "input").mkdir()
        (folder / "input" / "a.wav").write_text("old")

    @staticmethod
    def write(folder: Path) -> None:
        assert keep_copy(folder / "source", folder / "input", "a.wav").read_text() == "new" * 1000

    @staticmethod
    def killed(folder: Path) -> None:
        copy = folder / "input" / "a (1).wav"
        assert not copy.exists() or copy.read_text() == "new" * 1000

    @staticmethod
    def restarted(folder: Path) -> None:
        assert names(folder / "input") == ["a (1).wav", "a.wav"] and not list(folder.rglob(".*"))
        assert (folder / "input" / "a.wav").read_text() == "old"


class WholeFolder:
    """An exported adapter: several files under one new name."""

    @staticmethod
    def prepare(folder: Path) -> None:
        (folder / "style").mkdir()
        (folder / "style" / "config").write_text("old")

    @staticmethod
    def write(folder: Path) -> None:
        with staging.staging(folder) as stage:
            made = stage.folder / "new"
            made.mkdir()
            for name in ("weights", "config"):
                halves(name * 1000, made / name)
            stage.deliver_one(made, "style")

    @staticmethod
    def killed(folder: Path) -> None:
        for made in folder.glob("style_*"):
            assert all((made / name).read_text() == name * 1000 for name in ("weights", "config"))
        assert (folder / "style" / "config").read_text() == "old"

    @staticmethod
    def restarted(folder: Path) -> None:
        WholeFolder.killed(folder)
        assert len(list(folder.glob("style_*"))) in (1, 2) and not list(folder.rglob(".*"))


class LaterFile:
    """Timed lyrics that are added to a song."""

    @staticmethod
    def prepare(folder: Path) -> None:
        (folder / "song.flac").write_text("song")

    @staticmethod
    def write(folder: Path) -> None:
        with suppress(FileExistsError), atomic_write(folder / "song.lrc", new=True) as temporary:
            halves("lyrics" * 1000, temporary)

    @staticmethod
    def killed(folder: Path) -> None:
        path = folder / "song.lrc"
        assert not path.exists() or path.read_text() == "lyrics" * 1000

    @staticmethod
    def restarted(folder: Path) -> None:
        assert (folder / "song.lrc").read_text() == "lyrics" * 1000 and (folder / "song.flac").read_text() == "song"


@needs_kills
@pytest.mark.parametrize(
    ("scenario", "least"),
    [(OneSong, 20), (KilledTwice, 20), (RecoveryMeetsAStranger, 20), (Copies, 20), (WholeFolder, 15), (LaterFile, 4)],
)
def test_killed_before_every_operation(scenario: type, least: int, tmp_path: Path) -> None:
    assert sweep(__name__, scenario.__name__, tmp_path) > least


def scanned(monkeypatch: pytest.MonkeyPatch, name: str) -> list[int]:
    """On Windows, a scanner looks into what was just written: `os.<name>` is refused five times. Gives the calls."""
    real, calls = getattr(os, name), [0]

    def refusing(source: Path, target: Path) -> None:
        calls[0] += 1
        if calls[0] <= 5:
            raise PermissionError(errno.EACCES, "open elsewhere")
        real(source, target)

    monkeypatch.setattr(os, name, refusing)
    monkeypatch.setattr(system, "WINDOWS", True)
    monkeypatch.setattr(atomic, "_PAUSE", 0.0)
    return calls


def test_windows_waits_for_a_scanner(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = scanned(monkeypatch, "replace")
    with atomic_write(tmp_path / "x") as temporary:
        temporary.write_text("x")
    assert (tmp_path / "x").read_text() == "x"
    calls[0] = -1000
    with pytest.raises(StorageError, match="open in another program"), atomic_write(tmp_path / "y") as temporary:
        temporary.write_text("y")


def test_windows_waits_for_a_scanner_in_a_new_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It renames no folder in which a file is open."""
    calls = scanned(monkeypatch, "rename")
    with staging.staging(tmp_path) as stage:
        (stage.folder / "adapter").mkdir()
        (stage.folder / "adapter" / "x").write_text("x")
        delivered = stage.deliver_one(stage.folder / "adapter", "style")
    assert calls[0] == 6 and (delivered / "x").read_text() == "x"


def test_two_stages_of_one_name_are_two(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = iter(["00000001", "00000001", "00000002"])
    monkeypatch.setattr(staging.secrets, "token_hex", lambda count: next(drawn))
    with staging.staging(tmp_path) as first, staging.staging(tmp_path, "other") as other:
        assert first.folder != other.folder
    drawn = iter(["00000003", "00000003", "00000004"])
    with staging.staging(tmp_path, "a") as first, staging.staging(tmp_path, "a") as second:
        assert first.folder.is_dir() and second.folder.is_dir() and first.folder != second.folder
    assert not list(tmp_path.iterdir())
