"""What the canvas asks where a recording is edited by hand: what is known of it, times in bars, width of seams."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from acestep_core.bars import Meter, region_in_bars
from acestep_core.errors import InvalidInput
from acestep_core.values import real, truth

from .routes import answered, file_of


def add_routes(routes: Any) -> None:
    """Adds them to what has aiohttp's `get` decorator."""

    @routes.get("/acestep/facts")
    async def facts(request: Any) -> Any:
        return await answered(_facts, request.query)

    @routes.get("/acestep/times")
    async def times(request: Any) -> Any:
        return await answered(_times, request.query)

    @routes.get("/acestep/seam")
    async def seam(request: Any) -> Any:
        return await answered(_seam, request.query)


def _facts(query: Mapping[str, Any]) -> dict[str, Any]:
    """What the record of a file tells, and its `lines` from the lyrics beside it; empty for a recording of others."""
    from acestep_core.io.text import read_text
    from acestep_core.judge.subtitles import parse_lrc
    from acestep_core.records.facts import facts_of
    from acestep_core.records.keeping import record_of

    from .remarks import lines_of

    audio = file_of(query)
    try:
        found = facts_of(record_of(audio))
    except InvalidInput:
        found = {}
    lyrics = audio.with_suffix(".lrc")
    if lyrics.is_file():
        found["lines"] = lines_of(parse_lrc(read_text(lyrics)))
    return found


def _times(query: Mapping[str, Any]) -> dict[str, Any]:
    """The seconds where what is written in `text` begins and ends: a time, or bars of `bpm` and `timesignature`.

    A text that is not understood is an answer, too: `error`, for the console of a browser is no place for slips.
    """
    text = str(query.get("text") or "")
    seconds = real(text)
    if seconds is not None:
        return {"start": seconds, "end": seconds}
    bpm, signature = real(query.get("bpm") or "0"), str(query.get("timesignature") or "")
    try:
        start, end = region_in_bars(text, Meter.of(bpm, signature if signature.isdecimal() else ""))
    except InvalidInput as error:
        return {"error": str(error)}
    return {"start": start, "end": end}


def _seam(query: Mapping[str, Any]) -> dict[str, Any]:
    """How many seconds are blended inside and outside of a region's edges."""
    from acestep_core.render.repaint import seam_width

    strength = real(query.get("strength") or "0.5")
    keep = truth(query.get("keep_outside") or "true")
    inside, outside = seam_width(
        str(query.get("mode") or ""), -1.0 if strength is None else strength, keep is not False
    )
    return {"inside": inside, "outside": outside}
