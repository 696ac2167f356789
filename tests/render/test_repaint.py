from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from acestep_core.errors import InvalidInput
from acestep_core.render import repaint as r
from acestep_core.vocabulary import HOP, SAMPLE_RATE

SECOND = SAMPLE_RATE


def audio(samples, seed, smooth=64):
    """Stereo sound without jumps: noise, averaged over `smooth` samples, at a quarter of full scale."""
    noise = torch.randn(1, 2, samples + smooth, generator=torch.Generator().manual_seed(seed))
    sound = torch.nn.functional.avg_pool1d(noise, smooth, 1)[0, :, :samples]
    return sound / sound.abs().max() / 4


def check_seams(wave, seams, reach=2400):
    """Level and slope at each seam stay within what the neighbouring samples do."""
    slopes = wave.diff()
    for seam in seams:
        around = slopes[:, max(0, seam - reach) : seam + reach].clone()
        at = min(seam, reach) - 1
        step = around[:, at].abs().max()
        around[:, at] = 0
        assert step <= around.abs().max(), (
            f"a step of {step:.5f} at sample {seam}, beside at most {around.abs().max():.5f}"
        )


def test_where_a_seam_lies_and_how_wide_it_is():
    assert r.seam_width("balanced", 0.5) == (0.025, 0.0)
    assert r.seam_width("aggressive", 0.5) == (r.MIN_CROSSFADE, 0.0), "never a click"
    assert r.seam_width("balanced", 0.5, keep_outside=False) == (0.0, 12 / 25)
    assert r.seam_width("conservative", 0.5, keep_outside=False) == (0.0, 1.0)


def test_settings_follow_the_mode():
    assert r.repaint_settings("balanced", 0.0) == r.repaint_settings("conservative")
    assert r.repaint_settings("balanced", 1.0) == r.repaint_settings("aggressive")
    assert r.repaint_settings("balanced", 0.5) == r.RepaintSettings(0.5, 12, 0.025)
    with pytest.raises(InvalidInput):
        r.repaint_settings("bold")
    with pytest.raises(InvalidInput):
        r.repaint_settings("balanced", float("nan"))


@settings(max_examples=300)
@given(
    start=st.floats(-700, 700),
    end=st.one_of(st.none(), st.floats(-10, 700)),
    samples=st.integers(HOP, 600 * SECOND),
)
def test_any_region_lies_on_its_canvas_or_is_refused(start, end, samples):
    try:
        region = r.region_of(start, end, samples)
    except InvalidInput:
        return
    assert 0 <= region.start < region.end <= region.samples <= 600 * SECOND + 1
    assert region.samples == region.left + samples + region.right
    total = -(-region.samples // HOP)
    first, last = region.frames(total)
    assert 0 <= first < last <= total
    assert first * HOP <= region.start, "what is made anew is sampled from its first sample on"
    if region.end == region.samples:
        assert last == total


@pytest.mark.parametrize(
    ("start", "end"), [(3.0, 2.0), (2.0, 2.0), (11.0, 12.0), (float("nan"), 2.0), (0.0, float("inf")), (-600.0, 5.0)]
)
def test_regions_without_sense_are_refused(start, end):
    with pytest.raises(InvalidInput):
        r.region_of(start, end, 10 * SECOND)


def test_extension_meets_the_source_to_the_sample():
    samples = 7 * SECOND + 123
    before, after = r.extension_of(1.5, 2.25, samples)
    assert (before.start, before.end) == (0, before.left)
    assert (after.start, after.end) == (after.left + samples, after.samples)
    assert before.samples == after.samples == samples + round(3.75 * SECOND)
    total = -(-before.samples // HOP)
    assert before.frames(total)[1] * HOP >= before.end, "no silent frame before the source"
    assert after.frames(total)[0] * HOP <= after.start, "nor after it"
    assert [region.left for region in r.extension_of(0, 3, samples)] == [0]
    for bad in ((0, 0), (-1, 3), (float("nan"), 1), (300, 300)):
        with pytest.raises(InvalidInput):
            r.extension_of(*bad, samples)


def test_injection_keeps_only_the_outside():
    x, clean, noise = torch.randn(3, 2, 10, 64)
    mask = r.region_mask((3, 6), 10).expand(2, -1)
    got = r.inject(x, clean, mask, 0.25, noise)
    assert torch.equal(got[:, 3:6], x[:, 3:6])
    torch.testing.assert_close(got[:, :3], 0.25 * noise[:, :3] + 0.75 * clean[:, :3])
    assert torch.equal(r.inject(x, clean, mask, 0.0, noise)[:, 6:], clean[:, 6:])


def test_blend_is_made_inside_and_source_far_outside():
    made, clean = torch.randn(2, 1, 40, 64)
    soft = r.soft_mask(r.region_mask((15, 25), 40), 5)
    got = r.blend(made, clean, soft)
    assert torch.equal(got[:, 15:25], made[:, 15:25])
    assert torch.equal(got[:, :10], clean[:, :10]) and torch.equal(got[:, 30:], clean[:, 30:])
    assert (soft[0, 10:16].diff() > 0).all() and (soft[0, 24:30].diff() < 0).all()


CASES = {
    "inside": (2.0, 4.5),
    "at the beginning": (0.0, 2.0),
    "to the end": (4.0, None),
    "before the beginning": (-1.3, 2.0),
    "beyond the end": (5.0, 9.1),
    "nearly at the end, beyond": (7.0 - 1 / SECOND, 9.0),
    "appended": (7.0, 9.0),
    "short": (3.0, 3.01),
    "one sample": (3.0, 3.0 + 1.5 / SECOND),
}


@pytest.mark.parametrize("loud", [1.0, 8.0], ids=["soft", "too loud"])
@pytest.mark.parametrize("case", CASES)
def test_splice_keeps_the_outside_and_has_no_step(case, loud):
    samples = 7 * SECOND
    region = r.region_of(*CASES[case], samples)
    source = region.pad(audio(samples, 1))
    made = audio(region.samples + 700, 2) * 4 * loud
    out = r.Splice(source, (region,), 0.025).apply(made)

    assert out.shape == source.shape
    kept = torch.ones(region.samples, dtype=torch.bool)
    kept[region.start : region.end] = False
    assert torch.equal(out[:, kept].view(torch.int32), source[:, kept].view(torch.int32)), "bit for bit"
    inside = out[:, region.start : region.end]
    assert inside.abs().max() <= 1
    if region.end - region.start > 4 * 1200:
        middle = (region.start + region.end) // 2
        gain = made[:, region.start : region.end].abs().max().clamp_min(1)
        torch.testing.assert_close(out[:, middle], made[:, middle] / gain)
    check_seams(out, [seam for seam in (region.start, region.end) if 0 < seam < region.samples])


def test_extension_on_both_sides_keeps_the_whole_source():
    samples = 3 * SECOND + 77
    regions = r.extension_of(1.0, 1.0, samples)
    sound = audio(samples, 1)
    source = regions[0].pad(sound)
    out = r.Splice(source, regions, 0.0).apply(audio(regions[0].samples, 2) * 3)
    assert torch.equal(out[:, SECOND : SECOND + samples], sound)
    check_seams(out, [SECOND, SECOND + samples])
    assert out[:, :SECOND].abs().max() > 0.1 and out[:, -SECOND:].abs().max() > 0.1


def test_a_seam_never_leaves_full_scale():
    """At the edge of an extension the difference on the source's side is added to what was made."""
    samples = 2 * SECOND
    region = r.region_of(2.0, 4.0, samples)
    source, made = region.pad(torch.ones(2, samples)), torch.ones(2, region.samples)
    made[:, :samples] = -1
    out = r.Splice(source, (region,)).apply(made)
    assert torch.equal(out, torch.ones_like(out))


def test_splice_into_a_decode_that_is_too_short_is_a_bug():
    region = r.region_of(1.0, 2.0, 2 * SECOND)
    with pytest.raises(ValueError, match="region ends"):
        r.Splice(torch.zeros(2, 2 * SECOND), (region,)).apply(torch.zeros(2, SECOND))
