from __future__ import annotations

import pytest
import torch

from acestep_core import devices
from acestep_core.errors import InvalidInput
from acestep_core.options import GUIDANCE_MODES
from acestep_core.render import guidance as g
from acestep_core.render.velocity import clamp, smooth
from tests.pretended_mps import pretended_mps

GENERATOR = torch.Generator().manual_seed(3)
COND, UNCOND, X = torch.randn(3, 2, 12, 64, generator=GENERATOR)


def decided(**settings):
    """Guidance with nothing left to a checkpoint's preset."""
    return g.Guidance(**{"scale": 7.0, "start": 0.0, "end": 1.0, **settings})


def test_settings_are_checked():
    for bad in (
        {"mode": "loud"},
        {"scale": -1.0},
        {"scale": float("nan")},
        {"start": 0.7, "end": 0.2},
        {"end": 1.5},
        {"eta": float("inf")},
    ):
        with pytest.raises(InvalidInput):
            g.Guidance(**bad)


def test_the_interval_is_on_flow_time():
    setting = decided(start=0.2, end=0.8)
    assert [setting.active(t) for t in (1.0, 0.8, 0.5, 0.2, 0.1)] == [False, True, True, True, False]
    assert not decided(scale=1.0).active(0.5)
    assert not g.OFF.enabled


def test_turbo_refuses_guidance():
    g.check_guidance(g.OFF, turbo=True)
    g.check_guidance(decided(scale=1.0), turbo=True)
    g.check_guidance(decided(), turbo=False)
    with pytest.raises(InvalidInput, match="turbo"):
        g.check_guidance(decided(), turbo=True)


@pytest.mark.parametrize("mode", [mode for mode in GUIDANCE_MODES if mode != "none"])
def test_a_device_without_double_precision_guides_as_well(mode):
    setting = decided(mode=mode)
    expected = g.guide(setting, COND, UNCOND, X, 0.9, g.Momentum())
    with pretended_mps(devices.MPS):
        found = g.guide(setting, COND, UNCOND, X, 0.9, g.Momentum())
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("mode", [mode for mode in GUIDANCE_MODES if mode != "none"])
def test_items_of_a_batch_do_not_see_each_other(mode):
    setting, memory = decided(mode=mode), g.Momentum()
    singles = [g.Momentum() for _ in COND]
    for t in (0.9, 0.6):
        batch = g.guide(setting, COND, UNCOND, X, t, memory)
        for i, single in enumerate(singles):
            one = slice(i, i + 1)
            alone = g.guide(setting, COND[one], UNCOND[one], X[one], t, single)
            torch.testing.assert_close(batch[one], alone, rtol=0, atol=1e-6)


@pytest.mark.parametrize("mode", GUIDANCE_MODES)
def test_nothing_to_guide_by_leaves_the_prediction(mode):
    """Equal branches: the guided velocity is the conditional one (ADG within its own small offset)."""
    got = g.guide(decided(mode=mode), COND, COND.clone(), X, 0.5, g.Momentum())
    assert torch.isfinite(got).all()
    torch.testing.assert_close(got, COND, rtol=1e-2, atol=2e-2)


def test_apg_removes_what_only_scales_the_prediction():
    got = g.apg(COND, 0.5 * COND, 7.0, norm_threshold=0)
    torch.testing.assert_close(got, COND, rtol=1e-5, atol=1e-5)


def test_momentum_is_per_run():
    memory = g.Momentum()
    first = g.apg(COND, UNCOND, 7.0, memory)
    second = g.apg(COND, UNCOND, 7.0, memory)
    assert not torch.equal(first, second)
    assert torch.equal(first, g.apg(COND, UNCOND, 7.0, g.Momentum()))


def test_adg_stays_finite_at_the_noisiest_and_the_last_step():
    for t in (1.0, 1e-3):
        assert torch.isfinite(g.adg(X, COND, UNCOND, t, 7.0)).all()
    assert g.corrector(decided(mode="adg"), 0.0).mode == "cfg"
    assert g.corrector(decided(mode="adg"), 0.5).mode == "adg"
    assert g.corrector(decided(mode="apg"), 0.5).mode == "cfg"
    for off in (decided(mode="none"), decided(scale=1.0), g.OFF):
        assert not g.corrector(off, 0.0).enabled, "what is off stays off"


def test_half_precision_keeps_its_dtype():
    for mode in GUIDANCE_MODES:
        got = g.guide(decided(mode=mode), COND.bfloat16(), UNCOND.bfloat16(), X.bfloat16(), 0.5, g.Momentum())
        assert got.dtype == torch.bfloat16


def test_the_clamp_bounds_each_item_alone():
    loud = COND * torch.tensor([100.0, 1.0]).view(2, 1, 1)
    got = clamp(loud, X, 2.0)
    limit = 2 * torch.linalg.vector_norm(X, dim=(1, 2))
    assert (torch.linalg.vector_norm(got, dim=(1, 2)) <= limit * 1.0001).all()
    torch.testing.assert_close(got[1], loud[1])
    assert clamp(loud, X, 0.0) is loud


def test_smoothing_mixes_with_the_last_velocity():
    assert smooth(COND, None, 0.3) is COND
    assert smooth(COND, UNCOND, 0.0) is COND
    torch.testing.assert_close(smooth(COND, UNCOND, 0.25), 0.75 * COND + 0.25 * UNCOND)
