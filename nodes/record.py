"""A saved song taken apart, to be made again or changed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from acestep_core.errors import InvalidInput
from acestep_core.io.files import confine

from . import inputs, wires
from .host import host

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor

    from acestep_core.records.song_record import SongRecord
    from acestep_core.render.guidance import Guidance
    from acestep_core.render.settings import RenderSettings
    from acestep_core.song.description import Song

    from .codes import Codes


class ACEStepLoadRecord:
    TITLE = "Load Song Record"
    CATEGORY = "ACE-Step/song"
    DESCRIPTION = (
        "Reads what made a saved song: its text, plan, codes, seed and settings, to make it again or change it."
    )
    SEARCH_ALIASES: ClassVar = ["regenerate", "recreate", "load metadata", "sidecar", "remake"]
    RETURN_TYPES = (wires.SONG, "STRING", wires.CODES, "INT", "SIGMAS", wires.GUIDANCE)
    RETURN_NAMES = ("song", "plan", "codes", "seed", "sigmas", "guidance")
    OUTPUT_TOOLTIPS = (
        "The song.",
        "Its plan; empty if there was none.",
        "Its codes, for text to music; none if there were none.",
        "The seed of its noise.",
        "Its schedule.",
        "Its guidance.",
    )
    FUNCTION = "read"

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return {
            "required": {
                "record": inputs.text(
                    "A saved song (.json, .flac, .mp3, .opus or .wav) below the output or input folder, "
                    "or the text of its record.",
                    "acestep/song_00001.json",
                    multiline=True,
                ),
            }
        }

    @classmethod
    def IS_CHANGED(cls, record: str) -> Any:
        try:
            return "" if _is_text(record) else _path(record).stat().st_mtime_ns
        except (InvalidInput, OSError):
            return float("nan")

    def read(self, record: str) -> tuple[Song, str, Codes, int, Tensor | None, Guidance | None]:
        from acestep_core.records.song_record import SongRecord
        from acestep_core.render.settings import RenderSettings

        found = SongRecord.from_json(record) if _is_text(record) else _load(_path(record))
        settings = RenderSettings.from_dict(found.settings)
        host().say("\n".join(f"{file.role}: {file.name}" for file in found.files))
        codes = (found.codes,) if found.codes else ()
        return found.to_song(), found.plan, codes, found.seeds["noise"], _schedule(settings), _guidance(settings)


def _is_text(record: str) -> bool:
    return record.lstrip().startswith("{")


def _path(record: str) -> Path:
    name = record.strip()
    path = confine(name, [host().output_folder(), host().input_folder()])
    if not path.is_file():
        raise InvalidInput(f"There is no file {name[:80]!r} in the output or input folder; correct the name.")
    return path


def _load(path: Path) -> SongRecord:
    from acestep_core.io.tags import read_tags
    from acestep_core.records.song_record import SongRecord

    if path.suffix.lower() == ".json":
        return SongRecord.load(path)
    text = read_tags(path).get("acestep")
    if not text:
        raise InvalidInput(f"{path.name} does not say how it was made; choose a file that Save Song wrote.")
    return SongRecord.from_json(text)


def _schedule(settings: RenderSettings) -> Tensor | None:
    """The flow times of the record; None where it leaves them to the model."""
    from acestep_core.render.schedule import schedule

    if settings.timesteps is not None:
        return schedule(timesteps=settings.timesteps)
    return None if settings.steps is None or settings.shift is None else schedule(settings.steps, settings.shift)


def _guidance(settings: RenderSettings) -> Guidance | None:
    from acestep_core.render.guidance import Guidance

    if settings.guidance is None:
        return None
    end = 1.0 if settings.guidance_end is None else settings.guidance_end
    mode: Any = settings.guidance_mode
    return Guidance(mode, settings.guidance, settings.guidance_start or 0.0, end)
