from __future__ import annotations

import pytest
import torch

from acestep_core.errors import AudioError, InvalidInput, UnsupportedTask
from acestep_core.options import track_names
from acestep_core.render import tasks as t
from acestep_core.render.repaint import extension_of, region_of
from acestep_core.render.task import CHUNK_MASKS
from acestep_core.vocabulary import HOP, INSTRUMENTS, SAMPLE_RATE, TRACKS

SILENCE = torch.zeros(1, 300, 64) + torch.arange(300).view(1, -1, 1) / 1000
SOURCE = torch.ones(1, 200, 64)
SAMPLES = 200 * HOP


def canvas(region):
    return torch.zeros(2, region.samples)


def test_length_is_the_asked_one_to_the_sample():
    task = t.text2music(30.04)
    assert task.samples == round(30.04 * SAMPLE_RATE)
    assert task.frames * HOP >= task.samples > (task.frames - 1) * HOP
    assert t.text2music(1.0).frames == t.MIN_FRAMES
    for bad in (None, 0, -1, 601, float("nan")):
        with pytest.raises(InvalidInput):
            t.text2music(bad)


def test_codes_set_the_length_unless_the_asked_one_agrees():
    assert t.text2music(codes=[1] * 50).samples == 10 * SAMPLE_RATE
    assert t.text2music(60.0, [1] * 50).samples == 10 * SAMPLE_RATE
    agreed = t.text2music(10.1, [1] * 50)
    assert agreed.samples == round(10.1 * SAMPLE_RATE) and agreed.frames == 253
    hints = torch.full((1, 250, 64), 5.0)
    latents = agreed.source_latents(SILENCE, hints)
    assert latents.shape == (1, 253, 64)
    assert torch.equal(latents[:, 250:], SILENCE[:, :3])
    assert agreed.is_cover


def test_text_alone_sees_silence_longer_than_is_stored():
    task = t.text2music(30.0)
    latents = task.source_latents(SILENCE)
    assert latents.shape == (1, 750, 64)
    assert torch.equal(latents[:, 300:600], SILENCE)
    assert not task.is_cover and task.mask() is None and not task.switches


def test_repaint_shows_silence_in_the_region_and_keeps_the_clean_source():
    region = region_of(2.0, 4.0, SAMPLES)
    task = t.repaint(SOURCE, canvas(region), region)
    latents = task.source_latents(SILENCE)
    assert torch.equal(latents[:, 50:100], SILENCE[:, 50:100])
    assert torch.equal(latents[:, :50], SOURCE[:, :50]) and torch.equal(latents[:, 100:], SOURCE[:, 100:])
    assert torch.equal(task.clean(SILENCE), SOURCE)
    assert SOURCE.eq(1).all(), "the source itself is not written to"
    assert task.mask()[0].nonzero()[[0, -1], 0].tolist() == [50, 99]
    assert not task.is_cover
    assert task.splice is not None


def test_lego_plays_along_with_the_region():
    region = region_of(2.0, 4.0, SAMPLES)
    task = t.lego(SOURCE, canvas(region), region, "Backing Vocals")
    assert torch.equal(task.source_latents(SILENCE), SOURCE)
    assert task.mask().sum() == 50
    assert "BACKING_VOCALS" in task.instruction


def test_a_region_over_everything_needs_no_holding():
    region = region_of(0.0, None, SAMPLES)
    task = t.repaint(SOURCE, canvas(region), region)
    assert task.mask() is None and task.soft_mask() is None and task.splice is None
    assert torch.equal(task.source_latents(SILENCE), SILENCE[:, :200])


def test_every_mode_puts_the_outside_back_unless_told_not_to():
    region = region_of(2.0, 4.0, SAMPLES)
    assert t.repaint(SOURCE, canvas(region), region, mode="aggressive").splice is not None
    assert t.repaint(SOURCE, canvas(region), region, mode="aggressive", keep_outside=False).splice is None


def test_extension_on_both_sides_makes_two_regions_with_a_ramp_each():
    regions = extension_of(1.0, 1.0, SAMPLES)
    latents = torch.ones(1, 250, 64)
    task = t.extend(latents, canvas(regions[0]), regions)
    mask = task.mask()[0]
    assert mask[:25].all() and mask[225:].all() and not mask[25:225].any()
    soft = task.soft_mask()[0]
    assert soft[24] == 1 and 0 < soft[30] < 1 and soft[125] == 0 and 0 < soft[220] < 1 and soft[225] == 1
    assert task.prompt_seconds == SAMPLES / SAMPLE_RATE
    assert task.splice.source.shape[-1] == task.samples == SAMPLES + 2 * SAMPLE_RATE
    # Silence of its own place: a metronome in it goes on where the source ends.
    assert torch.equal(task.source_latents(SILENCE)[:, mask], SILENCE[:, :250][:, mask])


def test_chunk_masks():
    region = region_of(2.0, 4.0, SAMPLES)
    values = {
        mode: t.repaint(SOURCE, canvas(region), region, chunk_mask=mode).chunk_mask_values() for mode in CHUNK_MASKS
    }
    assert values["ones"].eq(1).all() and values["twos"].eq(2).all()
    assert values["window"].sum() == 50 and values["window"][0, 50:100].eq(1).all()
    with pytest.raises(InvalidInput):
        t.repaint(SOURCE, canvas(region), region, chunk_mask="some")


def test_cover_takes_hints_from_source_or_codes():
    assert t.cover(SOURCE, SAMPLES).is_cover
    assert not t.cover(SOURCE, SAMPLES, fsq=False).is_cover
    with_codes = t.cover(SOURCE, SAMPLES, codes=[3] * 30, strength=0.5)
    assert with_codes.source is None and with_codes.samples == 6 * SAMPLE_RATE and with_codes.switches
    with pytest.raises(InvalidInput, match="source"):
        t.cover(None, 0)
    for bad in ({"strength": 1.5}, {"noise_strength": -0.1}, {"strength": float("nan")}):
        with pytest.raises(InvalidInput):
            t.cover(SOURCE, SAMPLES, **bad)


def test_short_sources_are_padded_for_the_model_only():
    task = t.extract(torch.ones(1, 25, 64), 25 * HOP, "drums")
    assert task.frames == t.MIN_FRAMES and task.samples == 25 * HOP
    assert torch.equal(task.source_latents(SILENCE)[:, 25:], SILENCE[:, :103])


def test_instruments_belong_to_tracks():
    assert set(INSTRUMENTS.values()) <= set(TRACKS)
    assert not set(INSTRUMENTS) & set(TRACKS)
    assert track_names(["Saxophone", "Backing Vocals"]) == ("woodwinds", "backing_vocals")


@pytest.mark.parametrize("track", TRACKS)
def test_known_tracks(track):
    assert track.upper() in t.extract(SOURCE, SAMPLES, track).instruction


def test_unknown_tracks_are_refused_with_the_list():
    with pytest.raises(InvalidInput, match=r"kazoo.*woodwinds"):
        t.extract(SOURCE, SAMPLES, "kazoo")
    assert t.complete(SOURCE, SAMPLES, ["drums", "bass"]).instruction == "Complete the input track with DRUMS | BASS:"


def test_checkpoints_refuse_what_they_were_not_trained_for():
    for family in ("turbo", "sft"):
        for name in ("lego", "extract", "complete"):
            with pytest.raises(UnsupportedTask, match="base"):
                t.check_task(name, family)
        for name in ("text2music", "cover", "cover_nofsq", "repaint", "extend"):
            t.check_task(name, family)
    for name in ("lego", "extract", "complete"):
        t.check_task(name, "base")
    t.check_task("lego", "sft", stems=True)
    with pytest.raises(InvalidInput):
        t.check_task("sing", "base")


def test_sources_have_limits():
    t.check_source(HOP)
    for bad in (0, HOP - 1, 601 * SAMPLE_RATE):
        with pytest.raises(AudioError):
            t.check_source(bad)


def test_whole_frames_loses_nothing():
    wave = torch.ones(2, 3 * HOP + 1)
    padded = t.whole_frames(wave)
    assert padded.shape[-1] == 4 * HOP and torch.equal(padded[:, : 3 * HOP + 1], wave)
    assert t.whole_frames(padded).shape == padded.shape


def test_references_are_kept_apart():
    task = t.with_references(t.text2music(10.0), [SILENCE, SILENCE])
    assert len(task.references) == 2
