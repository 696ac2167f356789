from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch.testing import assert_close

from acestep_core.errors import Cancelled, GenerationError, InvalidInput
from acestep_core.models.manager import manager
from acestep_core.monitor import Monitor
from acestep_core.render.conditioning import condition
from acestep_core.render.guidance import OFF, Guidance
from acestep_core.render.sampler import Sampling
from acestep_core.render.schedule import schedule
from acestep_core.render.stages import render_latents
from acestep_core.render.tasks import text2music
from acestep_core.seeds import noise
from acestep_core.song.description import Song

SONG = Song(caption="a calm piano", lyrics="[Verse]\nwe walk along the river", duration=10)
TASK = text2music(10)


def one(models, seeds, guidance=OFF, sampling=None, steps=4, monitor=None, songs=(SONG,)):
    conditioning = condition(models.model, songs, [TASK])
    times = schedule(steps, 3.0)
    return render_latents(
        models.model, conditioning, seeds, times, guidance, sampling or Sampling(), monitor=monitor or Monitor()
    )


def test_same_seed_same_bits(tiny_models):
    assert torch.equal(one(tiny_models, [3]), one(tiny_models, [3]))
    assert not torch.equal(one(tiny_models, [3]), one(tiny_models, [4]))


@pytest.mark.parametrize("method", ["euler", "heun", "sde"])
def test_item_of_a_batch_equals_the_single_run(tiny_models, method):
    batch = one(tiny_models, list(range(5, 13)), sampling=Sampling(method))
    for i in (0, 3, 7):
        assert_close(batch[i : i + 1], one(tiny_models, [5 + i], sampling=Sampling(method)), atol=2e-5, rtol=1e-4)


@pytest.mark.parametrize("mode", ["apg", "adg", "cfg"])
def test_item_of_a_guided_batch_equals_the_single_run(tiny_base, mode):
    guidance = Guidance(mode, 4.0, 0.2, 0.9)
    batch = one(tiny_base, [1, 2, 3], guidance)
    for i in range(3):
        assert_close(batch[i : i + 1], one(tiny_base, [1 + i], guidance), atol=5e-5, rtol=1e-3)


def test_songs_of_a_batch_do_not_touch_each_other(tiny_models):
    """Lyrics of different length in one batch give what each gives alone: nothing is padded."""
    songs = (SONG, replace(SONG, lyrics="[Chorus]\n" + "la la la " * 40), SONG)
    batch = one(tiny_models, [1, 1, 1], songs=songs)
    for i, song in enumerate(songs):
        assert_close(batch[i : i + 1], one(tiny_models, [1], songs=(song,)), atol=2e-5, rtol=1e-4)
    assert torch.equal(batch[0], batch[2]) or torch.allclose(batch[0], batch[2], atol=2e-5)
    assert not torch.allclose(batch[0], batch[1], atol=1e-3)


def test_text_and_seed_matter(tiny_models):
    first = one(tiny_models, [1])
    assert not torch.allclose(first, one(tiny_models, [1], songs=(replace(SONG, caption="loud metal"),)), atol=1e-4)


def test_guidance_off_outside_its_interval(tiny_base):
    assert_close(one(tiny_base, [1], Guidance("apg", 7.0, 0.0, 0.0001)), one(tiny_base, [1]))


def test_guidance_on_turbo_is_refused(tiny_models):
    with pytest.raises(InvalidInput, match="turbo"):
        one(tiny_models, [1], Guidance("apg", 7.0))


def test_a_clamp_limits_and_smoothing_mixes(tiny_models):
    plain = one(tiny_models, [1])
    assert_close(one(tiny_models, [1], sampling=Sampling(velocity_clamp=1e6)), plain)
    assert not torch.allclose(one(tiny_models, [1], sampling=Sampling(velocity_clamp=0.1)), plain)
    assert not torch.allclose(one(tiny_models, [1], sampling=Sampling(velocity_ema=0.5)), plain)


def test_progress_and_preview(tiny_models):
    seen = []
    monitor = Monitor(lambda stage, done, total, preview: seen.append((stage, done, total, preview().shape)))
    one(tiny_models, [1, 2], monitor=monitor)
    frames = TASK.frames
    assert seen == [("sample", i, 4, torch.Size([2, frames, 64])) for i in range(1, 5)]


def test_cancel_ends_within_a_step_and_frees_the_model(tiny_models):
    steps = []
    monitor = Monitor(lambda *args: steps.append(args), lambda: len(steps) >= 2)
    with pytest.raises(Cancelled):
        one(tiny_models, [1], steps=50, monitor=monitor)
    assert len(steps) == 2
    manager.unload()
    assert not any(line.startswith("dit") for line in manager.loaded())


def test_non_finite_latents_are_refused(tiny_models):
    conditioning = condition(tiny_models.model, [SONG], [TASK])
    bad = noise([1], TASK.frames)
    bad[0, 3, 5] = float("nan")
    with pytest.raises(GenerationError, match="non-finite"):
        render_latents(tiny_models.model, conditioning, [1], schedule(2, 3.0), initial=bad)


def test_wrong_number_of_seeds_is_refused(tiny_models):
    conditioning = condition(tiny_models.model, [SONG, SONG], [TASK])
    with pytest.raises(InvalidInput, match="2 rows for 3 seeds"):
        render_latents(tiny_models.model, conditioning, [1, 2, 3], schedule(2, 3.0))


def test_items_of_different_length_are_refused(tiny_models):
    with pytest.raises(InvalidInput, match="length"):
        condition(tiny_models.model, [SONG], [text2music(10), text2music(20)])


@pytest.mark.parametrize("bad", [{"method": "magic"}, {"velocity_clamp": -1.0}, {"velocity_ema": 1.0}])
def test_bad_sampling_is_refused(bad):
    with pytest.raises(InvalidInput):
        Sampling(**bad)
