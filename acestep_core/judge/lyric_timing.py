"""When each line and word of a finished song is sung, and how well: the decoder listens to its own latents.

Source: upstream's lyric timestamps and lyric score. It asks the decoder about the song near the end of denoising, where
the attention of some heads moves along the lyrics.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from acestep_core.checkpoints.qwen_tokenizer import token_bytes
from acestep_core.errors import InvalidInput
from acestep_core.judge.alignment import Alignment, AlignmentScore, Method, align, combine_heads
from acestep_core.judge.attention import BLOCK, HeadMap, alignment_heads, capture, query_latents
from acestep_core.judge.lyric_tokens import (
    Character,
    characters,
    is_sung,
    lines_of,
    lyric_span,
    words_of,
)
from acestep_core.judge.timing import Line, TimedLyrics, Word
from acestep_core.models.acestep import AceStepModel
from acestep_core.models.dit import DiT
from acestep_core.models.handles import ModelHandle
from acestep_core.models.manager import manager
from acestep_core.models.memory import listening_bytes
from acestep_core.monitor import SILENT, Monitor
from acestep_core.render.conditioned import Conditioning
from acestep_core.seeds import noise
from acestep_core.vocabulary import LATENT_RATE


def timed_lyrics(
    alignment: Alignment, pieces: Sequence[bytes], seconds_per_frame: float, duration: float | None = None
) -> TimedLyrics:
    """Lines and words with times and confidence from placed tokens.

    Unlike upstream, a line starts with its first visible character and ends when its last one does, not with the line
    break behind it; the last frame counts in full; line breaks inside a token separate lines; characters are never cut.
    Times are rounded to milliseconds.

    Args:
        alignment: of the tokens.
        pieces: the bytes of each token.
        seconds_per_frame: 0.08 for every released decoder.
        duration: of the song in seconds; no time lies behind it.
    """
    lines = list(lines_of(characters(pieces)))
    spans = [_span(alignment, line) for line in lines]
    limit = alignment.length * seconds_per_frame if duration is None else duration

    def seconds(frame: float) -> float:
        return round(min(frame * seconds_per_frame, limit), 3)

    out = []
    for line, (start, stop), (later, _) in zip(lines, spans, [*spans[1:], (float("inf"), 0.0)]):
        stop = min(stop, max(start, later))
        is_tag = all(char.in_tag or char.text.isspace() for char in line)
        words = () if is_tag else tuple(
            Word(_text(word), seconds(first), seconds(last), _confidence(alignment, word))
            for word, first, last in _words(alignment, line, start, stop)
        )  # fmt: skip
        out.append(Line(_text(line), seconds(start), seconds(stop), _confidence(alignment, line), words))
    return TimedLyrics(tuple(out), duration)


def _text(chars: Sequence[Character]) -> str:
    return "".join(char.text for char in chars)


def _span(alignment: Alignment, chars: Sequence[Character]) -> tuple[float, float]:
    """First and last moment of some characters, in frames; those that nothing attends to do not count."""
    frames, visible = alignment.frames, [char for char in chars if not char.text.isspace()]
    heard = [char for char in visible if frames[char.last, 1] > frames[char.first, 0]]
    if not heard:
        return float(frames[visible[0].first, 0]), float(frames[visible[0].first, 0])
    return _within(frames[heard[0].first], heard[0].begin), _within(frames[heard[-1].last], heard[-1].end)


def _within(span: np.ndarray, part: float) -> float:
    """A moment inside a token, to an eighth of a frame: that is 10 ms, the unit of LRC."""
    return float(span[0]) + round(8 * float(span[1] - span[0]) * part) / 8


def _words(
    alignment: Alignment, line: Sequence[Character], start: float, stop: float
) -> Iterator[tuple[list[Character], float, float]]:
    """The words of a line with their first and last moment, in order and inside the line."""
    words = words_of(line)
    spans = np.array([_span(alignment, word) for word in words])
    begins = np.maximum.accumulate(spans[:, 0].clip(start, stop))
    ends = np.minimum(spans[:, 1], [*begins[1:], stop])
    yield from zip(words, begins.tolist(), np.maximum(begins, ends).tolist())


def _confidence(alignment: Alignment, chars: Sequence[Character]) -> float:
    """Mean energy over the frames of the characters' tokens; a token without frames counts as one silent frame."""
    tokens = sorted({token for c in chars if not c.text.isspace() for token in range(c.first, c.last + 1)})
    weights = np.maximum(np.diff(alignment.frames[tokens], axis=1)[:, 0], 1)
    return round(float(np.average(alignment.confidence[tokens], weights=weights)), 4)


DOES_NOT_SING = "The built-in toy does not sing, so times and scores of lyrics mean nothing; name real weights."


@dataclass(frozen=True)
class SungLyrics:
    """What listening to one song found.

    lyrics: lines and words with times.
    score: how well the song sings the lyrics; None where there is nothing to sing.
    remark: why neither is to be believed, if so.
    """

    lyrics: TimedLyrics
    score: AlignmentScore | None
    remark: str = ""


@torch.inference_mode()
def listen(
    decoder: DiT,
    latents: Tensor,
    context: Tensor,
    states: Tensor,
    lyric_pieces: Sequence[bytes],
    heads: HeadMap,
    *,
    steps: int = 8,
    seed: int = 42,
    method: Method = "salience",
) -> SungLyrics:
    """Times and scores the lyrics of one song.

    Args:
        decoder: the DiT.
        latents: the finished song, `[1, T, 64]`.
        context: source latents and chunk mask, `[1, T, 128]`.
        states: condition encoder output `[1, S, D]`, whose first states are the lyric tokens.
        lyric_pieces: the bytes of all lyric tokens, header and end token included.
        heads: from `alignment_heads`.
        steps: the song is looked at with noise mixed in as before the last of so many steps, `t = 1 / steps`.
        seed: of that noise.
        method: see `alignment.align`.

    Raises:
        InvalidInput: lengths do not fit together, or steps is below 1.
    """
    if steps < 1:
        raise InvalidInput(f"The number of steps must be at least 1, not {steps}.")
    if latents.shape[:2] != context.shape[:2] or latents.shape[0] != 1:
        raise InvalidInput(
            f"The latents {tuple(latents.shape)} do not belong to this conditioning {tuple(context.shape)}; "
            "give the latents that were sampled from it."
        )
    if len(lyric_pieces) > states.shape[1]:
        raise InvalidInput("There are more lyric tokens than states; give the lyrics that were encoded.")
    frames, span = latents.shape[1], lyric_span(lyric_pieces)
    pieces, duration = list(lyric_pieces[span]), frames / LATENT_RATE
    sung = is_sung(pieces)
    if not any(flag and piece.strip() for flag, piece in zip(sung, pieces)):
        return SungLyrics(TimedLyrics((), duration), None)

    dtype, device = states.dtype, states.device
    latents, context = latents.to(device, dtype), context.to(device, dtype)
    start = noise([seed], frames).to(device, dtype)

    x = query_latents(latents, start, 1 / steps)
    attention = capture(decoder, x, 1 / steps, context, states, heads, span)
    found = align(combine_heads(attention, sharpened=method == "sharpened"), sung, method)
    lyrics = timed_lyrics(found, pieces, decoder.config.patch_size / LATENT_RATE, duration)
    return SungLyrics(lyrics, found.score)


def listen_to_batch(
    handle: ModelHandle,
    latents: Tensor,
    conditioning: Conditioning,
    *,
    steps: int = 8,
    seed: int = 42,
    monitor: Monitor = SILENT,
) -> list[SungLyrics]:
    """Times and scores the lyrics of every song of a batch, one song at a time.

    Args:
        handle: the model that made them; its adapters are active.
        latents: the finished songs, `[B, T, 64]`.
        conditioning: what they were made from, of one row for all or one for each.
        steps, seed: see `listen`.

    Raises:
        AlignmentError: no alignment heads are known for this checkpoint.
        InvalidInput: latents and conditioning do not belong together, or the model has no text encoder.
    """
    if handle.text is None:
        raise InvalidInput("The model has no text encoder; load Qwen3-Embedding-0.6B together with it.")
    songs, rows = latents.shape[0], conditioning.batch
    if rows not in (1, songs) or len(conditioning.lyric_tokens) != rows:
        raise InvalidInput(
            f"There are {songs} latents for a conditioning of {rows} rows; give the latents that were sampled from it."
        )
    with manager.resident(handle.text) as text:
        pieces = [token_bytes(text.tokenizer, ids) for ids in conditioning.lyric_tokens]
    found = []

    def needs(model: AceStepModel) -> int:
        states = max(group.shape[1] for group in conditioning.main.states)
        lyrics = max(len(ids) for ids in conditioning.lyric_tokens)
        return listening_bytes(model.config, latents.shape[1], states, lyrics, BLOCK, model.dtype.itemsize)

    with manager.resident(handle, needs) as model:
        heads = alignment_heads(model.config)
        for item in range(songs):
            monitor.tick("Timing lyrics", item, songs)
            row = item if rows > 1 else 0
            states = _row(conditioning.main.states, row).to(model.device, model.dtype)
            found.append(
                listen(
                    model.decoder,
                    latents[item : item + 1],
                    conditioning.main.context[row : row + 1],
                    states,
                    pieces[row],
                    heads,
                    steps=steps,
                    seed=seed,
                )
            )
    monitor.tick("Timing lyrics", songs, songs)
    return [replace(sung, remark=DOES_NOT_SING if handle.toy and sung.score else "") for sung in found]


def _row(states: Sequence[Tensor], row: int) -> Tensor:
    """Row `row` `[1, S, D]` of groups of rows `[n_i, S_i, D]`."""
    for group in states:
        if row < len(group):
            return group[row : row + 1]
        row -= len(group)
    raise InvalidInput("The conditioning has fewer rows than songs; condition them again.")
