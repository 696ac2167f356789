"""Requests as people make them, and what each one means: what the text encoder learns from.

Every prompt that the product can make occurs: any of the metas given or left at N/A, any language, any task's
instruction, any length; captions of tags and sentences, with words that say nothing, in English, Korean and Chinese.
What a request leaves open is decided by its style and mood, so that every prompt means one thing.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

from acestep_core.builtin.rolls import STYLE_NAMES, STYLES, Score, tempo_class
from acestep_core.builtin.words import (
    EASTERN_WORDS,
    FILLERS,
    MOOD_WORDS,
    STYLE_WORDS,
    WITH_DRUMS,
    WITH_LEAD,
    WITHOUT_DRUMS,
    WITHOUT_LEAD,
)
from acestep_core.render.text_prompts import instruction_for, metas_text, text_prompt
from acestep_core.vocabulary import TIME_SIGNATURES

SHARPS = ("C", "C#", "D", "D#", "E", "F", "F#", "G", "G#", "A", "A#", "B")
FLATS = ("C", "Db", "D", "Eb", "E", "F", "Gb", "G", "Ab", "A", "Bb", "B")
DEFAULT_TONICS = {"major": (0, 7, 2, 5, 7, 9, 5, 0), "minor": (9, 4, 9, 2, 4, 9, 2, 9)}
"""Tonics where no key is given, by mode and style."""
SPEED = 1.18
"""How much a mood speeds a style up where no tempo is given."""
TASKS = (("text2music", 12), ("repaint", 3), ("cover", 3), ("complete", 1), ("lego", 1), ("extract", 1))
SENTENCES = (
    "a {mood} {style} {filler}",
    "{mood} {style} {filler}",
    "a {style} {filler}, {mood}",
    "make a {mood} {style} song",
    "I want {mood} {style} music",
    "{style} with a {mood} mood",
    "a {mood} song in the style of {style}",
    "{mood} {style}",
    "{style}",
)
SCRIBBLE = "abcdefghijklmnopqrstuvwxyz"


@dataclass(frozen=True)
class Ask:
    """A request, with `None` and empty words where nothing is given, and what it means."""

    caption: str
    score: Score
    bpm: int | None = None
    timesignature: str = ""
    key: str = ""
    seconds: int | None = None
    task: str = "text2music"
    moods: tuple[str, ...] = ()

    @property
    def prompt(self) -> str:
        """What the text encoder reads."""
        metas = metas_text(self.bpm, self.timesignature, self.key, self.seconds)
        return text_prompt(instruction_for(self.task), self.caption, metas)


def key_name(score: Score, flat: bool = False) -> str:
    """The key as people write it, such as `A minor`."""
    return f"{(FLATS if flat else SHARPS)[score.tonic]} {score.mode}"


def default_score(style: str, speed: int = 0, mode: str = "") -> Score:
    """What a style and a mood mean where nothing else is said.

    Args:
        speed: -1 slower, 1 faster than the style's own tempo.
        mode: `major`, `minor` or empty for the style's own.
    """
    habits = STYLES[style]
    mode = mode or habits.mode
    tonic = DEFAULT_TONICS[mode][STYLE_NAMES.index(style)]
    return Score(tempo_class(habits.bpm * SPEED**speed), tonic, mode, style, habits.drums, habits.lead)


def draw_ask(rng: random.Random) -> Ask:
    """A request drawn from all that people may make."""
    style = rng.choice(STYLE_NAMES)
    eastern = rng.random() < 0.15
    speed, mode, moods = _draw_moods(rng, eastern)
    # One request in twenty-five names no style that is known; it is played as pop.
    words = _words(rng, style, eastern) if rng.random() > 0.04 else []
    start = default_score(style if words else "pop", speed, mode)

    drums, lead, parts = start.drums, start.lead, []
    if rng.random() < 0.45:
        drums = rng.random() < 0.55
        parts.append(rng.choice(WITH_DRUMS if drums else WITHOUT_DRUMS))
    if rng.random() < 0.45:
        lead = rng.random() < 0.6
        parts.append(rng.choice(WITH_LEAD if lead else WITHOUT_LEAD))

    bpm_given = rng.choices(("meta", "caption", ""), (0.6, 0.12, 0.28))[0]
    bpm = rng.randint(40, 220) if rng.random() < 0.15 else rng.randint(60, 160)
    tempo = tempo_class(bpm) if bpm_given else start.tempo
    key_given = rng.choices(("meta", "caption", ""), (0.6, 0.12, 0.28))[0]
    tonic, key_mode = (rng.randrange(12), rng.choice(("major", "minor"))) if key_given else (start.tonic, start.mode)
    score = Score(tempo, tonic, key_mode, start.style, drums, lead)
    key = key_name(score, rng.random() < 0.5)

    if bpm_given == "caption":
        parts.append(rng.choice((f"{bpm} bpm", f"{bpm} BPM", f"at {bpm} bpm", f"bpm {bpm}", f"tempo {bpm}")))
    if key_given == "caption":
        parts.append(rng.choice((f"in {key}", key, f"key of {key}", f"key: {key}")))
    caption = _caption(rng, words, moods, parts)
    return Ask(
        caption,
        score,
        bpm if bpm_given == "meta" else None,
        rng.choice(TIME_SIGNATURES) if rng.random() < 0.5 else "",
        key if key_given == "meta" else "",
        rng.choice((None, rng.randint(10, 60), rng.randint(10, 600))),
        rng.choices([name for name, _ in TASKS], [weight for _, weight in TASKS])[0],
        tuple(moods),
    )


def _draw_moods(rng: random.Random, eastern: bool) -> tuple[int, str, list[str]]:
    """What the moods do, and their words; two that go together at most."""
    if rng.random() < 0.3:
        return 0, "", []
    (speed, mode), words = rng.choice(list(MOOD_WORDS.items()))
    fitting = [word for word in words if word.isascii() != eastern] or list(words)
    chosen = [rng.choice(fitting)]
    if mode == "" and rng.random() < 0.4:
        mode = rng.choice(("major", "minor"))
        chosen.append(rng.choice([word for word in MOOD_WORDS[0, mode] if word.isascii() != eastern]))
    return speed, mode, chosen


def _words(rng: random.Random, style: str, eastern: bool) -> list[str]:
    """One to three words of a style; its own name is the likeliest."""
    table = (EASTERN_WORDS if eastern else STYLE_WORDS)[style]
    count = rng.choices((1, 2, 3), (0.6, 0.3, 0.1))[0]
    chosen = [table[0] if rng.random() < 0.25 else rng.choice(table) for _ in range(count)]
    return list(dict.fromkeys(chosen))


def _caption(rng: random.Random, words: list[str], moods: list[str], parts: list[str]) -> str:
    """Tags in any order, or a sentence and tags."""
    fillers = [rng.choice(FILLERS) for _ in range(rng.choices((0, 1, 2, 4), (0.3, 0.4, 0.2, 0.1))[0])]
    if rng.random() < 0.06:
        fillers.append("".join(rng.choice(SCRIBBLE) for _ in range(rng.randint(3, 10))))
    if words and rng.random() < 0.45:
        sentence = rng.choice(SENTENCES)
        filled = sentence.format(
            style=words[0],
            mood=" ".join(moods) or rng.choice(("nice", "beautiful", "good")),
            filler=rng.choice(FILLERS),
        )
        rest = [*words[1:], *fillers, *parts]
        rng.shuffle(rest)
        tags = [filled, *rest]
    else:
        tags = [*words, *moods, *fillers, *parts]
        rng.shuffle(tags)
    caption = rng.choice((", ", ", ", " ")).join(tags)
    form = rng.random()
    return caption.capitalize() if form < 0.2 else caption.title() if form < 0.28 else caption
