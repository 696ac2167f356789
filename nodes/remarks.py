"""What can be said about songs in a few words: in their file names, and under the node that plays them."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from acestep_core.judge.timing import TimedLyrics
    from acestep_core.pipeline.made import Made

    from .judge import Scores, Timing

Told = tuple[Any, ...] | dict[str, Any]
"""What a node returns: its outputs, or these with what the canvas shows of it."""
TEST_MODEL = "Made by the built-in test model, whose weights are random: it makes noise, not music."
TOY_MODEL = "Made by the built-in toy model, a piano roll player."


MOST_LINES = 40
"""Of a text under a node; its output holds the rest."""


def told(result: tuple[Any, ...], *texts: str, **shown: Sequence[Any] | Mapping[str, Any]) -> Told:
    """A node's outputs with the texts that stay under it. (A status line is for progress alone: it vanishes.)

    Args:
        shown: what else the canvas is given, such as `images`; a mapping, which its scripts read, as JSON.
    """
    found = [_head(text) for text in texts if text]
    ui: dict[str, list[Any]] = {
        name: [json.dumps(value, ensure_ascii=False)] if isinstance(value, Mapping) else list(value)
        for name, value in shown.items()
        if value
    }
    ui |= {"text": found} if found else {}
    return {"ui": ui, "result": result} if ui else result


def _head(text: str) -> str:
    lines = text.split("\n")
    more = len(lines) - MOST_LINES
    return text if more < 2 else "\n".join([*lines[:MOST_LINES], f"… and {more} lines more."])


def filled(prefix: str, made: Made | None, place: int | None) -> str:
    """A file name with what stands between percent signs filled in; what is not known stays as it is."""
    facts: dict[str, Any] = {"date": time.strftime("%Y-%m-%d")}
    if made is not None and place is not None:
        task, song = made.task(place), made.song
        facts |= {"seed": made.seeds[place], "task": task.name, "track": "-".join(task.tracks) or task.name}
        facts |= {"bpm": song.bpm or "", "key": song.keyscale}
    return re.sub("%([a-z]+)%", lambda found: str(facts.get(found[1], found[0])), prefix)


def songs_shown(
    made: Made | None, places: Sequence[int | None], timing: Timing | None, lm_scores: Scores | None, plan: str
) -> list[str]:
    """What the canvas shows of each song, see `facts_of`, with its scores and when each line is sung; as JSON."""
    from acestep_core.records.facts import facts_of

    found = []
    for item, place in enumerate(places):
        facts: dict[str, Any] = {"plan": plan.strip()}
        if made is not None and place is not None and not made.unrecorded:
            facts = facts_of(made.record(place, hashes=False)) | ({"plan": plan.strip()} if plan.strip() else {})
        scores = facts.setdefault("scores", {})
        if timing is not None and item < len(timing):
            facts["lines"] = lines_of(timing[item].lyrics)
            if (heard := timing[item].score) is not None:
                scores["alignment"] = heard.total
        if lm_scores is not None and item < len(lm_scores):
            scores["lm"] = lm_scores[item]
        found.append(json.dumps(facts, ensure_ascii=False))
    return found


def lines_of(lyrics: TimedLyrics) -> list[list[Any]]:
    """`[start, end, text, [[start, end, text] of each word]]` of each line, in seconds."""
    return [
        [line.start, line.end, line.text, [[word.start, word.end, word.text] for word in line.words]]
        for line in lyrics.lines
    ]


def about(stories: Sequence[Made | None], songs: Sequence[str], plan: str) -> str:
    """What the test model is, the scores of each song where there are some, and the plan.

    Args:
        stories: of each batch that the songs are from.
    """
    lines = []
    for item, facts in enumerate(map(json.loads, songs), 1):
        told = [f"{name} {score:.3f}" for name, score in facts["scores"].items() if isinstance(score, float)]
        if told:
            seed = f" (seed {facts['seed']})" if "seed" in facts else ""
            lines.append(f"Song {item}{seed}: {', '.join(told)}")
    known = [made for made in stories if made is not None]
    notes = [TOY_MODEL if made.model.toy else TEST_MODEL for made in known if made.tiny]
    once = dict.fromkeys(filter(None, (*notes, *(made.unrecorded for made in known))))
    return "\n\n".join(part for part in (*once, "\n".join(lines), plan.strip()) if part)
