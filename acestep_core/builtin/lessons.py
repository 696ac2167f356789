"""What the language model of the built-in model learns from: whole conversations, in the very prompts of the planner.

A request, what of the plan is given, the plan that follows, and the codes of a song of that plan; songs and what is
said of them; songs invented from a line. What a request leaves open is decided as for the text encoder (`asks.py`), but
that a free tempo is one whose bars can be counted in codes.
"""

from __future__ import annotations

import random
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from functools import cache

from tokenizers import Tokenizer
from torch import Tensor

from acestep_core.builtin import tiny_tokenizer
from acestep_core.builtin.asks import Ask, draw_ask, key_name
from acestep_core.builtin.rolls import BARS, EVEN_BARS, Score, compose, tempo_class
from acestep_core.builtin.windows import spelled
from acestep_core.builtin.words import MOOD_WORDS, every_word
from acestep_core.planner import lm_prompts
from acestep_core.planner.metas import dump
from acestep_core.vocabulary import INSTRUMENTAL_LYRICS, LANGUAGES, NO_USER_INPUT, TIME_SIGNATURES, UNKNOWN_LANGUAGE

FRAMES_PER_CODE = 5
COUNTED = (*EVEN_BARS, len(BARS) - 1)
"""Tempo classes with bars of whole codes."""
SECONDS = (20, 30, 30, 45, 60)
"""Lengths that are planned where none is given."""
VERSES = (
    "In the light of the morning\nwe walk along the river\nand the wind will sing your name",
    "Stay with me tonight\nunder the stars and the rain\nlet the music take us home",
    "Run with the road and the rising sun\nno more tears, the day has come\nopen your eyes and fly",
    "I hold the world in my hands\na song for the heart to keep\nforever young, forever free",
)
"""What it writes where lyrics are asked for; nobody sings them."""
CLOCK = 64
"""Into how many parts of four bars moments are told."""
LETTERS = "abcdefghijklmnopqrstuvwxyz"


class CountedBars(Score):
    """A score with bars of whole codes where they nearly are, else of half frames, so that each pair is like the last.

    Those of half frames are up to 0.7 % off its tempo class.
    """

    @property
    def bar(self) -> float:
        return EVEN_BARS.get(self.tempo) or round(2 * super().bar) / 2


Moment = tuple[int, int]
"""A tempo class, and which `CLOCK`th of four bars it is."""
NEVER: Moment = (-1, -1)


@dataclass
class Lesson:
    """A row of tokens, which of them are to be learned, and the moments of codes in their song."""

    ids: list[int] = field(default_factory=list)
    learned: list[bool] = field(default_factory=list)
    moments: list[Moment] = field(default_factory=list)

    def text(self, text: str, spans: Iterable[tuple[int, int]] = ()) -> None:
        """Adds a text, of which the characters in `spans` are learned."""
        encoded, spans = tokenizer().encode(text, add_special_tokens=False), list(spans)
        self.ids += encoded.ids
        self.learned += [any(a < end and start < b for a, b in spans) for start, end in encoded.offsets]
        self.moments += [NEVER] * len(encoded.ids)

    def song(self, score: Score, codes: int, rng: random.Random, learned: bool, start: int = 0) -> None:
        """Adds the codes of a part of a song of that score, from frame `start` on."""
        self.ids += (song_codes(score, codes, rng, start) + first_code()).tolist()
        self.learned += [learned] * codes
        phrase = 4 * CountedBars(**vars(score)).bar
        frames = (start + FRAMES_PER_CODE * n for n in range(codes))
        self.moments += [(score.tempo, int(frame % phrase / phrase * CLOCK)) for frame in frames]


@cache
def first_code() -> int:
    """The id of the first audio code; all text stands before it."""
    return tiny_tokenizer.first_code(every_word())


@cache
def tokenizer() -> Tokenizer:
    """Qwen's rules over the words of the text encoder, without audio codes, which are added as numbers."""
    return Tokenizer.from_str(tiny_tokenizer.tokenizer_json(False, every_word()))


@cache
def _mood_names() -> dict[str, str]:
    """The name of each mood word's group: its first word."""
    return {phrase: phrases[0] for phrases in MOOD_WORDS.values() for phrase in phrases}


def title(ask: Ask) -> str:
    """The caption that a plan has for a request, in words that the text encoder knows."""
    score = ask.score
    mood = f"{_mood_names()[ask.moods[0]]} " if ask.moods else ""
    drums, lead = ("with" if score.drums else "without"), ("lead" if score.lead else "no")
    return f"{mood}{score.style} music, {drums} drums, {lead} melody"


def counted(tempo: int) -> int:
    """The class nearest to a tempo class whose bars are a whole number of codes."""
    return min(COUNTED, key=lambda n: abs(BARS[n] / BARS[tempo] - 1))


def bpm_of(tempo: int) -> int:
    """Whole beats per minute of a tempo class."""
    return round(6000 / EVEN_BARS.get(tempo, BARS[tempo]))


@dataclass(frozen=True)
class Listening:
    """How songs are listened to, as shares of such lessons.

    Attributes:
        quoted: what is heard is told in the words of who asked for the song.
        partly: only some fields of a plan are told.
        blind: there are no codes.
    """

    quoted: float
    partly: float
    blind: float


USUAL = Listening(0.4, 0.0, 0.15)
JUDGING = Listening(0.5, 0.25, 0.25)
"""For scores, which ask how much likelier a caption is with the codes than without."""


def draw_lesson(rng: random.Random, codes: int, listening: Listening = USUAL) -> Lesson:
    """A row with about so many codes in it, if it has any."""
    kind = rng.choices(("play", "blank", "listen", "invent", "format"), (0.65, 0.08, 0.21, 0.03, 0.03))[0]
    if kind == "play":
        return _play(rng, codes)
    lesson = Lesson()
    ask, said_bpm = _free_tempo(draw_ask(rng))
    if kind == "blank":
        lesson.text(lm_prompts.chat("generate", NO_USER_INPUT) + lm_prompts.EMPTY_COT + "\n\n")
        lesson.song(ask.score, codes, rng, True)
        return lesson
    if kind == "listen":
        return _listen(rng, ask, rng.randint(20, codes), listening)
    plan = _plan(ask, said_bpm, rng) | {"language": UNKNOWN_LANGUAGE}
    if kind == "format":
        lyrics = rng.choice((INSTRUMENTAL_LYRICS, _lyrics(rng)[0]))
        _answer(lesson, lm_prompts.format_prompt(ask.caption, lyrics), plan, plan, "\n\n<|im_end|>")
        return lesson
    instrumental = rng.random() < 0.5
    query = NO_USER_INPUT if rng.random() < 0.1 else ask.caption
    plan["language"] = UNKNOWN_LANGUAGE if instrumental else "en"
    after = "" if instrumental else f"\n\n# Lyric\n[Verse]\n{rng.choice(VERSES)}<|im_end|>"
    _answer(lesson, lm_prompts.create_prompt(query, instrumental), plan, plan, after)
    return lesson


def _free_tempo(ask: Ask) -> tuple[Ask, int]:
    """The request with a countable tempo where it says none; and the bpm that a plan has for it."""
    if ask.bpm is not None:
        return ask, ask.bpm
    said = [int(word) for word in ask.caption.lower().split() if word.isdigit()] if "bpm" in ask.caption.lower() else []
    said += [
        int(word)
        for word in ask.caption.lower().split("tempo ")[1:2]
        for word in word.split(",")[0].split()[:1]
        if word.isdigit()
    ]
    for bpm in said:
        if tempo_class(bpm) == ask.score.tempo:
            return ask, bpm
    tempo = counted(ask.score.tempo)
    return replace(ask, score=replace(ask.score, tempo=tempo)), bpm_of(tempo)


def _plan(ask: Ask, bpm: int, rng: random.Random) -> dict[str, object]:
    """All fields of the plan but the language, in order."""
    return {
        "bpm": bpm,
        "caption": title(ask),
        "duration": ask.seconds if ask.seconds and ask.seconds >= 10 else rng.choice(SECONDS),
        "keyscale": ask.key or key_name(ask.score),
        "timesignature": int(ask.timesignature or 4),
    }


def _play(rng: random.Random, codes: int) -> Lesson:
    lesson = Lesson()
    ask, bpm = _free_tempo(draw_ask(rng))
    if ask.bpm is not None and rng.random() < 0.4:  # as often as not, people give a tempo that can be counted
        tempo = rng.choice(COUNTED)
        bpm = bpm_of(tempo)
        ask = replace(ask, bpm=bpm, score=replace(ask.score, tempo=tempo))
    lyrics, language = _lyrics(rng)
    plan = _plan(ask, bpm, rng) | {"language": language}
    given = {
        name
        for name, value in (("bpm", ask.bpm), ("duration", ask.seconds), ("timesignature", ask.timesignature))
        if value
    }
    given |= {"keyscale"} if ask.key else set()
    if rng.random() < 0.3:
        given.add("language")
        plan["language"] = rng.choice(tuple(LANGUAGES))
    if "timesignature" not in given and rng.random() < 0.05:
        plan["timesignature"] = int(rng.choice(TIME_SIGNATURES))
        given.add("timesignature")
    fields = dict(plan)
    if rng.random() < 0.15:
        fields.pop("caption")
    if rng.random() < 0.1:  # nothing of the plan that was not given
        fields = {name: value for name, value in fields.items() if name in given}
    caption = ask.caption if rng.random() > 0.04 else title(ask)
    _answer(lesson, lm_prompts.plan_prompt(caption, lyrics), fields, fields.keys() - given, "\n\n", learn_after=False)
    lesson.song(ask.score, codes, rng, True)
    return lesson


def _listen(rng: random.Random, ask: Ask, codes: int, listening: Listening) -> Lesson:
    """Codes, and what is heard in them."""
    lesson = Lesson()
    score = ask.score
    plan = {
        "bpm": bpm_of(score.tempo),
        "caption": ask.caption if rng.random() < listening.quoted else title(replace(ask, moods=())),
        "duration": max(10, codes // 5),
        "genres": score.style,
        "keyscale": key_name(score),
        "language": UNKNOWN_LANGUAGE,
        "timesignature": 4,
    }
    if rng.random() < 0.6:
        plan.pop("genres")
    if listening.partly and rng.random() < listening.partly:  # where it cannot be, nothing is drawn
        plan = {name: value for name, value in plan.items() if name == "caption" or rng.random() < 0.5}
    before, _, after = lm_prompts.understand_prompt("\0").partition("\0")
    lesson.text(before)
    if rng.random() < listening.blind:
        lesson.text(NO_USER_INPUT)
    else:
        lesson.song(score, codes, rng, False, rng.randrange(200))
    _answer(lesson, after, plan, plan, f"\n\n# Lyric\n{INSTRUMENTAL_LYRICS}<|im_end|>")
    return lesson


def song_codes(score: Score, codes: int, rng: random.Random, start: int = 0) -> Tensor:
    """The codes of a part of a song of that score, in bars that can be counted."""
    return spelled(compose(CountedBars(**vars(score)), start + FRAMES_PER_CODE * codes, rng)[start:])


def _answer(
    lesson: Lesson,
    prompt: str,
    plan: dict[str, object],
    learned: Iterable[str],
    after: str,
    learn_after: bool = True,
) -> None:
    """Adds a prompt, the plan that answers it, and what follows; of the plan the fields in `learned` are learned."""
    text, spans = prompt + "<think>\n", []
    for name in sorted(plan):
        line = dump({name: plan[name]}) + "\n"
        if name in learned:
            spans.append((len(text) + len(name) + 1, len(text) + len(line)))
        text += line
    if not plan:
        text += "\n"
    text += "</think>"
    if learn_after:
        spans.append((len(text), len(text) + len(after)))
    lesson.text(text + after, spans)


def _lyrics(rng: random.Random) -> tuple[str, str]:
    """Lyrics and their language; mostly none."""
    draw = rng.random()
    if draw < 0.6:
        return rng.choice(("", INSTRUMENTAL_LYRICS, INSTRUMENTAL_LYRICS)), UNKNOWN_LANGUAGE
    words = [word for word in every_word() if word.isascii()] + list(tiny_tokenizer.WORDS)
    language = "en"
    if draw < 0.75:
        korean = draw < 0.68
        words = [word for word in every_word() if ("가" <= word[0] <= "힣") == korean and not word.isascii()]
        language = "ko" if korean else "zh"
    lines = []
    for _ in range(rng.choice((2, 4, 4, 8))):
        lines.append(" ".join(rng.choice(words) for _ in range(rng.randint(2, 7))))
    if rng.random() < 0.3:
        lines[0] = "".join(rng.choice(LETTERS) for _ in range(rng.randint(3, 9))) + " " + lines[0]
    return "\n".join([rng.choice(("[Verse]", "[verse 1]", "[Chorus]", "[Intro]", "")), *lines]).strip(), language
