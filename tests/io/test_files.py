import errno
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from acestep_core.errors import InvalidInput, StorageError
from acestep_core.io.files import atomic_write, confine, unique_path


def test_writes_all_or_nothing(tmp_path: Path) -> None:
    target = tmp_path / "song.txt"
    with atomic_write(target) as temporary:
        assert temporary.parent == tmp_path
        temporary.write_text("one")
        assert not target.exists()
    assert target.read_text() == "one"
    with pytest.raises(KeyError), atomic_write(target) as temporary:
        temporary.write_text("broken")
        raise KeyError
    assert target.read_text() == "one"
    assert list(tmp_path.iterdir()) == [target]


def test_new_files_have_ordinary_permissions(tmp_path: Path) -> None:
    plain = tmp_path / "plain"
    plain.write_text("")
    with atomic_write(tmp_path / "atomic") as temporary:
        temporary.write_text("")
    assert (tmp_path / "atomic").stat().st_mode == plain.stat().st_mode


def test_absent_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="gone does not exist"), atomic_write(tmp_path / "gone" / "x"):
        pytest.fail("must not get here")
    with pytest.raises(StorageError, match="gone does not exist"), unique_path(tmp_path / "gone", "x", ".flac"):
        pytest.fail("must not get here")


def test_folder_that_vanishes_while_writing(tmp_path: Path) -> None:
    folder = tmp_path / "out"
    folder.mkdir()
    with pytest.raises(StorageError, match="does not exist"), atomic_write(folder / "x") as temporary:
        temporary.unlink()
        folder.rmdir()


def test_full_disk_says_so_and_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="is full"), atomic_write(tmp_path / "x") as temporary:
        temporary.write_text("half")
        raise OSError(errno.ENOSPC, "No space left on device")
    assert list(tmp_path.iterdir()) == []


def test_other_system_errors_are_not_hidden(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="strange"), atomic_write(tmp_path / "x"):
        raise OSError(errno.EIO, "strange")


def test_killed_writer_leaves_no_target(tmp_path: Path) -> None:
    code = (
        "import os, signal, sys; from acestep_core.io.files import atomic_write\n"
        "with atomic_write(sys.argv[1]) as t:\n"
        "    t.write_bytes(b'half'); os.kill(os.getpid(), signal.SIGKILL if os.name == 'posix' else signal.SIGTERM)"
    )
    target = tmp_path / "x.flac"
    subprocess.run([sys.executable, "-c", code, target], check=False)
    assert not target.exists()


def test_numbers_never_repeat(tmp_path: Path) -> None:
    (tmp_path / "song_00007.json").touch()
    (tmp_path / "song_new_00009.flac").touch()
    (tmp_path / "other_00020.flac").touch()
    with unique_path(tmp_path, "song", ".flac") as path:
        assert path.name == "song_00008.flac"
        path.touch()
    with unique_path(tmp_path, "song", ".mp3") as path:
        assert path.name == "song_00009.mp3"
    assert not list(tmp_path.glob(".*"))


def test_reservations_at_the_same_time_differ(tmp_path: Path) -> None:
    with ExitStack() as stack, ThreadPoolExecutor(8) as pool:
        paths = list(pool.map(lambda _: stack.enter_context(unique_path(tmp_path, "a.b", ".flac")), range(40)))
    assert len(set(paths)) == 40


def test_confine(tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    first.mkdir()
    (second / "deep").mkdir(parents=True)
    (second / "deep" / "song.flac").touch()
    assert confine("new.flac", [first, second]) == first / "new.flac"
    assert confine("deep/song.flac", [first, second]) == second / "deep" / "song.flac"
    assert confine(second / "deep", [first, second]) == second / "deep"
    assert confine("a/../b", [first]) == first / "b"


@pytest.mark.parametrize("path", ["../outside", "/etc/passwd", "a/../../x", "nul\0byte", "x" * 5000 + "/../..", ".."])
def test_confine_refuses_what_leads_outside(tmp_path: Path, path: str) -> None:
    root = tmp_path / "root"
    root.mkdir()
    with pytest.raises(InvalidInput, match="outside"):
        confine(path, [root])


@pytest.mark.skipif(os.name != "posix", reason="symlinks need rights on Windows")
def test_confine_follows_symlinks(tmp_path: Path) -> None:
    root = tmp_path / "root"
    root.mkdir()
    (tmp_path / "secret").touch()
    (root / "link").symlink_to(tmp_path / "secret")
    (root / "loop").symlink_to(root / "loop")
    for name in ("link", "loop/x"):
        with pytest.raises(InvalidInput):
            confine(name, [root])


@given(st.text())
def test_confined_paths_are_always_inside(tmp_path_factory: pytest.TempPathFactory, path: str) -> None:
    root = tmp_path_factory.getbasetemp()
    try:
        found = confine(path, [root])
    except InvalidInput:
        return
    assert found == root or root in found.parents
