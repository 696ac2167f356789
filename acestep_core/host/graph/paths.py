"""File names as graphs write them, and the files they stand for."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path, PurePosixPath

from acestep_core.errors import InvalidInput
from acestep_core.host.graph.context import Folders
from acestep_core.io.confine import confine
from acestep_core.io.names import safe_name

PUBLIC = ("input", "output", "temp")
"""Folders that graphs and requests may name."""

PREVIEW = "ComfyUI_temp_"
STAGED = ".upload-"
"""How temporary files are called: those that preview nodes make, and uploads on their way in."""

_SOUND = ".wav .flac .mp3 .ogg .oga .opus .aif .aiff .aifc .w64 .rf64 .caf .au .m4a .aac .wma .mka"
AUDIO = frozenset(f"{_SOUND} .mp4 .webm .mkv .mov".split())
"""What may hold sound, films included."""
_OTHER = frozenset(".png .jpg .jpeg .webp .gif .lrc .srt .vtt .txt".split())  # noqa: SIM905
UPLOADABLE = AUDIO | _OTHER
"""What may be uploaded: media and plain text, nothing a browser or the system would run."""


def split_annotation(name: str) -> tuple[str, str | None]:
    """`"a.wav [output]"` -> `("a.wav", "output")`; a name without such an ending has no folder."""
    for kind in PUBLIC:
        if name.endswith(f"[{kind}]"):
            return name[: -len(kind) - 2].rstrip(), kind
    return name, None


def annotated(folders: Folders, name: str, default: str = "input") -> Path:
    """The file that a name such as `sub/a.wav` or `a.wav [output]` stands for; it need not exist.

    Raises:
        InvalidInput: it leads out of the folder.
    """
    plain, kind = split_annotation(name)
    root: Path = getattr(folders, kind or default)
    path = confine(plain, [root])
    if not path.is_relative_to(root):
        raise InvalidInput(f"The path {plain!r} lies outside the {kind or default} folder; move the file there.")
    return path if kind in (None, "input") or path.exists() else found_below(root, plain) or path


def found_below(root: Path, name: str) -> Path | None:
    """The newest file of that name in any folder below `root`: pickers of the canvas name results without their folder.
    None where there is none, or the name has a folder.
    """
    if Path(name).name != name or name.startswith("."):
        return None
    found = [Path(folder) / name for folder, _, files in os.walk(root) if name in files]
    return max(found, key=lambda path: path.stat().st_mtime, default=None)


def save_place(root: Path, prefix: str) -> tuple[Path, str, str]:
    """Where files of a `filename_prefix` such as `audio/song` go.

    Returns:
        The folder (made if absent), the stem, and the subfolder relative to `root` as the canvas names it.

    Raises:
        InvalidInput: the prefix leads out of `root`.
    """
    wanted = PurePosixPath(prefix.replace("\\", "/"))
    if wanted.is_absolute() or ".." in wanted.parts or "\0" in prefix:
        raise InvalidInput(f"The file name prefix {prefix!r} leads out of the output folder; remove what does.")
    stem = wanted.name or "audio"
    folder = confine(Path(*map(safe_name, wanted.parent.parts)), [root])
    folder.mkdir(parents=True, exist_ok=True)
    return folder, stem, "" if folder == root else folder.relative_to(root).as_posix()


def listed_audio(folder: Path) -> list[str]:
    """Names of the audio files directly in `folder`, sorted; none where it is absent."""
    return sorted(
        entry.name
        for entry in (folder.iterdir() if folder.is_dir() else ())
        if entry.suffix.lower() in AUDIO and not entry.name.startswith(".") and os.path.isfile(entry)  # noqa: PTH113 - False, too, where it may not be looked at
    )


def clear_temporary(folder: Path) -> None:
    """Removes what an earlier host left in its temporary folder, and nothing else that may be there."""
    for path in folder.iterdir():
        if path.name.startswith((PREVIEW, STAGED)) and path.is_file():
            with contextlib.suppress(OSError):  # still open somewhere: it goes next time
                path.unlink()
