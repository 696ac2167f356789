from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

from acestep_core.io.files import unique_path


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
