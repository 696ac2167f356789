"""The front door to the language model and to the judge: invent, rewrite and describe songs, score and time them.

Every function also takes, by name, `models` and `variant`, `seed`, `progress` and `cancelled` as `generate` does; those
that write take the language model's options, such as `lm_temperature`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from acestep_core.declared import options_of
from acestep_core.errors import InvalidInput
from acestep_core.io.recordings import AudioLike, read_source
from acestep_core.options import Cover, LMSampling, RenderSettings
from acestep_core.pipeline.generation import Generation
from acestep_core.pipeline.opening import needed_lm
from acestep_core.pipeline.request import Request
from acestep_core.pipeline.steps import source_task
from acestep_core.pipeline.takes import codes_of_takes, judge_takes, listen_to_takes
from acestep_core.planner.answer import writing
from acestep_core.planner.create import TEXT_SAMPLING, create_song, format_song
from acestep_core.planner.understand import LISTEN_SAMPLING, understand_codes
from acestep_core.records.origin import Origin
from acestep_core.seeds import item_seeds
from acestep_core.song.codes import codes_to_text
from acestep_core.song.description import Song
from acestep_core.vocabulary import SAMPLE_RATE


def create(query: str = "", **more: Any) -> Song:
    """Invents a song: caption, lyrics, language, tempo, key, length. See `planner.create.create_song`.

    Args:
        query: what it should be, in plain words; empty for a surprise.
        more: also `instrumental` and `language`, which the song keeps.
    """
    request = Request.of("", more)
    told = request.song
    with writing(needed_lm(request.models), query) as lm:
        return create_song(
            lm,
            query,
            instrumental=told.instrumental,
            language=told.language,
            sampling=_sampling(TEXT_SAMPLING, more),
            seed=_seed(request),
            monitor=request.monitor,
        )


def format(song: Song | str = "", **more: Any) -> Song:
    """Rewrites caption and lyrics in more detail and decides what is open; what is decided stays.

    Args:
        song: a song or its caption; with a caption, other fields of `Song` may follow by name.
    """
    request = Request.of("", {**more, "song": song}) if isinstance(song, Song) else Request.of(song, more)
    told = request.song
    with writing(needed_lm(request.models), told.caption, told.lyrics) as lm:
        sampling = _sampling(TEXT_SAMPLING, more)
        return format_song(lm, told, sampling=sampling, seed=_seed(request), monitor=request.monitor)


def understand(audio: AudioLike, **more: Any) -> Song:
    """What the language model hears in a recording or a song: caption, lyrics, language, tempo, key.

    Raises:
        AudioError: it cannot be read, or is several songs.
    """
    heard, request = _heard(audio, "", more)
    (codes,) = codes_of_takes(heard)
    with writing(needed_lm(request.models), codes_to_text(codes)) as lm:
        sampling = _sampling(LISTEN_SAMPLING, more)
        return understand_codes(lm, codes, sampling=sampling, seed=_seed(request), monitor=request.monitor)


def score(audio: AudioLike, caption: str = "", **more: Any) -> tuple[Mapping[str, Any], ...]:
    """How well songs are what they should be, one entry for each: `lm` and `alignment` (how well the lyrics are sung),
    0 to 1, None where there was nothing to judge by, and their `parts`.

    Args:
        audio: songs that were made here, or a recording.
        caption: what it should be, with `lyrics` and other fields of `Song`. Songs that were made here know it.
    """
    heard, request = _heard(audio, caption, more, several=True)
    return judge_takes(heard, monitor=request.monitor).scores


def lrc(audio: AudioLike, caption: str = "", *, kind: str = "lrc", words: bool = True, **more: Any) -> str:
    """When each line and word is sung, as the text of a subtitle file.

    Args:
        audio: a song that was made here, or a recording with its `lyrics`.
        kind: `lrc`, `vtt`, `srt` or `json`; words: also the times of single words, in lrc and vtt.
    """
    from acestep_core.judge.subtitles import write_subtitles

    heard, request = _heard(audio, caption, more)
    timing = heard.timing or listen_to_takes(heard, request.monitor)
    return write_subtitles(timing[0].lyrics, kind, words=words, tags=False)


def _heard(
    audio: AudioLike, caption: str, more: Mapping[str, Any], several: bool = False
) -> tuple[Generation, Request]:
    """A recording as if it had been made here. A song that was made here is what it is, or is held against another
    description.
    """
    request = Request.of(caption, more, source=audio)
    song = request.song
    if isinstance(audio, Generation):
        if len(audio) > 1 and not several:
            raise InvalidInput(f"This takes one song, not {len(audio)}; choose one, such as result[0].")
        return (audio if song == Song() else replace(audio, song=song, plan=None, timing=())), request
    waveform = read_source(audio).waveform
    models = request.models
    task = source_task(models.vae, (waveform, SAMPLE_RATE), Cover(), monitor=request.monitor)
    assert task.source is not None
    made = Generation(
        song=song,
        tasks=(task,),
        seeds=(0,),
        model=models.model,
        vae=models.vae,
        lm=models.lm,
        settings=RenderSettings(),
        origin=Origin(),
        audio=waveform[None],
        latents=task.source,
    )
    return made, request


def _seed(request: Request) -> int:
    return item_seeds(request.seed, 1)[0]


def _sampling(usual: LMSampling, told: Mapping[str, Any]) -> LMSampling:
    return replace(
        usual, **{option.name: told[option.flat] for option in options_of(LMSampling) if option.flat in told}
    )
