"""Files of songs on their way: a song that was only played is kept, several songs go into one archive."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from zipfile import ZipFile

from acestep_core.errors import InvalidInput
from acestep_core.io.staging import Content, write_song
from acestep_core.io.tags import read_tags
from acestep_core.records.song_record import TAG, SongRecord

RECORD = ".json"
LYRICS = (".lrc", ".vtt", ".srt", ".lyrics.json")


def family(audio: Path) -> list[Path]:
    """A saved song and the files beside it that belong to it."""
    beside = (audio.with_suffix(suffix) for suffix in (RECORD, *LYRICS))
    return [audio, *(path for path in beside if path.is_file())]


def record_of(audio: Path) -> SongRecord:
    """What made a song: the record beside it, else the one in its tags. Raises InvalidInput where there is none."""
    beside = audio.with_suffix(RECORD)
    if beside.is_file():
        with suppress(InvalidInput):  # damaged, or somebody else's file
            return SongRecord.load(beside)
    return SongRecord.load(audio)


def keep(audio: Path, folder: Path, stem: str) -> list[Path]:
    """Copies a song with its lyrics, and writes the record in its tags beside it. Returns the paths, the audio's first.

    Raises:
        StorageError: the disk is full or the folder is not writable.
    """
    files: dict[str, Content] = {audio.suffix: lambda path: shutil.copyfile(audio, path)}
    text = read_tags(audio).get(TAG)
    if text:
        files[RECORD] = SongRecord.from_json(text).to_json()
    files |= {path.name.removeprefix(audio.stem): path.read_bytes() for path in family(audio)[1:]}
    return list(write_song(folder, stem, files).values())


def archive(path: Path, files: Iterable[Path]) -> None:
    """All files in one, uncompressed: audio is already. Of two with one name the second gets its folder's name too."""
    with ZipFile(path, "w") as written:
        for file in files:
            taken = file.name in written.namelist()
            written.write(file, f"{file.parent.name}/{file.name}" if taken else file.name)
