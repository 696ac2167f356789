import errno
import subprocess
import sys
from pathlib import Path

import pytest

from acestep_core.errors import StorageError
from acestep_core.io import system
from acestep_core.io.atomic import atomic_write
from tests.capabilities import needs_kills


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


def test_a_name_as_long_as_the_disk_allows_is_written(tmp_path: Path) -> None:
    """The temporary file has a name of its own, which is short."""
    target = tmp_path / ("x" * (255 if not system.WINDOWS else 255 - len(str(tmp_path))))
    with atomic_write(target) as temporary:
        temporary.write_bytes(b"x")
    assert list(tmp_path.iterdir()) == [target]


def test_absent_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="gone does not exist"), atomic_write(tmp_path / "gone" / "x"):
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


@needs_kills
def test_killed_writer_leaves_no_target(tmp_path: Path) -> None:
    code = (
        "import os, signal, sys; from acestep_core.io.atomic import atomic_write\n"
        "with atomic_write(sys.argv[1]) as t:\n"
        "    t.write_bytes(b'half'); os.kill(os.getpid(), signal.SIGKILL)"
    )
    target = tmp_path / "x.flac"
    subprocess.run([sys.executable, "-c", code, target], check=False)
    assert not target.exists()


@pytest.mark.parametrize("code", [errno.EINVAL, errno.ENOENT, errno.ENAMETOOLONG])
def test_names_that_the_system_refuses(code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Windows says that a path is too long with ENOENT, and that a name is not allowed with EINVAL."""

    def refuse(self: Path, **options: object) -> None:
        raise OSError(code, "refused")

    monkeypatch.setattr(Path, "touch", refuse)
    monkeypatch.setattr(system, "WINDOWS", code == errno.ENOENT)
    with pytest.raises(StorageError, match="too long or not allowed"), atomic_write(tmp_path / "x"):
        pytest.fail("must not get here")
