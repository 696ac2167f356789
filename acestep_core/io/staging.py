"""The one way in which new files get their names: made in a hidden folder, then moved to their places together.

A stage is a hidden folder beside the places, locked by the process that uses it. Before the first file moves, the stage
notes which file goes where; so what a killed process leaves is either thrown away, as if it had never begun, or
finished, when the same folder is used next. Names are chosen under a lock of the folder they are in, for all files of
a song at once, and a move never replaces a file.
"""

from __future__ import annotations

import json
import logging
import os
import secrets
import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass, field, replace
from filecmp import cmp
from itertools import chain
from pathlib import Path
from typing import Any

from acestep_core.errors import AceStepError, StorageError
from acestep_core.io.atomic import STAGE, TEMPORARY, atomic_write, clear_errors, place, sync, sync_folder
from acestep_core.io.confine import confine
from acestep_core.io.locks import Busy, abandoned, locked, patience
from acestep_core.io.long_paths import familiar, fitting, reachable
from acestep_core.io.names import COPY, NUMBER, PLAIN, Taken, by_stem, candidates, safe_name

log = logging.getLogger(__name__)

NAMES_LOCK = ".names.lock"
LOCK = "lock"
SAVER = "save"
"""Owner of the stages that anyone may finish; what others left is finished by those who can read its note."""
_NUMBER = len("_00001")
_STALE = 24 * 3600
"""Seconds after which a temporary file has no writer any more."""

Content = str | bytes | Callable[[Path], object]
"""What a file gets: a text (UTF-8), bytes, or a function that writes to the path it is given."""


@dataclass(frozen=True)
class Bundle:
    """Files with one stem, moved in the order of `suffixes`.

    `folder` is below the root, with slashes. `reserved` suffixes have to be free, though no file is made yet. `target`
    is the stem that was chosen; `known` says that files of that name and content are there already, and `there`, by
    suffix, how these are called.
    """

    folder: str
    stem: str
    suffixes: Sequence[str]
    reserved: Sequence[str] = ()
    target: str = ""
    known: bool = False
    there: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Delivery:
    """What a stage brings to its places: the bundles, the rule of their names, and what its user noted."""

    bundles: Sequence[Bundle]
    rule: str
    end: str = ""
    note: Any = None


class Stage:
    """Files are made below `folder`, then `deliver` moves them below `root`. See `staging`."""

    def __init__(self, home: Path) -> None:
        self.home, self.root = home, familiar(home.parent)
        self.folder = home / "files"
        self.settled = True  # whether the stage may be removed
        self._intent = home / "intent.json"
        self._busy = f"Another program has been saving into {self.root} for a minute; end it and run again."

    def deliver(
        self, rule: str, bundles: Iterable[Bundle] | None = None, *, end: str = "", note: Any = None
    ) -> dict[str, Path]:
        """Moves the files to their places, under names that are free.

        Args:
            rule: of `acestep_core.io.names`.
            bundles: which files belong together; by default this is told from their names.
            end: follows the number, where the rule gives one.
            note: anything that JSON can hold; whoever gives one gets it back from `finish_leftovers`, unless the block
                of the stage came to its end.

        Returns:
            For each file, by its path below `folder` with slashes, where it is now.

        Raises:
            StorageError: the disk is full, or a folder is not writable. Once names have been chosen, the files are
                kept then, and brought to their places when `root` is used the next time.
        """
        found = [self._audio_last(bundle) for bundle in (self._found() if bundles is None else bundles)]
        sources = [self._source(bundle, suffix) for bundle in found for suffix in bundle.suffixes]
        with clear_errors(self.root / "A file"):
            for source in sources:
                sync(source)
            for folder in {source.parent for source in sources}:
                sync_folder(folder)
        return self._carry_out(Delivery(found, rule, end, note))

    def deliver_one(self, made: Path, stem: str, suffix: str = "") -> Path:
        """Moves one file or whole folder below `folder` to a free name in `root`; a single rename needs no note.

        Raises:
            StorageError: the disk is full, or `root` is not writable.
        """
        with clear_errors(self.root / f"{stem}{suffix}"), locked(self.root / NAMES_LOCK, patience(60, self._busy)):
            for path in [path for path in (made, *made.rglob("*")) if path.is_file()]:
                sync(path)
            taken = Taken(_names(self.root))
            short = fitting(stem, self.root, len(suffix) + _NUMBER)
            free = next(name for name in candidates(short, PLAIN, taken) if not taken.has(name, [suffix]))
            target = self.root / f"{free}{suffix}"
            place(made, target)
            sync_folder(self.root)
        return target

    def emptied(self) -> bool:
        """Forgets what was delivered, and drops what was not. False if other programs hold some of it open."""
        try:
            self._intent.unlink(missing_ok=True)
            for path in self.folder.iterdir():
                shutil.rmtree(path) if path.is_dir() else path.unlink()
        except OSError:
            return False
        return True

    def finish(self) -> tuple[Any, dict[str, Path]] | None:
        """Completes a delivery that was cut off; its note and its files, or None if it had not begun."""
        if not self._intent.exists():
            return None
        self.settled = False
        try:
            values = json.loads(self._intent.read_bytes())
            delivery = Delivery(**{**values, "bundles": [Bundle(**bundle) for bundle in values["bundles"]]})
            pairs = [(bundle, suffix) for bundle in delivery.bundles for suffix in bundle.suffixes]
            names = [stem + suffix for bundle, suffix in pairs for stem in (bundle.stem, bundle.target)]
            names += [name for bundle in delivery.bundles for name in bundle.there.values()]
            sound = all(name == Path(name).name for name in names)
        except (ValueError, KeyError, TypeError):
            sound = False
        if not sound:
            raise StorageError(f"{self._intent.parent} is no stage of this program; move it elsewhere.")
        return delivery.note, self._carry_out(delivery)

    def _found(self) -> Iterator[Bundle]:
        for folder, inner, files in os.walk(self.folder):
            inner[:] = sorted(name for name in inner if not STAGE.fullmatch(name))
            own = [name for name in files if not TEMPORARY.fullmatch(name)]
            regular = [name for name in own if reachable(Path(folder, name)).is_file()]
            for stem, suffixes in by_stem(regular).items():
                yield Bundle(Path(folder).relative_to(self.folder).as_posix(), stem, suffixes)

    def _audio_last(self, bundle: Bundle) -> Bundle:
        """The largest file comes last, so that a song that shows has all its files."""
        sizes = {suffix: self._source(bundle, suffix).stat().st_size for suffix in bundle.suffixes}
        return replace(bundle, suffixes=sorted(bundle.suffixes, key=sizes.__getitem__))

    def _carry_out(self, delivery: Delivery) -> dict[str, Path]:
        with clear_errors(self.root / "A file"), ExitStack() as stack:
            folders = {}  # by what they are, not by how they are spelled
            for folder in {confine(bundle.folder, [self.root]) for bundle in delivery.bundles}:
                folder.mkdir(parents=True, exist_ok=True)
                folders[_identity(folder)] = folder
            for _, folder in sorted(folders.items()):  # in one order, so that no two processes wait for each other
                stack.enter_context(locked(folder / NAMES_LOCK, patience(60, self._busy)))
            if not all(bundle.target for bundle in delivery.bundles):
                delivery = self._choose(delivery)
            while not self._move(delivery.bundles):
                delivery = self._choose(delivery)
            for folder in folders.values():
                sync_folder(folder)
        self.settled = delivery.note is None
        moves = [move for bundle in delivery.bundles for move in self._moves(bundle)]
        return {familiar(source).relative_to(familiar(self.folder)).as_posix(): target for source, target in moves}

    def _choose(self, delivery: Delivery) -> Delivery:
        """Gives each bundle a free name and notes it down."""
        taken: dict[tuple[int, int], Taken] = {}
        bundles = []
        for bundle in delivery.bundles:
            here = [suffix for suffix in bundle.suffixes if self._source(bundle, suffix).exists()]
            bundle = replace(bundle, suffixes=here)
            folder = self.root / bundle.folder
            names = taken.setdefault(_identity(folder), Taken(_names(folder)))
            added = max(map(len, [*bundle.suffixes, *bundle.reserved]), default=0)
            itself = delivery.rule in (PLAIN, COPY) and fitting(bundle.stem, folder, added) == bundle.stem
            short = fitting(bundle.stem, folder, added + len(delivery.end) + _NUMBER)
            others = candidates(short, delivery.rule, names, delivery.end)
            for stem in chain([bundle.stem] if itself else [], others):
                named = replace(bundle, target=stem)
                there = self._there(named, names) if delivery.rule == COPY else {}
                if there or not names.has(stem, [*bundle.suffixes, *bundle.reserved]):
                    break
            names.add(stem + suffix for suffix in bundle.suffixes)
            bundles.append(replace(named, known=bool(there), there=there))
        delivery = replace(delivery, bundles=bundles)
        self.settled = False
        with atomic_write(self._intent) as temporary:
            temporary.write_text(json.dumps(asdict(delivery)), encoding="utf-8")
        return delivery

    def _there(self, bundle: Bundle, names: Taken) -> dict[str, str]:
        """What the files of the bundle's name and content are called, by suffix; empty if one is not there."""
        found: dict[str, str] = {}
        for suffix in bundle.suffixes:
            source, folder = self._source(bundle, suffix), self.root / bundle.folder
            alike = (name for name in names.spellings(bundle.target + suffix) if _same(source, folder / name))
            if (name := next(alike, None)) is None:
                return {}
            found[suffix] = name
        return found

    def _move(self, bundles: Iterable[Bundle]) -> bool:
        """Moves what has not been moved yet. If a name is taken after all, everything goes back: False."""
        moves = [move for bundle in bundles if not bundle.known for move in self._moves(bundle)]
        try:
            for source, target in moves:
                if source.exists():
                    place(source, target)
        except FileExistsError:
            for source, target in moves:
                if not source.exists() and target.exists():
                    place(target, source)
            return False
        return True

    def _source(self, bundle: Bundle, suffix: str) -> Path:
        return reachable(self.folder / bundle.folder / f"{bundle.stem}{suffix}")

    def _moves(self, bundle: Bundle) -> list[tuple[Path, Path]]:
        folder = self.root / bundle.folder
        names = {suffix: bundle.there.get(suffix, bundle.target + suffix) for suffix in bundle.suffixes}
        return [(self._source(bundle, suffix), folder / name) for suffix, name in names.items()]


@contextmanager
def staging(root: Path, owner: str = SAVER) -> Iterator[Stage]:
    """A new stage in the folder `root`. What has not been delivered by the end of the block is dropped.

    Args:
        owner: letters and digits; another one than `SAVER` for deliveries with a note.

    Raises:
        StorageError: the disk is full, or the folder is absent or not writable.
    """
    if owner == SAVER:
        tidy(root)
    with ExitStack() as stack:
        with clear_errors(root / "A file"):
            home = new_home(root, owner, stack)
            stage = Stage(home)
            stage.folder.mkdir()
        try:
            yield stage
            stage.settled = True
        finally:
            if stage.settled:
                clear_home(home)


def finish_leftovers(root: Path, owner: str) -> Iterator[tuple[Any, dict[str, Path]]]:
    """Finishes the deliveries of killed processes and gives the note and the files of each; drops what never began.

    A delivery is forgotten when the next one is asked for. Stages of processes that run are left alone.

    Raises:
        StorageError: the files cannot be moved.
    """
    for name in sorted(_names(root)):
        match = STAGE.fullmatch(name)
        if not match or match[1] != owner:
            continue
        home = reachable(root / name)
        with suppress(FileNotFoundError), abandoned(home / LOCK) as free:
            if free:
                finished = Stage(home).finish()
                if finished is not None:
                    yield finished
                clear_home(home)
        remove_empty(home)


def write_song(
    folder: Path | str,
    stem: str,
    files: Mapping[str, Content],
    *,
    rule: str = NUMBER,
    end: str = "",
    reserved: Sequence[str] = (),
    turn: Callable[[], object] | None = None,
) -> dict[str, Path]:
    """Writes the files of a song, by suffix, under one name that was free; they appear together.

    If one cannot be made, those before it are kept: give the audio first.

    Args:
        folder: exists.
        stem: made a safe name.
        files: suffix -> content.
        rule: of `acestep_core.io.names`: `NUMBER` or `PLAIN`.
        end: follows the number.
        reserved: suffixes of files that will be added later with `atomic_write(path, new=True)`.
        turn: waits, once the first file is made, until this song may have its name and its other files.

    Returns:
        Suffix -> path.

    Raises:
        StorageError: the disk is full, or the folder is absent or not writable.
    """
    stem = safe_name(stem, "song")
    written: list[str] = []
    moved: dict[str, Path] = {}
    with staging(Path(folder)) as stage:
        try:
            for suffix, content in files.items():
                _write(reachable(stage.folder / f"{stem}{suffix}"), content)
                if turn and not written:
                    turn()
                written.append(suffix)
        finally:
            if written:
                missing = [suffix for suffix in files if suffix not in written]
                moved = stage.deliver(rule, [Bundle(".", stem, written, [*missing, *reserved])], end=end)
    return {suffix: moved[f"{stem}{suffix}"] for suffix in written}


def keep_copy(source: Path, folder: Path, name: str) -> Path:
    """Copies a file into `folder` as `name`; if a file of that name, in any case and form of accents, has the same
    content it is used again, else there is a number.

    Raises:
        StorageError: the disk is full, or the folder is not writable.
    """
    with clear_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
    with staging(folder) as stage:
        with clear_errors(stage.folder / name):
            shutil.copyfile(source, reachable(stage.folder / name))
        return stage.deliver(COPY)[name]


def _write(path: Path, content: Content) -> None:
    with clear_errors(path):
        if isinstance(content, str):
            path.write_text(content, encoding="utf-8")
        elif isinstance(content, bytes):
            path.write_bytes(content)
        else:
            content(path)


def new_home(root: Path, owner: str, stack: ExitStack) -> Path:
    """Makes the hidden folder of a stage and locks it until `stack` ends; what is empty then goes."""
    while True:
        home = reachable(root / f".{owner}-{secrets.token_hex(4)}.stage")
        try:
            home.mkdir()
        except FileExistsError:  # in a million rows it happens that two draw the same name
            continue
        try:
            stack.callback(remove_empty, home)
            stack.enter_context(locked(home / LOCK))
            return home
        except (Busy, FileNotFoundError):  # another process took it for a leftover before it was locked
            if not root.is_dir():
                raise


def tidy(root: Path) -> None:
    """Finishes and removes what killed processes left in a folder; what cannot be finished now stays."""
    if not root.is_dir():
        return
    try:
        for _ in finish_leftovers(root, SAVER):
            pass
        for name in filter(TEMPORARY.fullmatch, _names(root)):
            if (root / name).stat().st_mtime < time.time() - _STALE:
                (root / name).unlink(missing_ok=True)
    except (AceStepError, OSError, ValueError) as error:
        log.warning("What an earlier run left in %s could not be finished: %s", root, error)


def clear_home(home: Path) -> None:
    """Deletes what is in the folder of a stage, all but its lock."""
    shutil.rmtree(home / "files", ignore_errors=True)  # what is open elsewhere goes the next time
    for name in _names(home):
        if name != LOCK:
            with suppress(OSError):
                (home / name).unlink()


def remove_empty(home: Path) -> None:
    with suppress(OSError):  # one that is not empty stays
        home.rmdir()


def _names(folder: Path) -> list[str]:
    with os.scandir(folder) as entries:
        return [entry.name for entry in entries]


def _identity(folder: Path) -> tuple[int, int]:
    about = folder.stat()
    return about.st_dev, about.st_ino


def _same(source: Path, target: Path) -> bool:
    return target.is_file() and cmp(source, target, shallow=False)
