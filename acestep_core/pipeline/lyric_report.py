"""What can be said of lyrics while they are written: how much of them is read, how long they take to sing, what of
them would be read otherwise. No model is opened; only a tokenizer is, where there is one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from difflib import SequenceMatcher
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from acestep_core.checkpoints.choose import choose
from acestep_core.checkpoints.find import Found, find_tokenizer, tokenizers_in
from acestep_core.checkpoints.layouts import open_text_encoder
from acestep_core.checkpoints.qwen_tokenizer import TEXT_ROWS, Fit, fit_of, load_tokenizer
from acestep_core.errors import CheckpointError
from acestep_core.io.stamps import file_stamp
from acestep_core.render.text_prompts import END_OF_TEXT, lyric_prompt
from acestep_core.song.description import Song
from acestep_core.song.lyrics import heading_spans, is_known
from acestep_core.song.singing import singing_seconds
from acestep_core.vocabulary import BYTES_PER_TOKEN, LYRIC_TOKENS

if TYPE_CHECKING:
    from tokenizers import Tokenizer

MOST_CHANGES = 20
TAGS = (
    *("Verse", "Pre-Chorus", "Chorus", "Bridge", "Hook", "Interlude", "Instrumental", "Guitar Solo", "Intro", "Outro"),
    *("Breakdown", "Build", "Drop", "Spoken", "Rap", "Fade Out"),
)
"""Headings to offer, the usual ones first."""


@dataclass(frozen=True)
class LyricReport:
    """Places in a text are counted as JavaScript does, in units of UTF-16.

    Attributes:
        tokens: of the lyrics, without what stands around them; `limit`: how many are read.
        counted: whether the model's tokenizer counted them; else it is an estimate.
        unheard: lines at the end of which something is not read.
        seconds: about how long they take to sing.
        marks: `(start, end, whether the models were taught it)` of each heading of the text.
        read: the lyrics as they are read; `changes`: `(line, as it is read)`, the first of them; `headings`: how many
            were found that were not written in square brackets.
        remarks: what a song with these lyrics says, one sentence each.
    """

    tokens: int
    limit: int
    counted: bool
    unheard: int
    seconds: float
    marks: tuple[tuple[int, int, bool], ...]
    read: str
    headings: int
    changes: tuple[tuple[str, str], ...]
    remarks: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def lyric_report(
    lyrics: str, language: str = "unknown", duration: Any = None, tokenizer: Tokenizer | None = None
) -> LyricReport:
    """Looks at lyrics as somebody wrote them.

    Raises:
        InvalidInput: they are no text, or a value beside them is not that of a song.
    """
    song = Song(lyrics=lyrics, language=language, duration=duration)
    lyrics = lyrics.replace("\r\n", "\n").replace("\r", "\n")
    tokens, limit, unheard = _read(song, tokenizer)
    return LyricReport(
        tokens=tokens,
        limit=limit,
        counted=tokenizer is not None,
        unheard=unheard,
        seconds=singing_seconds(song.lyrics),
        marks=tuple(_marks(lyrics)),
        read=song.lyrics,
        headings=(_headings(song.lyrics) - _headings(lyrics)).total(),
        changes=tuple(_changes(lyrics.split("\n"), song.lyrics.split("\n")))[:MOST_CHANGES],
        remarks=tuple(song.remarks()),
    )


def tokenizer_for_lyrics(found: Found, roots: Sequence[Path]) -> Tokenizer | None:
    """The tokenizer of the text encoder that is taken where nothing else is asked for; else Qwen3's from any place."""
    entry = None
    with suppress(CheckpointError):
        entry = choose("text_encoder", roots=found).entry
    if entry is not None and not entry.tiny:
        files = open_text_encoder(entry.path)
        with suppress(CheckpointError):
            return _opened(find_tokenizer(files, roots), files.config["vocab_size"])
    for path in (path for root in roots for path in tokenizers_in(root)):
        if _fits(path, file_stamp(path)):
            return _opened(path, TEXT_ROWS[0])
    if entry is None:
        return None
    files = open_text_encoder(entry.path)
    return _opened(find_tokenizer(files, roots), files.config["vocab_size"])


def _opened(path: Path, rows: int) -> Tokenizer:
    return _loaded(path, rows, file_stamp(path))


@lru_cache(maxsize=2)
def _loaded(path: Path, rows: int, stamp: tuple[str, int, int]) -> Tokenizer:
    """Reading one takes a second; it is asked for with every pause in writing."""
    return load_tokenizer(path, rows)


@lru_cache(maxsize=64)
def _fits(path: Path, stamp: tuple[str, int, int]) -> bool:
    return fit_of(path, TEXT_ROWS[0]) in (Fit.OWN, Fit.WORDS)


def _read(song: Song, tokenizer: Tokenizer | None) -> tuple[int, int, int]:
    """Tokens of the lyrics, how many are read, and how many lines are not read to their end."""
    prompt = lyric_prompt(song.lyrics, song.language)
    before = len(prompt) - len(song.lyrics) - len(END_OF_TEXT)
    if tokenizer is None:
        around = len(lyric_prompt("", song.language).encode()) // BYTES_PER_TOKEN
        tokens, limit = len(song.lyrics.encode()) // BYTES_PER_TOKEN, LYRIC_TOKENS - around
        cut = len(song.lyrics.encode()[: limit * BYTES_PER_TOKEN].decode(errors="ignore"))
    else:
        around = len(tokenizer.encode(prompt[:before], add_special_tokens=False).ids) + 1
        told = tokenizer.encode(prompt.removesuffix(END_OF_TEXT), add_special_tokens=False)
        tokens, limit = max(0, len(told.ids) + 1 - around), LYRIC_TOKENS - around
        cut = told.offsets[LYRIC_TOKENS - 1][0] - before if len(told.ids) > LYRIC_TOKENS - 1 else len(song.lyrics)
    lost = song.lyrics[cut:].strip()
    return tokens, limit, lost.count("\n") + 1 if lost else 0


def _headings(lyrics: str) -> Counter[str]:
    return Counter(lyrics[start:end] for start, end in heading_spans(lyrics))


def _marks(lyrics: str) -> Iterator[tuple[int, int, bool]]:
    place = units = 0
    for start, end in heading_spans(lyrics):
        units += _units(lyrics[place:start])
        place, first = end, units
        units += _units(lyrics[start:end])
        yield first, units, is_known(lyrics[start:end])


def _units(text: str) -> int:
    return len(text.encode("utf-16-le")) // 2


def _changes(rows: Sequence[str], read: Sequence[str]) -> Iterator[tuple[str, str]]:
    for kind, first, last, start, end in SequenceMatcher(None, rows, read, autojunk=False).get_opcodes():
        if kind != "equal":
            yield "\n".join(rows[first:last]), "\n".join(read[start:end])
