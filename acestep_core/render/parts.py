"""Some songs of a batch alone, for devices that cannot hold all of them at once."""

from __future__ import annotations

from dataclasses import replace

from torch import Tensor

from acestep_core.render.conditioned import Branch, Conditioning


def part_of(conditioning: Conditioning, start: int, stop: int) -> Conditioning:
    """Rows `start` to `stop` of a batch's conditioning, which make the same songs as within the batch."""

    def rows(x: Tensor) -> Tensor:
        return x[start:stop]

    def branch(told: Branch) -> Branch:
        groups, first = [], 0
        for group in told.states:
            groups.append(group[max(start - first, 0) : max(stop - first, 0)])
            first += len(group)
        return Branch(tuple(group for group in groups if len(group)), rows(told.context))

    hold = conditioning.hold
    if hold is not None:
        soft = None if hold.soft is None else rows(hold.soft)
        hold = replace(hold, clean=rows(hold.clean), region=rows(hold.region), soft=soft)
    return replace(
        conditioning,
        main=branch(conditioning.main),
        plain=None if conditioning.plain is None else branch(conditioning.plain),
        was=None if conditioning.was is None else branch(conditioning.was),
        source=None if conditioning.source is None else rows(conditioning.source),
        hold=hold,
        lyric_tokens=conditioning.lyric_tokens[start:stop],
    )


def states_in(conditioning: Conditioning) -> int:
    """How many encoder states there are in all branches; those that rows share count once."""
    branches = (conditioning.main, conditioning.plain, conditioning.was)
    groups = [group for branch in branches if branch is not None for group in branch.states]
    return sum((1 if group.stride(0) == 0 else len(group)) * group.shape[1] for group in groups)
