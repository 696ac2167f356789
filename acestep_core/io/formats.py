"""The formats in which audio is written. Free of everything heavy: nodes and flags list them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from acestep_core.errors import InvalidInput


@dataclass(frozen=True)
class AudioFormat:
    """How a format is written. `bitrates` are those allowed, in kbit/s (MP3 below 64 loses the exact length)."""

    suffix: str
    container: str
    subtype: str
    sample_rates: tuple[int, ...] = ()
    bitrates: tuple[int, ...] = ()
    bitrate: int | None = None
    channels: int = 8


FORMATS: Final[dict[str, AudioFormat]] = {
    "flac": AudioFormat(".flac", "FLAC", "PCM_24"),
    "wav16": AudioFormat(".wav", "WAV", "PCM_16"),
    "wav32": AudioFormat(".wav", "WAV", "FLOAT"),
    "mp3": AudioFormat(
        ".mp3",
        "MP3",
        "MPEG_LAYER_III",
        sample_rates=(32_000, 44_100, 48_000),
        bitrates=(64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
        bitrate=192,
        channels=2,
    ),
    "opus": AudioFormat(
        ".opus",
        "OGG",
        "OPUS",
        sample_rates=(8_000, 12_000, 16_000, 24_000, 48_000),
        bitrates=(32, 48, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 448, 510),
        bitrate=128,
        channels=2,
    ),
}


def format_for(path: Path | str) -> str:
    """The output format that a file name asks for; `.wav` means 16 bit.

    Raises:
        InvalidInput: the suffix is none of the formats'.
    """
    suffix = Path(path).suffix.lower()
    for name, form in FORMATS.items():
        if form.suffix == suffix:
            return name
    raise InvalidInput(f"{(Path(path).name or str(path))!r} has no known audio suffix; use .flac, .wav, .mp3 or .opus.")
