"""Some songs of a batch alone, for devices that cannot hold all of them at once; and several batches as one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from acestep_core.render.conditioned import Branch, Conditioning, Hold, side_by_side


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


def kind_of(conditioning: Conditioning) -> tuple[Any, ...]:
    """What must be equal, beside the model, for `joined` to take several."""
    hold = conditioning.hold
    return (
        conditioning.frames,
        conditioning.cover_strength,
        conditioning.start_strength,
        conditioning.morph,
        *(part is None for part in (conditioning.plain, conditioning.was, conditioning.source)),
        None if hold is None else (hold.settings, hold.soft is None),
    )


def joined(several: Sequence[Conditioning]) -> Conditioning:
    """Batches of one kind as one: the rows of the first, then those of the next. The inverse of `part_of`."""

    def branch(of: Callable[[Conditioning], Branch | None]) -> Branch | None:
        branches = [told for each in several if (told := of(each)) is not None]
        if not branches:
            return None
        known: dict[tuple[Any, ...], Tensor] = {}
        states: list[Tensor] = []
        for group in (group for told in branches for group in told.states):
            shared = group.stride(0) == 0 or len(group) == 1
            for row in group.split(1):  # rows that are one tensor stay one
                states.append(known.setdefault((row.data_ptr(), row.shape), row) if shared else row)
        return Branch(side_by_side(states), torch.cat([told.context for told in branches]))

    def held(hold: Hold) -> Hold:
        holds = [each.hold for each in several if each.hold is not None]
        soft = [each.soft for each in holds if each.soft is not None]
        clean, region = torch.cat([each.clean for each in holds]), torch.cat([each.region for each in holds])
        return Hold(clean, region, hold.settings, torch.cat(soft) if soft else None)

    first, main = several[0], branch(lambda each: each.main)
    assert main is not None
    sources = [each.source for each in several if each.source is not None]
    return replace(
        first,
        main=main,
        plain=branch(lambda each: each.plain),
        was=branch(lambda each: each.was),
        source=torch.cat(sources) if sources else None,
        hold=None if first.hold is None else held(first.hold),
        lyric_tokens=tuple(tokens for each in several for tokens in each.lyric_tokens),
        remarks=tuple(dict.fromkeys(remark for each in several for remark in each.remarks)),
    )
