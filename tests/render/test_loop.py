"""The sampling loop, step by step, with a decoder small enough to reckon with; and that it never waits for a device."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch.overrides import TorchFunctionMode
from torch.testing import assert_close

from acestep_core import options
from acestep_core.models.config import AceStepConfig
from acestep_core.models.dit import DiT
from acestep_core.monitor import SILENT, Monitor
from acestep_core.options import GUIDANCE_MODES, Guidance, Morph, Sampling
from acestep_core.render import sampler
from acestep_core.render.conditioned import Branch, Conditioning, Hold
from acestep_core.render.guidance import OFF
from acestep_core.render.repaint import region_mask, repaint_settings
from acestep_core.render.sampler import METHODS, sample
from acestep_core.render.wavelet import corrected
from tests.render.toys import FRAMES, ToyDecoder, latents, towards

GOAL, OTHER, NOISE, SOURCE = latents(1), latents(2), latents(3), latents(4)
NOTHING = torch.zeros(1, 1, 64)
TIMES = torch.tensor([1.0, 0.75, 0.5, 0.25, 0.0])
REGION = region_mask((2, 4), FRAMES)


def nothing():
    pytest.fail("nothing should be drawn")


def run(told=None, *, decoder=None, times=TIMES, guidance=OFF, turbo=False, draw=nothing, monitor=SILENT, **sampling):
    told, decoder = told or Conditioning(towards(GOAL), NOTHING), decoder or ToyDecoder()
    return sample(decoder, told, NOISE, times, draw, guidance, Sampling(**sampling), monitor, turbo=turbo)


@pytest.mark.parametrize("turbo", [False, True])
def test_euler_and_heun_reach_what_the_decoder_knows(turbo):
    assert_close(run(turbo=turbo), GOAL)
    decoder = ToyDecoder(bend=1.0)
    got = run(decoder=decoder, method="heun", turbo=turbo)
    times = TIMES[:-1].tolist()
    twice = [t for now, then in zip(times, TIMES[1:].tolist(), strict=True) for t in (now, then)]
    if turbo:  # leaps to the clean estimate
        assert_close(got, GOAL)
        assert [t for t, _ in decoder.calls] == twice[:-1]
    else:  # the second look of the last step finds itself at the goal, and so takes half of the way back
        assert [t for t, _ in decoder.calls] == twice
        assert_close(got, GOAL + 0.25 * (NOISE - GOAL) / 2)


def test_sde_goes_back_to_each_level_with_new_noise():
    draws = [latents(seed) for seed in (10, 11, 12)]
    decoder, left = ToyDecoder(), iter(draws)
    assert_close(run(decoder=decoder, method="sde", draw=lambda: next(left)), GOAL)
    for t, noise, state in zip((0.75, 0.5, 0.25), draws, decoder.seen[1:], strict=True):
        assert_close(state, t * noise + (1 - t) * GOAL)
    assert next(left, None) is None, "and none for the last, where no noise is left"


def test_a_sampler_is_one_function_in_one_place(monkeypatch):
    def straight(flow, x, step):
        clean = x - step.now * flow(x, step.now)
        return (clean if step.then == 0 else x), clean

    monkeypatch.setitem(sampler.METHODS, "sde", straight)
    assert_close(run(method="sde"), GOAL)  # draws nothing


def test_every_sampler_is_offered_and_every_one_offered_is_there():
    assert tuple(METHODS) == options.METHODS


def test_the_text_takes_over_when_its_share_of_the_steps_is_reached():
    cover = Conditioning(towards(GOAL), NOTHING, plain=towards(OTHER))
    assert_close(run(cover), GOAL)
    assert_close(run(replace(cover, cover_strength=0.0)), OTHER)
    half = Conditioning(towards(GOAL), NOTHING, plain=towards(OTHER), cover_strength=0.5)
    middle = NOISE - 0.5 * (NOISE - GOAL)  # after two of four steps
    assert_close(run(half, times=TIMES), OTHER)
    assert_close(run(half, method="heun", turbo=True), OTHER)
    seen = []
    run(half, monitor=Monitor(lambda *args: seen.append(args[3]())))
    for got, want in zip(seen, (GOAL, GOAL, OTHER, OTHER), strict=True):
        assert_close(got, want, rtol=1e-4, atol=1e-4)
    assert_close(run(half, times=torch.tensor([1.0, 0.5, 0.0]), velocity_ema=0.5), middle - 0.5 * (
        0.5 * (middle - OTHER) / 0.5 + 0.5 * (NOISE - GOAL)))  # fmt: skip


def test_a_start_near_the_source_mixes_it_into_the_noise():
    near = Conditioning(towards(GOAL), NOTHING, source=SOURCE, start_strength=0.5)
    decoder = ToyDecoder()
    seen = []
    run(near, decoder=decoder, method="sde", draw=lambda: NOISE, monitor=Monitor(lambda *args: seen.append(args[1:3])))
    assert [t for t, _ in decoder.calls] == [0.5, 0.25] and seen == [(1, 2), (2, 2)]
    once = run(near, times=torch.tensor([0.5, 0.0]), guidance=Guidance("cfg", 2.0))
    assert_close(once, GOAL * 2)  # null is 0, so twice the way past it, from wherever it started
    clamped = run(near, times=torch.tensor([0.5, 0.0]), velocity_clamp=1e-6)
    assert_close(clamped, 0.5 * NOISE + 0.5 * SOURCE, rtol=1e-4, atol=1e-4)
    assert_close(run(replace(near, start_strength=0.0), velocity_clamp=1e-6), NOISE, rtol=1e-4, atol=1e-4)


def held(ratio_mode, soft=None, strength=0.5):
    settings = repaint_settings(ratio_mode, strength)
    return Conditioning(towards(GOAL), NOTHING, hold=Hold(SOURCE, REGION, settings, soft))


def test_the_source_is_put_back_at_its_share_of_the_steps_and_after_the_correction():
    outside = ~REGION[0]
    got = run(held("conservative"), wavelet="pix", wavelet_low=0.5)
    assert torch.equal(got[:, outside], SOURCE[:, outside])
    assert not torch.allclose(got[:, REGION[0]], SOURCE[:, REGION[0]], atol=1e-2)
    assert_close(run(held("aggressive")), GOAL)
    assert_close(run(held("conservative"), turbo=True)[:, outside], GOAL[:, outside], msg="a leap is not put back")
    slow = run(held("balanced", strength=0.75), velocity_clamp=1e-6)  # one of four steps is held
    assert_close(slow[:, outside], (0.75 * NOISE + 0.25 * SOURCE)[:, outside], rtol=1e-4, atol=1e-4)
    assert_close(slow[:, REGION[0]], NOISE[:, REGION[0]], rtol=1e-4, atol=1e-4)


def test_the_border_is_blended_last():
    soft = torch.linspace(0, 1, FRAMES)[None]
    got = run(held("aggressive", soft))
    assert_close(got, soft[..., None] * GOAL + (1 - soft[..., None]) * SOURCE)


def test_the_correction_reads_the_flow_time_and_the_clean_estimate():
    correction = {"wavelet": "low", "wavelet_low": 0.3}
    got = run(times=torch.tensor([0.96, 0.5, 0.0]), **correction, velocity_clamp=1e-6)
    first = corrected(NOISE, NOISE, 0.96, "low", 0.3, 0.0)
    assert_close(got, first, rtol=1e-4, atol=1e-4)
    decoder = ToyDecoder()
    run(times=torch.tensor([1.0, 0.5, 0.0]), **correction, decoder=decoder)
    assert_close(decoder.seen[1], corrected(NOISE - 0.5 * (NOISE - GOAL), GOAL, 1.0, "low", 0.3, 0.0))


def test_heun_guides_its_second_look_without_moving_the_momentum():
    decoder = ToyDecoder()
    run(decoder=decoder, method="heun", guidance=Guidance("apg", 3.0, 0.4, 0.8))
    assert [rows for _, rows in decoder.calls] == [1, 2, 2, 2, 2, 1, 1, 1], "guided at 0.75 and 0.5 only"


def test_the_clamp_comes_before_smoothing():
    """Each velocity is clamped to the state's length; what was kept of the last one is not clamped again."""
    half = Conditioning(towards(GOAL * 100), NOTHING, plain=towards(OTHER), cover_strength=0.5)
    times = torch.tensor([1.0, 0.5, 0.0])

    def clamp(v, x):
        return v * min(1.0, 0.5 * float(x.norm() / v.norm()))

    first = clamp(NOISE - GOAL * 100, NOISE)
    x = NOISE - 0.5 * first
    second = 0.25 * clamp((x - OTHER) / 0.5, x) + 0.75 * first
    assert_close(run(half, times=times, velocity_clamp=0.5, velocity_ema=0.75), x - 0.5 * second)


class Crossings(TorchFunctionMode):
    """Counts what goes from main memory to the device; whatever comes back cannot, on the meta device."""

    count = 0

    def __torch_function__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        if isinstance(out, torch.Tensor) and out.is_meta:
            here = any(isinstance(x, torch.Tensor) and x.device.type == "cpu" for x in args)
            self.count += here or func in (torch.tensor, torch.as_tensor)
        return out


CONFIG = AceStepConfig(
    hidden_size=32, intermediate_size=32, num_hidden_layers=1, num_attention_heads=2, num_key_value_heads=1,
    head_dim=16, layer_types=("sliding_attention",), sliding_window=4,
)  # fmt: skip
RUNS = [("cover", "euler", mode) for mode in GUIDANCE_MODES if mode != "adg"]
RUNS += [(kind, method, "adg") for kind in ("cover", "repaint", "morph") for method in METHODS]
RUNS.remove(("morph", "sde", "adg"))


@pytest.mark.parametrize(("kind", "method", "mode"), RUNS)
def test_nothing_in_the_loop_waits_for_the_device(kind, method, mode):
    with torch.device("meta"):
        decoder = DiT(CONFIG).bfloat16()
    told = Branch((torch.zeros(1, 5, 32).expand(2, -1, -1),), torch.zeros(2, 16, 128))
    conditioning = Conditioning(told, torch.zeros(1, 1, 32), plain=replace(told), cover_strength=0.5)
    clean = torch.zeros(2, 16, 64)
    if kind == "repaint":
        region = region_mask((4, 8), 16).expand(2, -1)
        conditioning = replace(conditioning, hold=Hold(clean, region, repaint_settings(), region.float()))
    if kind == "morph":
        conditioning = replace(conditioning, source=clean, was=told, morph=Morph(end=0.5, average=2))
    draws, ticks = [], []
    crossings = Crossings()

    def draw():
        draws.append(crossings.count)
        return torch.randn(2, 16, 64)

    def watch(stage, done, total, preview):
        ticks.append(crossings.count - len(draws))
        assert preview().is_meta

    sampling = Sampling(method, 1.0, 0.1, wavelet="double")
    noise, times = torch.randn(2, 16, 64), torch.tensor([1.0, 0.8, 0.6, 0.3, 0.0])
    with crossings:
        got = sample(decoder, conditioning, noise, times, draw, Guidance(mode, 4.0), sampling, Monitor(watch))
    assert got.is_meta and got.dtype == torch.float32
    assert len(ticks) == 4 and len(set(ticks)) == 1, "but for the draws, all is there before the first step"
