"""Which takes of a batch are the best: a ranking by weighted scores, and a table of all takes."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from acestep_core.errors import InvalidInput

WEIGHTS: Mapping[str, float] = {"lm": 0.5, "alignment": 0.5}
"""The total of the LM score and of the lyric alignment, both 0 to 1, count the same."""


@dataclass(frozen=True)
class Take:
    """One item of a batch: its place there, its seed, and scores by name, higher is better.

    None or NaN stands for a score that the take could not get, such as lyric alignment of an instrumental.
    """

    index: int
    seed: int
    scores: Mapping[str, float | None]


@dataclass(frozen=True)
class Ranked:
    """A take with its place in the ranking, from 1, its total, and whether it is kept."""

    take: Take
    place: int
    total: float
    kept: bool


def rank(takes: Sequence[Take], weights: Mapping[str, float] = WEIGHTS, keep: int = 1) -> tuple[Ranked, ...]:
    """Ranks takes by the weighted mean of their scores, best first; equal ones stay in the order of the batch.

    Scores that no take has do not count. A score that only some takes have counts 0 for the others, for a mean over
    fewer scores would favour them.

    Args:
        takes: of one batch.
        weights: by name of the score, 0 or above; scores without a weight do not count.
        keep: how many of the best are marked as kept, at most all.

    Raises:
        InvalidInput: there are no takes, none of the weighted scores exists, a weight is negative or `keep` below 1.
    """
    if not takes:
        raise InvalidInput("There are no takes to choose from; make at least one.")
    if keep < 1:
        raise InvalidInput(f"At least one take must be kept, not {keep}.")
    if any(not (math.isfinite(weight) and weight >= 0) for weight in weights.values()):
        raise InvalidInput("The weights of the scores must be 0 or above.")
    found = {name: [_number(take.scores.get(name)) for take in takes] for name, weight in weights.items() if weight > 0}
    counting = {name: weights[name] for name, values in found.items() if any(value is not None for value in values)}
    if not counting:
        raise InvalidInput(
            f"No take has any of the scores {', '.join(weights) or '(none)'}; score the takes, or weigh other scores."
        )
    whole = sum(counting.values())
    totals = [
        sum(weight * (found[name][i] or 0.0) for name, weight in counting.items()) / whole for i in range(len(takes))
    ]
    order = sorted(range(len(takes)), key=lambda i: (-totals[i], i))
    return tuple(Ranked(takes[i], place, totals[i], place <= keep) for place, i in enumerate(order, start=1))


def kept(ranking: Sequence[Ranked]) -> list[int]:
    """Places in the batch of the kept takes, best first: for picking latents, codes and seeds."""
    return [entry.take.index for entry in ranking if entry.kept]


def table(ranking: Sequence[Ranked]) -> list[dict[str, float | int | bool | None]]:
    """One row per take, best first: `place`, `take` (counted from 1), `seed`, `total`, every score, `kept`."""
    names = list(dict.fromkeys(name for entry in ranking for name in entry.take.scores))
    return [
        {
            "place": entry.place,
            "take": entry.take.index + 1,
            "seed": entry.take.seed,
            "total": entry.total,
            **{name: _number(entry.take.scores.get(name)) for name in names},
            "kept": entry.kept,
        }
        for entry in ranking
    ]


def table_text(ranking: Sequence[Ranked]) -> str:
    """The table as text, columns aligned: scores with three decimals, `-` for none, `*` for kept takes."""
    rows = table(ranking)
    if not rows:
        return ""
    cells = [list(rows[0])] + [[_cell(value) for value in row.values()] for row in rows]
    widths = [max(map(len, column)) for column in zip(*cells)]
    return "\n".join("  ".join(cell.rjust(width) for cell, width in zip(row, widths)).rstrip() for row in cells)


def _number(value: float | None) -> float | None:
    return None if value is None or math.isnan(value) else float(value)


def _cell(value: float | int | bool | None) -> str:
    if isinstance(value, bool):
        return "*" if value else ""
    if value is None:
        return "-"
    return f"{value:.3f}" if isinstance(value, float) else str(value)
