"""What a run follows, as values: told ways to play, what must stay, and where it starts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from acestep_core.errors import InvalidInput
from acestep_core.options import Morph
from acestep_core.render.repaint import RepaintSettings

Change = Callable[[Tensor], Tensor]


@dataclass(frozen=True, eq=False)
class Branch:
    """One way to tell the DiT what to play.

    Attributes:
        states: encoder states `[n_i, S_i, D]` that together make the B rows; different lengths are never padded.
        context: source latents and chunk mask `[B, T, 128]`.
    """

    states: tuple[Tensor, ...]
    context: Tensor

    def changed(self, change: Change) -> Branch:
        return Branch(tuple(change(s) for s in self.states), change(self.context))


def side_by_side(rows: Sequence[Tensor]) -> tuple[Tensor, ...]:
    """Groups neighbouring rows `[1, S, D]` of equal length; rows that are one tensor become one expanded tensor, which
    the DiT projects once.
    """
    groups: list[list[Tensor]] = []
    for row in rows:
        if groups and groups[-1][0].shape == row.shape:
            groups[-1].append(row)
        else:
            groups.append([row])
    return tuple(
        group[0].expand(len(group), -1, -1) if all(row is group[0] for row in group) else torch.cat(group)
        for group in groups
    )


@dataclass(frozen=True, eq=False)
class Hold:
    """What repaint keeps: the source outside the region.

    Attributes:
        clean: latents of the source `[B, T, 64]`.
        region: bool `[B, T]`, True where music is made anew.
        settings: how closely sampling is held to the source.
        soft: fp32 `[B, T]`, the share of the made latents in the final blend; None for no blend.
    """

    clean: Tensor
    region: Tensor
    settings: RepaintSettings
    soft: Tensor | None = None

    def changed(self, change: Change) -> Hold:
        soft = change(self.soft) if self.soft is not None else None
        return Hold(change(self.clean), change(self.region), self.settings, soft)


@dataclass(frozen=True, eq=False)
class Conditioning:
    """Everything the sampler reads besides noise and schedule.

    Attributes:
        main: what to play.
        null: the learned "nothing" `[1, 1, D]` of guidance.
        plain: text to music without the source, which takes over once `cover_strength` of the steps are done.
        cover_strength: share of the steps that see the source.
        source: latents `[B, T, 64]` to start from, and `start_strength` how near to them (0 starts from noise alone).
        hold: what must stay, for repaint, extend and lego.
        morph: how to move `source`, which `was` describes, to `main` (flow-edit); None for no morph.
        lyric_tokens: token ids of each row's lyrics, which are the first states of that row (for timing lyrics).
        remarks: what of the songs is not read, one sentence each.
    """

    main: Branch
    null: Tensor
    plain: Branch | None = None
    cover_strength: float = 1.0
    source: Tensor | None = None
    start_strength: float = 0.0
    hold: Hold | None = None
    was: Branch | None = None
    morph: Morph | None = None
    lyric_tokens: tuple[tuple[int, ...], ...] = ()
    remarks: tuple[str, ...] = ()

    @property
    def batch(self) -> int:
        return self.main.context.shape[0]

    @property
    def frames(self) -> int:
        return self.main.context.shape[1]

    @property
    def starts_from_noise(self) -> bool:
        """Whether nothing of the source is in the first state."""
        return self.morph is None and (self.source is None or self.start_strength == 0)

    def repeated(self, batch: int) -> Conditioning:
        """One row for each of `batch` items; a conditioning that has as many rows already stays as it is."""
        if self.batch == batch:
            return self
        if self.batch != 1:
            raise InvalidInput(f"The conditioning has {self.batch} rows for {batch} seeds; give one seed for each row.")

        def rows(x: Tensor) -> Tensor:
            return x.expand(batch, *x.shape[1:])

        return replace(self._changed(rows, rows), lyric_tokens=self.lyric_tokens * batch)

    def beside(self, weight: Tensor) -> Conditioning:
        """The same on the device of `weight`: what the network reads in its dtype, latents in fp32."""

        def read(x: Tensor) -> Tensor:  # keeps rows that share one tensor shared
            return x[:1].to(weight).expand_as(x) if x.stride(0) == 0 else x.to(weight)

        def kept(x: Tensor) -> Tensor:
            return x.to(weight.device, torch.float32 if x.is_floating_point() else x.dtype)

        return replace(self._changed(read, kept), null=self.null.to(weight))

    def _changed(self, read: Change, kept: Change) -> Conditioning:
        """Every tensor with rows, changed: `read` those that the network reads, `kept` the others."""
        return replace(
            self,
            main=self.main.changed(read),
            plain=self.plain.changed(read) if self.plain is not None else None,
            was=self.was.changed(read) if self.was is not None else None,
            source=kept(self.source) if self.source is not None else None,
            hold=self.hold.changed(kept) if self.hold is not None else None,
        )
