"""What can be said about songs in a few words: in their file names, and under the node that plays them."""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from acestep_core.pipeline.made import Made

    from .judge import Scores, Timing

TEST_MODEL = "Made by the built-in test model, whose weights are random: it makes noise, not music."


def filled(prefix: str, made: Made | None, place: int | None) -> str:
    """A file name with what stands between percent signs filled in; what is not known stays as it is."""
    facts: dict[str, Any] = {"date": time.strftime("%Y-%m-%d")}
    if made is not None and place is not None:
        task, song = made.task(place), made.song
        facts |= {"seed": made.seeds[place], "task": task.name, "track": "-".join(task.tracks) or task.name}
        facts |= {"bpm": song.bpm or "", "key": song.keyscale}
    return re.sub("%([a-z]+)%", lambda found: str(facts.get(found[1], found[0])), prefix)


def about(
    made: Made | None, places: Sequence[int | None], timing: Timing | None, lm_scores: Scores | None, plan: str
) -> str:
    """What the test model is, the scores of each song where there are some, and the plan."""
    lines = []
    for item, place in enumerate(places):
        known = made if place is not None else None
        scores: dict[str, float | None] = dict(known.scores[place]) if known is not None and known.scores else {}  # type: ignore[index]
        if timing is not None and item < len(timing) and (heard := timing[item].score) is not None:
            scores["alignment"] = heard.total
        if lm_scores is not None and item < len(lm_scores):
            scores["lm"] = lm_scores[item]
        told = [f"{name} {score:.3f}" for name, score in scores.items() if isinstance(score, float)]
        if told:
            seed = f" (seed {known.seeds[place]})" if known is not None else ""  # type: ignore[index]
            lines.append(f"Song {item + 1}{seed}: {', '.join(told)}")
    note = TEST_MODEL if made is not None and made.tiny else ""
    return "\n\n".join(part for part in (note, "\n".join(lines), plan.strip()) if part)
