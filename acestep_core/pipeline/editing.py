"""The front door for songs that start from a recording: cover, repaint, extend, add a track, extract one, complete.

The recording is a file, a waveform with its rate, or a song that was made here; see `io.recordings.AudioLike`. Every
function also takes, by name, what `generate` takes: lyrics and other fields of `Song` (not the length, which is the
recording's), `references`, `seed`, `batch`, `models`, `settings` or single options, `progress`, `cancelled`. Where
neither models nor variant are given, those that made the song are used, or else some that can do the task. Nothing is
finished (level, fades) where samples of the recording are kept.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from acestep_core.errors import InvalidInput
from acestep_core.io.recordings import AudioLike
from acestep_core.options import AddTrack, Complete, Cover, Extend, Extract, Morph, Repaint, track_in
from acestep_core.pipeline.generation import Generation, edit


def cover(
    audio: AudioLike,
    caption: str = "",
    *,
    strength: float = 1.0,
    noise_strength: float = 0.0,
    fsq: bool = True,
    **more: Any,
) -> Generation:
    """Another rendition of a recording, in the style of the caption. See `render.tasks.cover`."""
    return edit(audio, caption, Cover(strength, noise_strength, fsq), more)


def repaint(
    audio: AudioLike,
    start: float | None = None,
    end: float | None = None,
    caption: str = "",
    *,
    mode: str = "balanced",
    strength: float = 0.5,
    chunk_mask: str = "ones",
    keep_outside: bool = True,
    bars: str = "",
    **more: Any,
) -> Generation:
    """Makes `start` to `end` seconds anew; every sample outside stays. See `render.tasks.repaint`.

    Args:
        end: None is the end of the recording; beyond it the song grows, as with a negative `start`.
        bars: the region as `bars` reads it instead, such as "9-12". The tempo is that of the text, or of the song that
            the recording is, or `bpm`.

    Raises:
        InvalidInput: neither start nor bars are given.
    """
    if start is None and not bars:
        raise InvalidInput("Say what to make anew: start and end in seconds, or bars such as '9-12'.")
    options = Repaint(start or 0.0, end, mode, strength, chunk_mask, keep_outside, bars)  # type: ignore[arg-type]
    return edit(audio, caption, options, more)


def extend(
    audio: AudioLike,
    after: float = 0.0,
    before: float = 0.0,
    caption: str = "",
    *,
    mode: str = "conservative",
    strength: float = 0.5,
    chunk_mask: str = "ones",
    bars: str = "",
    **more: Any,
) -> Generation:
    """Adds seconds after or before a recording, which stays as it is. See `render.tasks.extend`.

    Args:
        bars: how much instead, such as "8 bars" or "4 before, 8 after"; the tempo as in `repaint`.
    """
    return edit(audio, caption, Extend(after, before, mode, strength, chunk_mask, bars), more)


def add_track(
    audio: AudioLike,
    track: str,
    caption: str = "",
    *,
    start: float = 0.0,
    end: float | None = None,
    mode: str = "balanced",
    strength: float = 0.5,
    chunk_mask: str = "ones",
    keep_outside: bool = True,
    bars: str = "",
    **more: Any,
) -> Generation:
    """A new track that plays along with a recording, alone and ready to be mixed with it. Needs a base checkpoint.

    Args:
        track: one of the models' tracks, or an instrument such as saxophone, which is then also the default caption.
        start, end, bars: when to play, as in `repaint`; outside, the result is the recording itself.
    """
    options = AddTrack(track, start, end, mode, strength, chunk_mask, keep_outside, bars)  # type: ignore[arg-type]
    return edit(audio, caption, options, more)


def add_layer(audio: AudioLike, description: str, **more: Any) -> Generation:
    """`add_track` in plain words, such as "smooth saxophone solo": the track is the first that they name.

    Raises:
        InvalidInput: they name none.
    """
    return add_track(audio, track_in(description), description, **more)


def extract(audio: AudioLike, track: str, caption: str = "", **more: Any) -> Generation:
    """One track of a recording. Needs a base checkpoint."""
    return edit(audio, caption, Extract(track), more)


def complete(audio: AudioLike, tracks: Sequence[str] = (), caption: str = "", **more: Any) -> Generation:
    """A full arrangement around a recording, such as a lone voice; `tracks` names what to add. Needs base."""
    return edit(audio, caption, Complete(tracks), more)  # type: ignore[arg-type]


def morph(
    audio: AudioLike,
    source_caption: str,
    caption: str,
    *,
    source_lyrics: str = "",
    start: float = 0.0,
    end: float = 1.0,
    average: int = 1,
    **more: Any,
) -> Generation:
    """Moves a recording from one description to another (flow-edit). Meant for base and sft checkpoints.

    Args:
        source_caption, source_lyrics: describe the recording as it is.
        caption: describes the result; `lyrics` are the result's.
        start, end, average: see `render.flow_edit`.
    """
    return edit(audio, caption, Morph(source_caption, source_lyrics, start, end, average), more)
