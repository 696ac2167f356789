"""How long a recording is, without decoding all of it where its header can be believed."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from acestep_core.errors import AudioError
from acestep_core.io.decode import opened
from acestep_core.io.headers import Repaired


@dataclass(frozen=True)
class Measure:
    """Samples of each channel at `rate`."""

    frames: int
    rate: int
    channels: int

    @property
    def seconds(self) -> float:
        return self.frames / self.rate


def measured(path: Path) -> Measure:
    """Length, rate and channels of a recording.

    A header is believed if the last sample that it claims is there; otherwise the file is decoded, block by block.

    Raises:
        AudioError: it cannot be read, holds no sound, or less than it claims.
    """
    with opened(path) as sound:
        frames = _claimed(path)
        if frames is None:
            frames = sum(len(block) for block in sound.blocks)
            if sound.remarks:
                raise AudioError(f"{path.name} {sound.remarks[0]}; export it again.")
        return Measure(frames, sound.rate, len(sound.speakers))


def _claimed(path: Path) -> int | None:
    """Samples that the header claims, if the last one of them is there."""
    import soundfile

    with path.open("rb") as raw:
        sound_bytes, header = Repaired.by_header(raw)
        if header.remark or header.share < 1 or header.repairs:
            return None
        try:
            with soundfile.SoundFile(sound_bytes) as file:
                guessed = file.format in ("MP3", "MPEG") and not header.counted
                if guessed or not 0 < file.frames < 1 << 60 or header.samples not in (None, file.frames):
                    return None
                file.seek(file.frames - 1)
                return file.frames if len(file.read(1)) == 1 else None
        except (soundfile.SoundFileError, RuntimeError, TypeError, ValueError):
            return None
