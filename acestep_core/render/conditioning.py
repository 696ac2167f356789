"""From songs and tasks to what the DiT reads.

Every prompt is encoded alone, so no row is ever padded and item i of a batch equals the single run. Source: upstream's
conditioning, whose padded batches let the DiT attend to padding.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from acestep_core.errors import InvalidInput
from acestep_core.models.acestep import AceStepModel
from acestep_core.models.handles import ModelHandle, TextHandle
from acestep_core.models.manager import manager
from acestep_core.models.memory import code_tokens, conditioning_bytes, windowed
from acestep_core.models.text import TextEncoder, caption_bytes
from acestep_core.monitor import SILENT, Monitor
from acestep_core.render.conditioned import Branch, Conditioning, Hold, side_by_side
from acestep_core.render.task import Task, silence_frames
from acestep_core.render.tasks import check_task
from acestep_core.render.text_prompts import instruction_for, song_prompts, stems_caption, unread_remark
from acestep_core.song.description import Song
from acestep_core.vocabulary import CAPTION_TOKENS, LYRIC_TOKENS


@dataclass(frozen=True, eq=False)
class _Texts:
    """One row's prompts, embedded."""

    caption: Tensor
    plain_caption: Tensor | None
    lyrics: Tensor
    lyric_tokens: tuple[int, ...]
    remarks: tuple[str, ...]
    was: _Texts | None = None


def condition(
    handle: ModelHandle,
    songs: Sequence[Song],
    tasks: Sequence[Task],
    album_caption: str = "",
    monitor: Monitor = SILENT,
) -> Conditioning:
    """Conditions a batch.

    Args:
        handle: the checkpoint; it must be able to do the tasks.
        songs: one per row, or one for all rows.
        tasks: one per row, or one for all rows; all of the same length, and all or none with a region.
        album_caption: describes the whole song for stems checkpoints, whose caption describes one track.

    Raises:
        UnsupportedTask: the checkpoint was not trained for a task.
    """
    rows = max(len(songs), len(tasks))
    songs, tasks = _spread("songs", songs, rows), _spread("tasks", tasks, rows)
    _check_batch(tasks)
    if handle.text is None:
        raise InvalidInput("The model has no text encoder; load Qwen3-Embedding-0.6B together with it.")
    for task in tasks:
        check_task(task.name, handle.info.kind, handle.stems)
    with torch.inference_mode():
        # The text encoder may leave the device before the rest arrives.
        texts = _embed_texts(handle.text, songs, tasks, handle.stems, album_caption, monitor)
        with manager.resident(handle.bare, lambda model: _working(model, texts, tasks)) as model:
            return _condition(model, texts, tasks, monitor)


def _working(model: AceStepModel, texts: Sequence[_Texts], tasks: Sequence[Task]) -> int:
    """Bytes that `_condition` allocates on the device."""
    config = model.config
    longest = states = codes = rows = 1
    for text, task in zip(texts, tasks, strict=True):
        clips = [clip.shape[1] for clip in task.references] or [config.timbre_fix_frame]
        together, rows = sum(windowed(config, length) for length in clips), max(rows, len(clips))
        codes = max(codes, len(task.codes) * config.pool_window_size)
        if task.is_cover and not task.codes:
            codes = max(codes, code_tokens(config, task.frames))
        for told in (text, text.was) if text.was is not None else (text,):
            longest = max(longest, together, windowed(config, told.lyrics.shape[1]))
            captions = [caption for caption in (told.caption, told.plain_caption) if caption is not None]
            states += sum(told.lyrics.shape[1] + caption.shape[1] + len(task.references) + 1 for caption in captions)
    return conditioning_bytes(config, longest, states, codes, model.dtype.itemsize, rows)


def _spread(name: str, values: Sequence, rows: int) -> list:
    if len(values) not in (1, rows):
        raise InvalidInput(f"There are {len(values)} {name} for {rows} rows; give one, or one for each.")
    return list(values) * (rows if len(values) == 1 else 1)


def _check_batch(tasks: Sequence[Task]) -> None:
    if len({(task.frames, task.samples) for task in tasks}) > 1:
        raise InvalidInput("The items of a batch differ in length; make them equally long, or run them one by one.")
    same = {(t.cover_strength, t.cover_noise_strength, t.repaint, t.mask() is None, t.morph) for t in tasks}
    if len(same) > 1:
        raise InvalidInput("The items of a batch differ in their strengths or modes; run them one by one.")


def _embed_texts(
    handle: TextHandle, songs: list[Song], tasks: list[Task], stems: bool, album_caption: str, monitor: Monitor
) -> list[_Texts]:
    done: dict[tuple, _Texts] = {}
    rows = []
    with manager.resident(handle, caption_bytes) as text:
        for song, task in zip(songs, tasks, strict=True):
            key = (song, task.instruction, task.prompt_seconds, task.switches, task.chunk_mask, task.morph)
            if key not in done:
                monitor.check()
                done[key] = _embed(text, song, task, prompts_of(song, task, stems, album_caption))
                if task.morph is not None:
                    was = replace(song, caption=task.morph.source_caption, lyrics=task.morph.source_lyrics)
                    done[key] = replace(done[key], was=_embed(text, was, task, prompts_of(was, task)))
            rows.append(done[key])
    return rows


def prompts_of(song: Song, task: Task, stems: bool = False, album_caption: str = "") -> tuple[str, str]:
    """What the text encoder and the lyric encoder read for a song and its task.

    Args:
        stems: for a stems checkpoint, whose caption describes one track of what `album_caption` describes.
    """
    caption = None
    if stems:
        caption = stems_caption(song.caption, album_caption, task.instruction, task.chunk_mask == "window")
    return song_prompts(song, task.instruction, _seconds(song, task), caption)


def _seconds(song: Song, task: Task) -> float | None:
    return task.prompt_seconds if task.prompt_seconds is not None else song.duration


def _embed(text: TextEncoder, song: Song, task: Task, prompts: tuple[str, str]) -> _Texts:
    prompt, lyrics = prompts
    plain = None
    if task.switches:
        plain = text.caption(song_prompts(song, instruction_for("text2music"), _seconds(song, task))[0])
    tokens = tuple(text.tokens(lyrics, LYRIC_TOKENS))
    limits = ((prompt, CAPTION_TOKENS), (lyrics, LYRIC_TOKENS))
    remarks = (unread_remark(told, text.unread(told, limit)) for told, limit in limits)
    return _Texts(text.caption(prompt), plain, text.lyrics(lyrics), tokens, tuple(filter(None, remarks)))


def _condition(model: AceStepModel, texts: list[_Texts], tasks: list[Task], monitor: Monitor) -> Conditioning:
    silence = model.silence_latent.cpu()
    encoded: dict[tuple, Tensor] = {}

    def encode(row: int, caption: Tensor, lyrics: Tensor) -> Tensor:
        """Encoder states `[1, S, D]` of a row."""
        references = tasks[row].references or (silence[:, : model.config.timbre_fix_frame],)
        key = (id(caption), id(lyrics), tuple(id(r) for r in tasks[row].references))
        if key not in encoded:
            monitor.check()
            clips = torch.cat([clip.to(model.device, model.dtype) for clip in references])
            here = (caption.to(clips), lyrics.to(clips), clips)
            encoded[key] = model.encoder(*here)
        return encoded[key]

    first = tasks[0]
    masks = torch.cat([task.chunk_mask_values() for task in tasks])
    quiet = silence_frames(silence, first.frames).expand(len(tasks), -1, -1)
    before = torch.cat([task.source_latents(silence, _hints_of_codes(model, task)) for task in tasks])
    if first.morph is None:
        source = torch.cat([_source(model, task, row) for task, row in zip(tasks, before.split(1), strict=True)])
    else:
        source = quiet
    main = Branch(side_by_side([encode(i, t.caption, t.lyrics) for i, t in enumerate(texts)]), _context(source, masks))
    plain, was = None, None
    if first.switches:
        states = [encode(i, t.plain_caption, t.lyrics) for i, t in enumerate(texts)]  # type: ignore[arg-type]
        plain = Branch(side_by_side(states), _context(quiet, masks))
    if first.morph is not None:
        states = [encode(i, t.was.caption, t.was.lyrics) for i, t in enumerate(texts)]  # type: ignore[union-attr]
        was = Branch(side_by_side(states), _context(quiet, masks))
    return Conditioning(
        main=main,
        null=model.null_condition_emb.detach().clone(),
        plain=plain,
        cover_strength=first.cover_strength,
        source=before if first.cover_noise_strength > 0 or first.morph is not None else None,
        start_strength=first.cover_noise_strength,
        hold=_hold(tasks, silence),
        was=was,
        morph=first.morph,
        lyric_tokens=tuple(text.lyric_tokens for text in texts),
        remarks=tuple(dict.fromkeys(remark for text in texts for remark in text.remarks)),
    )


def _hints_of_codes(model: AceStepModel, task: Task) -> Tensor | None:
    if not task.codes:
        return None
    return model.hints(torch.tensor([task.codes], device=model.device)).float().cpu()


def _source(model: AceStepModel, task: Task, latents: Tensor) -> Tensor:
    """What the DiT sees of the source `[1, T, 64]`: for a cover the hints in it, otherwise itself."""
    if not task.is_cover or task.codes:  # latents made from codes are hints already
        return latents
    hints = model.hints(model.codes(latents.to(model.device, model.dtype)))
    return hints[:, : task.frames].float().cpu()


def _context(source: Tensor, masks: Tensor) -> Tensor:
    """Source `[B, T, 64]` and mask values `[B, T]` -> `[B, T, 128]`."""
    return torch.cat([source.float(), masks.unsqueeze(-1).expand(-1, -1, source.shape[-1])], dim=-1)


def text_context(silence: Tensor) -> Tensor:
    """The context of music from text alone: silence `[B, T, 64]` in place of a source -> `[B, T, 128]`."""
    return _context(silence, torch.ones(silence.shape[:2]))


def _hold(tasks: list[Task], silence: Tensor) -> Hold | None:
    masks, settings = [task.mask() for task in tasks], tasks[0].repaint
    if settings is None or any(mask is None for mask in masks):
        return None
    soft = [task.soft_mask() for task in tasks]
    return Hold(
        clean=torch.cat([task.clean(silence) for task in tasks]).float(),
        region=torch.cat(masks),  # type: ignore[arg-type]
        settings=settings,
        soft=None if any(s is None for s in soft) else torch.cat(soft),  # type: ignore[arg-type]
    )
