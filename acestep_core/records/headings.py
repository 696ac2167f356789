"""What a list says of a song, out of its record: quicker than reading it whole, and content with a damaged one."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from acestep_core.errors import AceStepError
from acestep_core.io.tags import read_tags
from acestep_core.io.text import read_text
from acestep_core.records.keeping import RECORD
from acestep_core.records.song_record import TAG, is_record


@dataclass(frozen=True)
class Heading:
    """What is not known is empty or None.

    seconds: the length that was asked for.
    score: the mean of its scores, 0 to 1.
    text: all that a search for words looks into, case folded.
    batch: the same for the songs of a batch, empty where nothing is known; place: of the song in it, from 0.
    damaged: whether the record cannot be read.
    """

    caption: str = ""
    language: str = ""
    bpm: int | None = None
    keyscale: str = ""
    seconds: float | None = None
    score: float | None = None
    model: str = ""
    task: str = ""
    test: bool = False
    text: str = ""
    batch: str = ""
    place: int = 0
    damaged: bool = False


def heading_of(audio: Path, beside: bool) -> Heading | None:
    """The heading of a song; None for audio that we did not make.

    Args:
        beside: whether a record may lie beside it.
    """
    damaged = False
    values: Any = None
    if beside:
        try:
            values = json.loads(read_text(audio.with_suffix(RECORD)))
        except (AceStepError, ValueError, RecursionError):
            damaged = True
        if isinstance(values, Mapping) and not is_record(values) and isinstance(values.get("prompt"), Mapping):
            return Heading()  # audio of other nodes that we saved: only its graph is known
    if not is_record(values):
        try:
            values = json.loads(read_tags(audio).get(TAG, ""))
        except (AceStepError, ValueError, RecursionError):
            values = None
    if is_record(values):
        return _heading(values, damaged)
    return Heading(damaged=True) if damaged else None


def _heading(values: Mapping[str, Any], damaged: bool) -> Heading:
    song, task = _table(values, "song"), _table(values, "task")
    given = _table(values, "scores")
    scores = [score for name in ("alignment", "lm") if (score := _number(given.get(name))) is not None]
    files = [file for file in values.get("files") or () if isinstance(file, Mapping)]
    names = {_text(file, "role"): file for file in reversed(files)}
    dit, lm = names.get("dit", {}), names.get("lm", {})
    model, bpm, place = _text(dit, "variant") or _text(dit, "name"), _number(song.get("bpm")), task.get("index")
    caption, lyrics = _text(song, "caption"), _text(song, "lyrics")
    seeds = task.get("seeds")
    searched = (caption, lyrics, model, _text(dit, "name"), _text(lm, "name"), *(_text(one, "name") for one in files))
    return Heading(
        caption=caption,
        language=_text(song, "language"),
        bpm=int(bpm) if bpm else None,
        keyscale=_text(song, "keyscale"),
        seconds=_number(song.get("duration")),
        score=sum(scores) / len(scores) if scores else None,
        model=model,
        task=_text(task, "name"),
        test=bool(_table(values, "machine").get("test_model")),
        text=unicodedata.normalize("NFC", "\n".join(dict.fromkeys(searched))).casefold(),
        batch=json.dumps([seeds, caption, lyrics, _text(task, "name")]) if isinstance(seeds, list) else "",
        place=place if isinstance(place, int) and 0 <= place < 2**31 else 0,
        damaged=damaged,
    )


def _table(values: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found = values.get(name)
    return found if isinstance(found, Mapping) else {}


def _text(values: Mapping[str, Any], name: str) -> str:
    found = values.get(name)
    return found if isinstance(found, str) else ""


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e9 else None
