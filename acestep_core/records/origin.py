"""Where a batch came from, in plain values."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from acestep_core.errors import AudioError
from acestep_core.io.recordings import LONGEST, AudioLike, load_recording
from acestep_core.records.song_record import FileRecord, describe_file

WAVEFORM = "waveform"
"""Name of a recording that was no file."""


@dataclass(frozen=True)
class Origin:
    """What made a batch, besides song, models and settings. All values are plain JSON.

    Attributes:
        call: the function of the front door, such as `repaint`; empty where the tasks were made by hand.
        arguments: of that function, besides those that are kept elsewhere.
        files: sources and references in the order they were given; for a song made again, its language model too.
        seeds: of all items; at_once: how many of them were sampled together, None where nobody wrote it down.
        codes: of all items, or one sequence for all; empty for none.
        album_caption: of the whole song, for stems checkpoints.
        think: how the language model was asked; None if it was not.
    """

    call: str = ""
    arguments: Mapping[str, Any] = field(default_factory=dict)
    files: tuple[FileRecord, ...] = ()
    seeds: tuple[int, ...] = ()
    at_once: int | None = None
    codes: tuple[tuple[int, ...], ...] = ()
    album_caption: str = ""
    think: Mapping[str, Any] | None = None


def describe_recording(role: str, recording: AudioLike, **extra: Any) -> FileRecord:
    """Files by their bytes, waveforms by their samples at 48 kHz, and what else is to be remembered of them."""
    if isinstance(recording, str | Path):
        if not Path(recording).is_file():
            raise AudioError(f"There is no recording at {recording}; check its name.")
        return replace(describe_file(role, Path(recording)), extra=extra)
    samples = load_recording(recording, limit=LONGEST).waveform.contiguous().numpy()
    return FileRecord(role, WAVEFORM, hashlib.sha256(samples.tobytes()).hexdigest(), extra=extra)
