"""Songs as files: the audio, and beside it the record and the timed lyrics under the same name."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from acestep_core.errors import InvalidInput, StorageError
from acestep_core.io.audio import FORMATS, format_for, write_audio
from acestep_core.io.files import atomic_write, unique_path
from acestep_core.judge.subtitles import WRITERS, write_subtitles
from acestep_core.monitor import SILENT, Monitor

if TYPE_CHECKING:
    from acestep_core.pipeline.generation import Generation

RECORD = ".json"


def subtitle_suffix(kind: str) -> str:
    """The end of a file name, beside `RECORD` and the formats of audio."""
    return ".lyrics.json" if kind == "json" else f".{kind}"


def check_subtitles(kinds: Sequence[str]) -> None:
    """Refuses formats that do not exist."""
    for kind in kinds:
        if kind not in WRITERS:
            raise InvalidInput(f"There is no subtitle format {kind!r}; choose one of {', '.join(WRITERS)}.")


def save(
    made: Generation,
    path: Path,
    format: str | None = None,
    bitrate: int | None = None,
    *,
    record: bool = True,
    subtitles: Sequence[str] = (),
    monitor: Monitor = SILENT,
) -> list[Path]:
    """See `Generation.save`. All audio comes first, so that nothing that fails later can cost a song."""
    check_subtitles(subtitles)
    chosen = format or format_for(path)
    suffix = FORMATS[chosen].suffix
    siblings = [suffix, *([RECORD] if record else []), *map(subtitle_suffix, subtitles)]
    make_folder(path.parent)
    written = []
    for item, seed in zip(made.audio, made.seeds, strict=True):
        with ExitStack() as stack:
            target = path.with_suffix(suffix)
            if len(made.seeds) > 1 or any(target.with_suffix(end).exists() for end in siblings):
                target = stack.enter_context(unique_path(path.parent, path.stem, suffix))
            write_audio(target, item, made.sample_rate, chosen, bitrate, made.tags(seed))
        written.append(target)
    if record:
        for number, target in enumerate(written):
            about = made.record(number)
            replace(about, finish={**about.finish, "format": chosen, "bitrate": bitrate}).save(
                target.with_suffix(RECORD)
            )
    if subtitles:
        from acestep_core.pipeline.takes import listen_to_takes

        for target, sung in zip(written, made.timing or listen_to_takes(made, monitor), strict=True):
            for kind in subtitles:
                write_text(target.with_suffix(subtitle_suffix(kind)), write_subtitles(sung.lyrics, kind, tags=False))
    return written


def write_text(path: Path, text: str) -> None:
    """UTF-8, whole or not at all."""
    with atomic_write(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def make_folder(folder: Path) -> None:
    """Creates a folder and those above it. Raises StorageError where that is not possible."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StorageError(f"The folder {folder} cannot be created; allow it or choose another one.") from error
