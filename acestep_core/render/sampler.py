"""From noise to latents: the loop over flow times.

Order of a step, as upstream: velocity -> guidance -> clamp -> smoothing -> update -> wavelet correction -> injection of
the source. The state stays in fp32; only the network computes in the model's dtype. The loop waits for the device only
to be no more than a step ahead of it.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from acestep_core.devices import sent
from acestep_core.errors import InvalidInput
from acestep_core.models.dit import DiT
from acestep_core.models.graphs import RunAhead
from acestep_core.monitor import SILENT, Monitor
from acestep_core.options import Guidance, Sampling
from acestep_core.render.conditioned import Conditioning, Hold
from acestep_core.render.flows import Flow, flow_of
from acestep_core.render.guidance import OFF
from acestep_core.render.repaint import blend, inject, injection_steps
from acestep_core.render.schedule import Step, steps_of
from acestep_core.render.start import StartLatents
from acestep_core.render.wavelet import corrected

Method = Callable[[Flow, Tensor, Step], tuple[Tensor, Tensor]]
"""`method(flow, x, step)`: the state after the step and the clean estimate, `[B, T, 64]` each."""


def euler(flow: Flow, x: Tensor, step: Step) -> tuple[Tensor, Tensor]:
    """Straight on."""
    v = flow(x, step.now)
    return x - v * (step.now - step.then), x - step.now * v


def heun(flow: Flow, x: Tensor, step: Step) -> tuple[Tensor, Tensor]:
    """Straight on with the mean of the velocities at both ends, which calls the network twice."""
    v = flow(x, step.now)
    if not step.leaps:
        v = flow(x - v * (step.now - step.then), step.then, again=True)
    return x - v * (step.now - step.then), x - step.now * v


def sde(flow: Flow, x: Tensor, step: Step) -> tuple[Tensor, Tensor]:
    """To the clean estimate, and from there back to the next level with new noise."""
    clean = x - step.now * flow(x, step.now)
    return (step.then * flow.draw() + (1 - step.then) * clean if step.then > 0 else clean), clean


METHODS: dict[str, Method] = {"euler": euler, "heun": heun, "sde": sde}
"""A new sampler is a function and its line here; its name is one of `options.METHODS`."""
Integrator = Callable[[Callable[[Tensor, float], Tensor], Tensor, Tensor, Callable[[int, Tensor], None]], Tensor]
"""A sampler of somebody else, `integrator(clean, x, times, tick)`: from the state `x` `[B, T, 64]` through `times` to
the last one, by asking for the clean estimate `clean(x, t)`; `tick(step, estimate)` tells how far it is.
"""
RENOISING = ("sde",)
"""Methods that put new noise into the state."""


def check_morph(sampling: Sampling, varied: bool) -> None:
    """Refuses what has no meaning for a morph, whose state is a recording and not noise.

    Args:
        varied: whether the run is to begin with other noise than its seeds'.
    """
    if sampling.method in RENOISING:
        able = ", ".join(name for name in METHODS if name not in RENOISING)
        raise InvalidInput(f"A morph draws its own noise at each step, so {sampling.method} cannot run it; use {able}.")
    if varied:
        raise InvalidInput("A morph starts from its recording, not from noise; set the variation to 0.")


@torch.inference_mode()
def sample(
    decoder: DiT,
    conditioning: Conditioning,
    noise: Tensor,
    times: Tensor,
    draw: Callable[[], Tensor],
    guidance: Guidance = OFF,
    sampling: Sampling = Sampling(),  # noqa: B008
    monitor: Monitor = SILENT,
    *,
    turbo: bool | None = None,
    begin: StartLatents | None = None,
    integrator: Integrator | None = None,
) -> Tensor:
    """Runs a schedule. Where it ends above 0, the state at that time comes out, in which noise is left.

    Args:
        decoder: on its device; conditioning is moved there.
        noise: initial noise `[B, T, 64]` fp32.
        times: fp32, falling, see `schedule`.
        draw: new noise `[B, T, 64]` in main memory at every call, for `sde` and morphs.
        monitor: gets stage `sample` once per step; its preview is the current clean estimate `[B, T, 64]`.
        turbo: whether the decoder leaps to the clean estimate in its last step; None asks its config.
        begin: latents to start from, beside the decoder's weights; None starts from noise, or as `conditioning` tells.
        integrator: takes the place of the method; steps and corrections of this loop then have no part in it.

    Returns:
        Latents `[B, T, 64]` fp32 on the decoder's device.
    """
    weight = decoder.condition_embedder.weight
    told, noise = conditioning.beside(weight), noise.to(weight.device, torch.float32)
    clamp_at, ema = sampling.velocity_clamp, sampling.velocity_ema
    flow = flow_of(decoder, told, guidance, clamp_at, ema, lambda: sent(draw(), weight.device))
    advance = METHODS[sampling.method]
    if begin is None:
        x, times = flow.start(noise, times)
    else:
        x = begin.state(noise, float(times[0]))
    steps = steps_of(times, decoder.config.is_turbo if turbo is None else turbo)
    ahead = RunAhead(weight.device)

    def tell(index: int, clean: Tensor) -> None:
        ahead.wait()
        monitor.tick("sample", index + 1, len(times) - 1, clean.clone)

    if integrator is not None:
        x = _integrated(integrator, flow, x, times, noise, told.hold, begin, tell)
    for step in steps if integrator is None else ():
        x = flow.enter(x, step)
        x, clean = advance(flow, x, step)  # guides, clamps, smooths
        x = correct(sampling, x, clean, step)
        x = hold(told.hold, x, noise, step)
        x = x if begin is None else begin.kept(x, noise, step.then)
        tell(step.index, clean)
    left = steps[-1].then if steps else 0.0
    return blended(told.hold, x) if left == 0 else x


def _integrated(
    integrator: Integrator,
    flow: Flow,
    x: Tensor,
    times: Tensor,
    noise: Tensor,
    held: Hold | None,
    begin: StartLatents | None,
    tell: Callable[[int, Tensor], None],
) -> Tensor:
    """The state after somebody else's sampler. What is to stay is put back before and after each look."""
    visited, count = times.tolist(), len(times) - 1

    def back(x: Tensor, t: float, step: Step) -> Tensor:
        if held is not None and step.index <= injection_steps(held.settings, count):
            x = inject(x, held.clean, held.region, t, noise)
        return x if begin is None else begin.kept(x, noise, t)

    def clean(x: Tensor, t: float) -> Tensor:
        step = Step(min(sum(t < time for time in visited), count - 1), count, t, t)
        x = back(flow.enter(x, step), t, step)
        return back(x - t * flow(x, t), 0.0, step)

    x = integrator(clean, x, times, tell)
    return x if begin is None else begin.kept(x, noise, visited[-1])


def correct(sampling: Sampling, x: Tensor, clean: Tensor, step: Step) -> Tensor:
    """The state after a step with its slow and fast parts corrected."""
    if sampling.wavelet == "off":
        return x
    return corrected(x, clean, step.now, sampling.wavelet, sampling.wavelet_low, sampling.wavelet_high)


def hold(held: Hold | None, x: Tensor, noise: Tensor, step: Step) -> Tensor:
    """The state after a step with the source back outside the region, at the first steps; not after a leap."""
    if held is None or step.leaps or step.index >= injection_steps(held.settings, step.count):
        return x
    return inject(x, held.clean, held.region, step.then, noise)


def blended(held: Hold | None, x: Tensor) -> Tensor:
    """The made latents, led over to the source at the border of the region."""
    return x if held is None or held.soft is None else blend(x, held.clean, held.soft)
