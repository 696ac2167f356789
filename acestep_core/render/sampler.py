"""From noise to latents: the loop over flow times.

Order of a step, as upstream: velocity -> guidance -> clamp -> smoothing -> update -> wavelet
correction -> injection of the source. The state
stays in fp32; only the network computes in the model's dtype.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Literal

import torch
from torch import Tensor

from acestep_core.errors import InvalidInput
from acestep_core.models.dit import DiT, Prepared
from acestep_core.monitor import SILENT, Monitor
from acestep_core.render.flow_edit import FlowEdit
from acestep_core.render.guidance import OFF, Guidance, Momentum, guide
from acestep_core.render.repaint import RepaintSettings, blend, inject, injection_steps
from acestep_core.render.schedule import switch_step, truncated
from acestep_core.render.velocity import clamp_velocity, smooth_velocity
from acestep_core.render.wavelet import WaveletCorrection

Method = Literal["euler", "heun", "sde"]
METHODS: tuple[Method, ...] = ("euler", "heun", "sde")


@dataclass(frozen=True)
class Sampling:
    """How the flow is integrated.

    Attributes:
        method: `euler`; `heun`, which calls the network twice a step; `sde`, which draws new noise at every step.
        velocity_clamp: longest velocity relative to the state, 0 for no limit (upstream suggests 2).
        velocity_ema: share of the previous velocity mixed in, 0 for none (upstream suggests 0.1).
        wavelet: correction after each step, see `wavelet`; None for none.
    """

    method: Method = "euler"
    velocity_clamp: float = 0.0
    velocity_ema: float = 0.0
    wavelet: WaveletCorrection | None = None

    def __post_init__(self) -> None:
        if self.method not in METHODS:
            raise InvalidInput(f"Unknown sampler {self.method!r}; choose one of {', '.join(METHODS)}.")
        if not (math.isfinite(self.velocity_clamp) and self.velocity_clamp >= 0):
            raise InvalidInput(f"The velocity clamp must be 0 (off) or above, not {self.velocity_clamp}; 2 is usual.")
        if not 0 <= self.velocity_ema < 1:
            raise InvalidInput(
                f"The velocity smoothing must be from 0 to below 1, not {self.velocity_ema}; 0.1 is usual."
            )


@dataclass(frozen=True, eq=False)
class Branch:
    """One way to tell the DiT what to play.

    Attributes:
        states: encoder states `[n_i, S_i, D]` that together make the B rows; different lengths are never padded.
        context: source latents and chunk mask `[B, T, 128]`.
    """

    states: tuple[Tensor, ...]
    context: Tensor


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
        morph: how to move `source`, which `was` describes, to `main` (flow-edit); None to start from noise.
        lyric_tokens: token ids of each row's lyrics, which are the first states of that row (for timing lyrics).
    """

    main: Branch
    null: Tensor
    plain: Branch | None = None
    cover_strength: float = 1.0
    source: Tensor | None = None
    start_strength: float = 0.0
    hold: Hold | None = None
    was: Branch | None = None
    morph: FlowEdit | None = None
    lyric_tokens: tuple[tuple[int, ...], ...] = ()

    @property
    def batch(self) -> int:
        return self.main.context.shape[0]

    @property
    def frames(self) -> int:
        return self.main.context.shape[1]

    def repeated(self, batch: int) -> Conditioning:
        """One row for each of `batch` items; a conditioning that has as many rows already stays as it is."""
        if self.batch == batch:
            return self
        if self.batch != 1:
            raise InvalidInput(f"The conditioning has {self.batch} rows for {batch} seeds; give one seed for each row.")

        def rows(x: Tensor) -> Tensor:
            return x.expand(batch, *x.shape[1:])

        def branch(b: Branch) -> Branch:
            return Branch(tuple(rows(s) for s in b.states), rows(b.context))

        hold = self.hold
        if hold is not None:
            soft = rows(hold.soft) if hold.soft is not None else None
            hold = Hold(rows(hold.clean), rows(hold.region), hold.settings, soft)
        return replace(
            self,
            main=branch(self.main),
            plain=branch(self.plain) if self.plain is not None else None,
            source=rows(self.source) if self.source is not None else None,
            was=branch(self.was) if self.was is not None else None,
            hold=hold,
            lyric_tokens=self.lyric_tokens * batch,
        )


@dataclass
class VelocityField:
    """The guided velocity of one run, with what guidance remembers between steps."""

    decoder: DiT
    guidance: Guidance
    null: Tensor
    memory: Momentum = field(default_factory=Momentum)

    def use(self, branch: Branch) -> None:
        """Takes keys, values and context of `branch` from here on."""
        frames = branch.context.shape[1]
        self.context = branch.context
        self.conditional = self.decoder.prepare(branch.states, frames)
        self.both: Prepared | None = None
        if self.guidance.enabled:
            # All rows of the null branch attend to equal keys, so one key gives the same result as many.
            null = self.null.to(branch.states[0]).expand(branch.context.shape[0], -1, -1)
            self.both = self.conditional.joined(self.decoder.prepare(null, frames))

    def predict(self, x: Tensor, t: float, guided: bool) -> tuple[Tensor, Tensor | None]:
        """Conditional and, if `guided`, null velocity `[B, T, 64]` fp32, both from one forward."""
        if self.both is None or not guided:
            return self._forward(x, t, self.context, self.conditional), None
        cond, null = self._forward(torch.cat([x, x]), t, torch.cat([self.context, self.context]), self.both).chunk(2)
        return cond, null

    def __call__(self, x: Tensor, t: float, guidance: Guidance) -> Tensor:
        """Velocity `[B, T, 64]` fp32 at `x` `[B, T, 64]`, flow time `t`."""
        cond, null = self.predict(x, t, guidance.active(t))
        return cond if null is None else guide(guidance, cond, null, x, t, self.memory)

    def _forward(self, x: Tensor, t: float, context: Tensor, prepared: Prepared) -> Tensor:
        time = torch.full((x.shape[0],), t, dtype=context.dtype, device=context.device)
        return self.decoder(x.to(context.dtype), time, context, prepared).float()


@torch.inference_mode()
def sample(
    decoder: DiT,
    conditioning: Conditioning,
    noise: Tensor,
    times: Tensor,
    guidance: Guidance = OFF,
    sampling: Sampling = Sampling(),
    redraw: Callable[[], Tensor] | None = None,
    monitor: Monitor = SILENT,
    *,
    turbo: bool | None = None,
) -> Tensor:
    """Runs the whole schedule.

    Args:
        decoder: on its device; conditioning is moved there.
        noise: initial noise `[B, T, 64]` fp32.
        times: fp32, falling, see `schedule`.
        redraw: new noise `[B, T, 64]` for every step of `sde`.
        monitor: gets stage `sample` once per step; its preview is the current clean estimate `[B, T, 64]`.
        turbo: whether the decoder jumps to the clean estimate in its last step; None asks its config.

    Returns:
        Latents `[B, T, 64]` fp32 in main memory.
    """
    turbo = decoder.config.is_turbo if turbo is None else turbo
    weight = decoder.condition_embedder.weight
    conditioning = moved(conditioning, weight)
    noise = noise.to(weight.device, torch.float32)
    times = truncated(times, conditioning.start_strength) if conditioning.source is not None else times
    t = times.tolist()
    steps = len(t) - 1
    switch = switch_step(steps, conditioning.cover_strength) if conditioning.plain is not None else steps
    hold = conditioning.hold
    held = injection_steps(hold.settings, steps) if hold is not None else 0

    velocity = VelocityField(decoder, guidance, conditioning.null)
    velocity.use(conditioning.main)
    x, previous = noise, None
    if conditioning.source is not None and conditioning.start_strength > 0:
        x = t[0] * noise + (1 - t[0]) * conditioning.source
    for step in range(steps):
        if step == switch and conditioning.plain is not None:
            velocity.use(conditioning.plain)
        now, then = t[step], t[step + 1]
        v = smooth_velocity(
            clamp_velocity(velocity(x, now, guidance), x, sampling.velocity_clamp), previous, sampling.velocity_ema
        )
        last = step == steps - 1
        # Turbo jumps to the clean estimate at the end: no corrector there, and the source is not put back.
        if sampling.method == "heun" and not (last and turbo):
            ahead = x - v * (now - then)
            second = clamp_velocity(velocity(ahead, then, guidance.corrector(then)), ahead, sampling.velocity_clamp)
            v = (v + smooth_velocity(second, v, sampling.velocity_ema)) / 2
        estimate = x - now * v
        if sampling.method == "sde" and then > 0:
            if redraw is None:
                raise ValueError("the sde method needs redraw")
            x = then * redraw().to(x) + (1 - then) * estimate
        else:
            x = x - v * (now - then)
        previous = v
        if sampling.wavelet is not None:
            x = sampling.wavelet.apply(x, estimate, now)
        if hold is not None and step < held and not (last and turbo):
            x = inject(x, hold.clean, hold.region, then, noise)
        monitor.tick("sample", step + 1, steps, estimate.clone)
    if hold is not None and hold.soft is not None:
        x = blend(x, hold.clean, hold.soft)
    return x.cpu()


def moved(conditioning: Conditioning, weight: Tensor) -> Conditioning:
    """The conditioning on the device of `weight`; what the network reads also in its dtype."""

    def state(s: Tensor) -> Tensor:  # keeps rows that share one tensor shared
        return s[:1].to(weight).expand_as(s) if s.stride(0) == 0 else s.to(weight)

    def branch(b: Branch) -> Branch:
        return Branch(tuple(state(s) for s in b.states), b.context.to(weight))

    hold = conditioning.hold
    if hold is not None:
        soft = hold.soft.to(weight.device) if hold.soft is not None else None
        hold = Hold(hold.clean.to(weight.device).float(), hold.region.to(weight.device), hold.settings, soft)
    return replace(
        conditioning,
        main=branch(conditioning.main),
        null=conditioning.null.to(weight),
        plain=branch(conditioning.plain) if conditioning.plain is not None else None,
        source=conditioning.source.to(weight.device).float() if conditioning.source is not None else None,
        was=branch(conditioning.was) if conditioning.was is not None else None,
        hold=hold,
    )
