"""What can be said about songs in a few words: in their file names, and under the node that plays them."""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .judge import Scores, Timing
    from .made import MadeFrom


def filled(prefix: str, made: MadeFrom | None, item: int = 0) -> str:
    """A file name with what stands between percent signs filled in; what is not known stays as it is."""
    facts: dict[str, Any] = {"date": time.strftime("%Y-%m-%d")}
    if made is not None and item < len(made.seeds):
        task, song = made.task(item), made.song
        facts |= {"seed": made.seeds[item], "task": task.name, "track": "-".join(task.tracks) or task.name}
        facts |= {"bpm": song.bpm or "", "key": song.keyscale}
    return re.sub("%([a-z]+)%", lambda found: str(facts.get(found[1], found[0])), prefix)


def about(made: MadeFrom | None, songs: int, timing: Timing | None, lm_scores: Scores | None, plan: str) -> str:
    """The scores of each song where there are some, and the plan."""
    lines = []
    for item in range(songs):
        scores: dict[str, float | None] = dict(made.scores[item]) if made is not None and made.scores else {}
        if timing is not None and item < len(timing) and (heard := timing[item].score) is not None:
            scores["alignment"] = heard.total
        if lm_scores is not None and item < len(lm_scores):
            scores["lm"] = lm_scores[item]
        known = [f"{name} {score:.3f}" for name, score in scores.items() if score is not None]
        if known:
            seed = f" (seed {made.seeds[item]})" if made is not None and item < len(made.seeds) else ""
            lines.append(f"Song {item + 1}{seed}: {', '.join(known)}")
    return "\n\n".join(part for part in ("\n".join(lines), plan.strip()) if part)
