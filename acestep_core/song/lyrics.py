"""Lyrics as people bring them: what is sung, what is a heading, what is a time stamp.

The models learned headings in square brackets, such as `[Chorus]`. What writes them otherwise, `Chorus:`, `【副歌】`,
`**Verse 2**` or `(guitar solo)`, is brought to that form, its words as they were; stamps of LRC, WebVTT and SRT are
taken off, and so are HTML marks and invisible characters of a page that they were copied from. Other words in round
brackets stay: they are backing vocals.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence
from operator import itemgetter

LRC_TIME = r"(\d{1,5}):(\d{1,2})(?:[.:](\d{1,6}))?"
LRC_STAMP = re.compile(rf"\[{LRC_TIME}\]")
LRC_WORD = re.compile(rf"<{LRC_TIME}>")

_HEADING = re.compile(r"\[[^\]\n]*(?:\]|(?=\n)|\Z)")
_BRACKETED = re.compile(r"[\[［【〖〔]([^\[［【〖〔\]］】〗〕\n]+)[\]］】〗〕]")
_LEADING = re.compile(rf"\s*(?:\[{LRC_TIME}\]\s*)+")
_STAMP = re.compile(r"\[(?:\d{1,2}:)?{0}\]|<(?:\d{1,2}:)?{0}>".replace("{0}", r"\d{1,5}:\d{1,2}(?:[.:,]\d{1,6})?"))
_ABOUT = re.compile(r"\[\s*(?:ar|al|ti|au|lr|by|re|ve|tool|length|offset|la|id|#)\s*:[^\]]*\]", re.IGNORECASE)
_CUE = re.compile(r"(?:\d+:)?\d{1,2}:\d\d[.,]\d{1,3}\s*-->\s*(?:\d+:)?\d{1,2}:\d\d[.,]\d{1,3}.*")
_TIMES = re.compile(r"\[[^\[\]\n]*\]|[(（]\s*(x ?\d{1,2}|\d{1,2} ?x|× ?\d{1,2})\s*[)）]", re.IGNORECASE)
_REPEATED = re.compile(r"(\s*)\[([^\]]+)\]\s*(x ?\d{1,2}|\d{1,2} ?x|× ?\d{1,2})\s*", re.IGNORECASE)
_INTRODUCED = re.compile(r"([^:：\[\]]{1,40})[:：]\s*(?!\d)(\S.*)")
_ENTITY = re.compile(r"&(?:#\d{1,7}|#x[0-9a-f]{1,6}|[a-z]{2,8}[0-9]{0,2});", re.IGNORECASE)
_LINE_END = re.compile(r"<br\s*/?>[ \t]*\n?|</(?:p|div)>[ \t]*(?:\n|(?=\S))", re.IGNORECASE)
_MARKUP = re.compile(r"<(/?)(p|div|span|a|b|i|u|em|strong|font)(?:\s[^<>\n]*)?>", re.IGNORECASE)
_INVISIBLE = re.compile(
    "[\u00ad\u200b\u200e\u200f\u202a-\u202e\u2060\u2066-\u2069\ufeff]"
    "|(?<![\u0590-\u1cff\u2600-\u27bf\ufe0f\U0001f000-\U0001faff])[\u200c\u200d]"
)
"""Joiners stay where they belong: in the scripts from Hebrew to those of India, and in emoji."""
_DRESS = " \t\u3000()（）{}<>＜＞《》〈〉「」『』[]*_#=~|-–—•♪:："
_BETWEEN = re.compile(r"[\s\-–_/,&+.'’()]+")
_NUMBER = re.compile(r"[ivx]{1,4}|x|×|one|two|three|four|")


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_SECTIONS = _words("""
    verse chorus prechorus postchorus refrain bridge hook intro outro interlude coda prelude
    strophe vers couplet pont strofa estrofa verso estribillo coro puente refrão refrao ponte ritornello zwrotka refren
    куплет припев бридж вступление проигрыш концовка 主歌 副歌 前奏 间奏 間奏 尾奏 桥段 橋段 导歌 導歌 预副歌 預副歌
    サビ 大サビ 落ちサビ ラスサビ aメロ bメロ cメロ dメロ イントロ アウトロ ブリッジ コーラス
    후렴 후렴구 벌스 코러스 프리코러스 인트로 아웃트로 브릿지 브리지 간주 전주 후주
""")
"""What the parts of a song are called."""
_BARE = _SECTIONS - _words("bridge hook vers verso pont coro ponte puente couplet")
"""Those that are no words of songs: a heading even where nothing but their place says so."""
_COUNTED = re.compile(r"(?:第[一二三四五六七八九十]+|(?:第|(?<![0-9]))[0-9]+ ?)(절|番|段|节|節)[の의]?")
"""Such as 2番 and 第一段: these are parts of a song only with a number."""
_DIGITS = "0123456789一二三四五六七八九十"
_ORDER = _words("pre post final last first second third")
"""What may stand before or after those."""
_DIRECTIONS = _words("""
    instrumental solo breakdown spoken whispered whispering humming adlib repeat fadeout fadein rap acapella
    器乐 独白 念白 独奏 솔로 ソロ соло
""")
"""What is done, not sung."""
_PLAYED = _words("""
    intro outro interlude coda prelude instrumental solo breakdown break drop
    вступление проигрыш концовка 前奏 间奏 間奏 尾奏 器乐 独奏
    イントロ アウトロ ソロ 인트로 아웃트로 간주 전주 후주 솔로 соло
""")
"""What may stand without words to sing."""
_BESIDE = _words("""
    pre post end ending final last first second third fourth double half short long break drop build buildup up
    guitar piano drum drums bass sax saxophone violin strings synth organ trumpet flute vocal vocals voice male female
    word words section part and of the with
""")
"""What may stand beside such words."""


def heading_spans(text: str) -> Iterator[tuple[int, int]]:
    """Where the headings of a text begin and end; one that is never closed ends with its line."""
    return (match.span() for match in _HEADING.finditer(text))


def is_heading(line: str) -> bool:
    """Whether a line is made of nothing but headings, in brackets of any kind."""
    return bool(line.strip()) and not _HEADING.sub("", _squared(line)).strip()


def lrc_seconds(match: re.Match[str]) -> float:
    """The time that a match of `LRC_TIME` tells, rounded to milliseconds."""
    from fractions import Fraction

    minutes, seconds, fraction = match.groups()
    exact = int(minutes) * 60 + int(seconds) + Fraction(int(fraction or 0), 10 ** len(fraction or ""))
    return round(exact * 1000) / 1000


def is_known(heading: str) -> bool:
    """Whether a heading, in square brackets, says anything that the models were taught."""
    words = _words_of(re.sub(r"[^\w'’-]", " ", heading))
    return not words or bool(words & (_SECTIONS | _DIRECTIONS | _BESIDE))


def is_played(heading: str) -> bool:
    """Whether a heading names a part that may be played without words."""
    return bool(_words_of(re.sub(r"[^\w'’-]", " ", heading)) & _PLAYED)


def read_lyrics(text: str) -> tuple[str, tuple[str, ...]]:
    """Lyrics as the models read them, and a sentence for each kind of thing that was changed.

    Lyrics of nothing but words and headings in square brackets stay as they are, spaces and all.
    """
    stamped, before, read = False, "", text
    marked = unseen = False
    while read != before:  # what one round takes off may bring another heading to light
        before = read
        seen = _INVISIBLE.sub("", before)
        told = _without_html(seen)
        marked, unseen = marked or told != seen, unseen or seen != before
        rows = [_squared(row) for row in told.split("\n")]
        words = _without_stamps(rows)
        stamped = stamped or words != rows
        read = "\n".join(_with_headings(words))
    notes = ["The time stamps in the lyrics were taken off."] if stamped else []
    notes += ["HTML in the lyrics was read as the text that it stands for."] if marked else []
    notes += ["Invisible characters in the lyrics were taken off."] if unseen else []
    new = dict.fromkeys(heading for heading in _HEADING.findall(read) if heading not in text)
    if new:
        shown = ", ".join(list(new)[:4]) + (", ..." if len(new) > 4 else "")
        notes.append(f"Read as headings of the lyrics, not as words to sing: {shown}.")
    return read, tuple(notes)


def _without_html(text: str) -> str:
    """Entities as the characters that they stand for, `<br>` as a line end, other marks of text taken off in pairs."""
    closed = {mark[2].lower() for mark in _MARKUP.finditer(text) if mark[1]}
    text = _LINE_END.sub("\n", _ENTITY.sub(_character, text))
    return _MARKUP.sub(lambda mark: "" if mark[2].lower() in closed else mark[0], text)


def _character(entity: re.Match[str]) -> str:
    import html  # ComfyUI loads this file when it starts

    found = html.unescape(entity[0]).replace("\xa0", " ")
    return found if found == entity[0] or found == "\n" or found.isprintable() else ""


def _squared(row: str) -> str:
    """Headings in brackets of other scripts, in square ones; how often is part of the heading."""
    squared = _BRACKETED.sub(lambda m: m[0] if m[0][0] == "[" and m[0][-1] == "]" else f"[{m[1].strip()}]", row)
    repeated = _REPEATED.fullmatch(squared)
    return f"{repeated[1]}[{repeated[2]} {repeated[3]}]" if repeated else squared


def _without_stamps(rows: Sequence[str]) -> list[str]:
    """The lines without what tells times; a line that is sung several times stands at each of them."""
    cues = any(_CUE.fullmatch(row.strip()) for row in rows)
    if not cues and not any(_STAMP.search(row) for row in rows):
        return list(rows)
    timed: list[tuple[float | None, str]] = []
    for row in rows:
        shown = row.strip()
        if cues and _CUE.fullmatch(shown):  # below its number and a blank line, which are not the song's
            if timed and timed[-1][1].strip().isdigit():
                timed.pop()
            while timed and not timed[-1][1].strip():
                timed.pop()
        elif not (_ABOUT.fullmatch(shown) or (cues and shown.startswith("WEBVTT"))):
            timed += _moments(row)
    if any(len(list(LRC_STAMP.finditer(lead[0]))) > 1 for row in rows if (lead := _LEADING.match(row))):
        timed = _in_order(timed)
    return [row for _, row in timed]


def _moments(row: str) -> list[tuple[float | None, str]]:
    """What a line says, at each time that its stamps name; without stamps, once and at no time."""
    if not _STAMP.search(row):
        return [(None, row)]
    words = " ".join(_STAMP.sub(" " if " " not in row else "", row).split())
    lead = _LEADING.match(row)
    times = [lrc_seconds(stamp) for stamp in LRC_STAMP.finditer(lead[0])] if lead else [None]
    return [(time, words) for time in times] if words else []


def _in_order(timed: Sequence[tuple[float | None, str]]) -> list[tuple[float | None, str]]:
    """By time; a line without one stays before the line that follows it."""
    found: list[tuple[float, str]] = []
    following = float("inf")
    for time, row in reversed(timed):
        following = following if time is None else time
        found.append((following, row))
    found.reverse()
    return sorted(found, key=itemgetter(0))  # type: ignore[arg-type]


def _with_headings(rows: Sequence[str]) -> Iterator[str]:
    for index, row in enumerate(rows):
        leads = index == 0 or not rows[index - 1].strip()
        while (found := _introduced(row)) is not None:
            heading, row = found
            yield heading
        yield _heading(row, leads) or _TIMES.sub(lambda found: f"[{found[1]}]" if found[1] else found[0], row)


def _heading(row: str, leads: bool) -> str | None:
    """The heading that a line is, in square brackets; None for any other line.

    Args:
        leads: whether the line stands first in its stanza.
    """
    shown = row.strip()
    if not shown or (_HEADING.match(shown) and is_heading(shown) and shown.endswith("]")):
        return None
    core = shown.strip(_DRESS)
    if core and (words := _name_of(core)) is not None:
        at = shown.index(core)
        before, after = shown[:at].strip(), shown[at + len(core) :].strip()
        dressed = (before and after) or before.startswith(("#", "[")) or after.endswith((":", "："))
        numbered = leads or core[-1].isdigit() or not any(word.isascii() for word in words)
        bare = not before and not after.strip("-–—") and numbered and words & _BARE and words <= _BARE | _ORDER
        closing = ")" if core.count("(") > core.count(")") else ""
        return f"[{core}{closing}]" if dressed or bare else None
    return None


def _introduced(row: str) -> tuple[str, str] | None:
    """The heading in front of a colon and the words behind it; None for any other line."""
    found = _INTRODUCED.match(row)
    words = _name_of(found[1]) if found else None
    return (f"[{found[1].strip()}]", found[2]) if found and words and words & _SECTIONS else None


def _name_of(text: str) -> set[str] | None:
    """The words of a name for a part of a song, numbers aside; None if it holds any other word."""
    words = _words_of(text)
    known = words <= _SECTIONS | _DIRECTIONS | _BESIDE and words & (_SECTIONS | _DIRECTIONS)
    return words if known else None


def _words_of(text: str) -> set[str]:
    """The words of a heading in one spelling, numbers aside."""
    plain = re.sub(r"(fade|ad)[\s-](?=out|in|lib)", r"\1", unicodedata.normalize("NFKC", text).casefold())
    plain = _COUNTED.sub(" 主歌 ", plain.replace("libs", "lib"))
    words = {word.strip(_DIGITS) for word in _BETWEEN.split(plain)}
    return {word for word in words if not _NUMBER.fullmatch(word)}
