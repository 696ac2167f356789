"""Deleted files wait in a hidden folder until they are brought back or the trash is emptied.

What is deleted together is one entry: the folder of a stage (see `acestep_core.io.staging`) whose note says where
each file was. It is moved away song by song under the lock under which names are chosen, so no writer is in the middle
of it, and brought back by the same delivery as new songs, under another name where the old one is taken by now. The
largest file of a song, its audio, goes last; so an entry without one was cut off, and goes back whole.
"""

from __future__ import annotations

import errno
import json
import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from acestep_core.errors import AceStepError, InvalidInput, StorageError
from acestep_core.io.atomic import STAGE, atomic_write, clear_errors, place, sync_folder
from acestep_core.io.locks import Busy, abandoned, locked, patience
from acestep_core.io.long_paths import familiar, reachable
from acestep_core.io.names import PLAIN
from acestep_core.io.staging import LOCK, NAMES_LOCK, Bundle, Stage, clear_home, new_home, remove_empty

log = logging.getLogger(__name__)

OWNER = "trash"
_NOTE = "deleted.json"


@dataclass(frozen=True)
class Deleted:
    """What one entry of the trash holds.

    entry: its name; bundles: the files of each song, the audio last; note: what the deleter wanted to keep with it.
    """

    entry: str
    bundles: tuple[Bundle, ...]
    note: Any = None


def move_away(root: Path, songs: Sequence[Path], family: Callable[[Path], Sequence[Path]], note: Any = None) -> Deleted:
    """Moves songs into the trash of `root`: all of them, or none.

    Args:
        songs: audio files below `root`, symlinks resolved.
        family: of a song, all files that belong to it, which start with its name; asked while nobody can add any.
        note: anything that JSON can hold.

    Raises:
        InvalidInput: there is no such song any more.
        StorageError: a file is in use, or a folder is closed to writing.
    """
    mend(root)
    with clear_errors(root / "A file"), ExitStack() as stack:
        home = new_home(root, OWNER, stack)
        bundles: list[Bundle] = []
        try:
            for audio in dict.fromkeys(songs):
                busy = f"Another program has been saving into {audio.parent} for a minute; end it and delete again."
                with locked(audio.parent / NAMES_LOCK, patience(60, busy)):
                    if not audio.is_file():
                        raise InvalidInput(f"There is no song {audio.name[:80]!r} any more; it was moved or deleted.")
                    bundles.append(_bundle(root, audio, family(audio)))
                    _write(home, Deleted(home.name, tuple(bundles), note))
                    for suffix in bundles[-1].suffixes:
                        _move(audio.with_name(f"{bundles[-1].stem}{suffix}"), home / "files" / bundles[-1].folder)
                    sync_folder(audio.parent)
        except BaseException:
            _deliver(home)
            raise
        return Deleted(home.name, tuple(bundles), note)


def bring_back(root: Path, entry: str) -> tuple[Deleted, dict[str, Path]]:
    """Undoes `move_away`: what was in the entry, and for each file, by its old path below `root`, where it is now.

    Raises:
        InvalidInput: the trash was emptied, or this was undone before.
        StorageError: the disk is full, or a folder is not writable; the files stay in the trash.
    """
    mend(root)
    gone = InvalidInput("What was deleted cannot be brought back any more; the trash was emptied, or it is back.")
    found = STAGE.fullmatch(entry)
    home = reachable(root / entry)
    if not found or found[1] != OWNER or not home.is_dir():
        raise gone
    with _held(home):
        known = _read(home)
        if known is None:
            raise gone
        return known, _deliver(home)


def trash(root: Path) -> list[Deleted]:
    """All entries that can be brought back."""
    return [found for home in _homes(root) if (found := _read(home)) is not None]


def size(root: Path) -> int:
    """Bytes that the trash takes."""
    files = (path for home in _homes(root) for path in (home / "files").rglob("*"))
    return sum(path.stat().st_size for path in files if path.is_file())


def empty(root: Path) -> None:
    """Deletes for good what is in the trash."""
    mend(root)
    for home in _homes(root):
        with suppress(Busy), _held(home):
            clear_home(home)


def mend(root: Path) -> None:
    """What a killed process had half deleted or half brought back goes back whole."""
    for home in _homes(root):
        try:
            with suppress(FileNotFoundError), abandoned(home / LOCK) as free:
                if free and not _whole(home):
                    _deliver(home)
        except (AceStepError, OSError) as error:
            log.warning("What was half deleted in %s could not be brought back: %s", root, error)
        remove_empty(home)


def _whole(home: Path) -> bool:
    """Whether all audio is in the entry, and none on its way back."""
    known = _read(home)
    if known is None or (home / "intent.json").exists():
        return False
    pairs = [pair for bundle in known.bundles for pair in _places(home, bundle)]
    left = all(_places(home, bundle)[-1][0].exists() for bundle in known.bundles)
    return left and not any(_stayed(*pair) for pair in pairs)


def _places(home: Path, bundle: Bundle) -> list[tuple[Path, Path]]:
    """Each file of a song in the trash, and where it was."""
    inside, outside = home / "files" / bundle.folder, familiar(home.parent) / bundle.folder
    names = [f"{bundle.stem}{suffix}" for suffix in bundle.suffixes]
    return [(reachable(inside / name), outside / name) for name in names]


def _stayed(path: Path, original: Path) -> bool:
    """Whether a move was cut off when the file had both names, or the new one was only reserved."""
    if not path.exists() or not original.exists():
        return False
    return path.samefile(original) or (path.stat().st_size == 0 < original.stat().st_size)


def _bundle(root: Path, audio: Path, files: Sequence[Path]) -> Bundle:
    """The files of a song, its audio last."""
    stem = audio.stem
    suffixes = sorted((path.name.removeprefix(stem) for path in files), key=lambda suffix: suffix == audio.suffix)
    return Bundle(audio.parent.relative_to(root).as_posix(), stem, suffixes)


def _move(source: Path, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    try:
        place(source, folder / source.name)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        raise StorageError(f"{source.parent} is on another disk than its trash; delete {source.name} there.") from error


def _deliver(home: Path) -> dict[str, Path]:
    """Brings the files of an entry, whose lock is held, to their places, and clears it."""
    stage, known = Stage(home), _read(home)
    finished = stage.finish()
    if finished is not None:
        back = finished[1]
    else:  # without a note nothing was moved yet, or it is damaged: the folders below tell as much
        bundles: list[Bundle] = []
        for bundle in known.bundles if known else ():
            for path, original in _places(home, bundle):
                if _stayed(path, original):
                    path.unlink()
            here = [
                suffix for suffix, pair in zip(bundle.suffixes, _places(home, bundle), strict=True) if pair[0].exists()
            ]
            bundles += [Bundle(bundle.folder, bundle.stem, here)] if here else []
        back = stage.deliver(PLAIN, bundles)
    if any(path.is_file() for path in stage.folder.rglob("*")):
        back |= stage.deliver(PLAIN)
    clear_home(home)
    return back


def _write(home: Path, known: Deleted) -> None:
    with atomic_write(home / _NOTE) as temporary:
        temporary.write_text(json.dumps(asdict(known)), encoding="utf-8")


def _read(home: Path) -> Deleted | None:
    """The note of an entry; None where nothing was moved yet, or the folder is not ours."""
    try:
        values = json.loads((home / _NOTE).read_bytes())
        bundles = tuple(Bundle(**bundle) for bundle in values["bundles"])
        names = [f"{bundle.stem}{suffix}" for bundle in bundles for suffix in bundle.suffixes]
        inside = all(name == Path(name).name for name in names) and not any(".." in one.folder for one in bundles)
        return Deleted(home.name, bundles, values["note"]) if inside and all(one.suffixes for one in bundles) else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _homes(root: Path) -> Iterator[Path]:
    for name in sorted(path.name for path in root.iterdir()) if root.is_dir() else ():
        match = STAGE.fullmatch(name)
        if match and match[1] == OWNER:
            yield reachable(root / name)


@contextmanager
def _held(home: Path) -> Iterator[None]:
    """Holds the lock of an entry; what is empty at the end goes."""
    try:
        with locked(home / LOCK):
            yield
    finally:
        remove_empty(home)
