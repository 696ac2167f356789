"""The two texts the DiT reads: caption with instruction and metadata, and lyrics with language.

Byte for byte upstream's templates; the checkpoints were trained on exactly these strings.
"""

from __future__ import annotations

import re

from acestep_core.song.description import Song
from acestep_core.vocabulary import CAPTION_TOKENS, LYRIC_TOKENS, TASK_INSTRUCTIONS

END_OF_TEXT = "<|endoftext|>"
DEFAULT_SECONDS = 30
"""What the prompt says when the length is not known."""

_CAPTION_BLOCK = re.compile(r"#\s*Caption\s*\n(.*?)(?:\n\s*#\s*Metas|$)", re.DOTALL)


def text_prompt(instruction: str, caption: str, metas: str) -> str:
    """The text encoder's input, at most 256 tokens."""
    body = unpacked_caption(caption)
    return f"# Instruction\n{with_colon(instruction)}\n\n# Caption\n{body}\n\n# Metas\n{metas}{END_OF_TEXT}\n"


def lyric_prompt(lyrics: str, language: str) -> str:
    """The lyric encoder's input, at most 2048 tokens. Lyrics are taken as they are, spaces and all."""
    return f"# Languages\n{language}\n\n# Lyric\n{lyrics}{END_OF_TEXT}"


def metas_text(
    bpm: int | str | None = None,
    timesignature: str = "",
    keyscale: str = "",
    duration: float | None = None,
) -> str:
    """The four metadata lines; what is not known reads `N/A`, the duration is cut to whole seconds."""
    seconds = int(duration) if duration and duration > 0 else DEFAULT_SECONDS
    return (
        f"- bpm: {bpm or 'N/A'}\n"
        f"- timesignature: {_or_na(timesignature)}\n"
        f"- keyscale: {_or_na(keyscale)}\n"
        f"- duration: {seconds} seconds\n"
    )


def song_prompts(song: Song, instruction: str, duration: float | None, caption: str | None = None) -> tuple[str, str]:
    """`(text prompt, lyric prompt)` of a song.

    Args:
        song: what to make.
        instruction: the task's.
        duration: seconds the prompt states: the source's own length where a task has a source, else the song's.
        caption: instead of the song's, for checkpoints that want `stems_caption`.
    """
    metas = metas_text(song.bpm, song.timesignature, song.keyscale, duration)
    text = text_prompt(instruction, song.caption if caption is None else caption, metas)
    return text, lyric_prompt(song.lyrics, song.language)


def unread_remark(prompt: str, unread: str) -> str:
    """What a song loses where its prompt is longer than what is read of it, in a sentence; empty for nothing.

    Args:
        prompt: of the caption or of the lyrics, from `song_prompts`.
        unread: the end of it that is not read.
    """
    lost = unread.rstrip().removesuffix(END_OF_TEXT).strip()
    if not lost or END_OF_TEXT.endswith(lost):
        return ""
    if prompt.startswith("# Languages"):
        limit = f"The lyrics are longer than the {LYRIC_TOKENS} tokens that are read"
        return f"{limit}; {_share(lost, prompt)} is not heard, from {_start(lost)!r} on."
    limit = f"The caption is longer than the {CAPTION_TOKENS} tokens that are read of it with tempo, key and length"
    words, metas, _ = lost.partition("# Metas")
    if metas and words.strip():
        return f"{limit}; these and its end are not read, from {_start(words)!r} on."
    return f"{limit}; these are not read in full."


def _share(part: str, whole: str) -> str:
    return f"{min(99, max(1, round(100 * len(part) / len(whole))))} % of them"


def _start(text: str, length: int = 24) -> str:
    line = text.strip().split("\n", 1)[0]
    return line if len(line) <= length else line[:length] + "…"


def with_colon(instruction: str) -> str:
    """The instruction, ending in a colon."""
    return instruction if instruction.endswith(":") else instruction + ":"


def unpacked_caption(caption: str) -> str:
    """The caption inside a pasted whole prompt; any other caption unchanged."""
    if "# Instruction" in caption and "# Caption" in caption:
        found = _CAPTION_BLOCK.search(caption)
        if found:
            return found[1].strip()
    return caption


def stems_caption(caption: str, song_caption: str, instruction: str, mask_control: bool) -> str:
    """The caption block of stems checkpoints (`is_lego_sft` in their configuration).

    Args:
        caption: describes the track to make.
        song_caption: describes the whole song; left out for an instruction that asks for "a segment".
        instruction: the task's.
        mask_control: whether the chunk mask marks a region (mode `window`).
    """
    whole = "" if "a segment" in instruction.lower() else f"Global: {song_caption}\n"
    return f"{whole}Local: {unpacked_caption(caption)}\nMask Control: {str(mask_control).lower()}"


def instruction_for(task: str, tracks: tuple[str, ...] = ()) -> str:
    """The instruction of a task.

    Args:
        task: text2music, cover, cover_nofsq, repaint, extend, extract, lego or complete.
        tracks: one track for extract and lego, any number for complete; upper-cased, underscores kept.
    """
    names = [track.upper() for track in tracks]
    if task in ("extract", "lego"):
        if not names:
            return TASK_INSTRUCTIONS[f"{task}_default"]
        return TASK_INSTRUCTIONS[task].format(TRACK_NAME=names[0])
    if task == "complete":
        if not names:
            return TASK_INSTRUCTIONS["complete_default"]
        return TASK_INSTRUCTIONS["complete"].format(TRACK_CLASSES=" | ".join(names))
    same = {"extend": "repaint", "cover_nofsq": "cover"}
    return TASK_INSTRUCTIONS[same.get(task, task)]


def _or_na(value: str) -> str:
    return value if value.strip() else "N/A"
