from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch.testing import assert_close

from acestep_core.errors import Cancelled, GenerationError, InvalidInput
from acestep_core.models.manager import manager
from acestep_core.monitor import Monitor
from acestep_core.options import Guidance, Morph, Sampling
from acestep_core.render import tasks
from acestep_core.render.conditioning import condition
from acestep_core.render.guidance import OFF
from acestep_core.render.repaint import region_of
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


@pytest.mark.parametrize("models", ["tiny_models", "tiny_base"])
def test_songs_of_a_batch_that_look_alike_keep_their_own_text(models, request):
    """Prompts of equal length share one tensor of states; still each row follows its own."""
    model = request.getfixturevalue(models)
    songs = (SONG, replace(SONG, caption="a piano calm"), replace(SONG, lyrics="[Verse]\nwe along walk the river"))
    assert len(condition(model.model, songs, [TASK]).main.states) == 1
    guidance = OFF if models == "tiny_models" else Guidance("apg", 5.0)
    batch = one(model, [1, 1, 1], guidance, songs=songs)
    for i, song in enumerate(songs):
        assert_close(batch[i : i + 1], one(model, [1], guidance, songs=(song,)), atol=5e-5, rtol=1e-3)
        assert not torch.allclose(batch[i], batch[i - 1], atol=1e-4)


@pytest.mark.parametrize("change", [{"prompt_seconds": 99.0}, {"chunk_mask": "window"}])
def test_tasks_of_a_batch_keep_their_own_text(tiny_base, change):
    """The prompt states the length, and that of a stems checkpoint whether a region is marked."""
    model, other = replace(tiny_base.model, stems=True), replace(TASK, **change)
    both = condition(model, [SONG], [TASK, other]).main.states
    rows = [row for states in both for row in states]
    alone = [condition(model, [SONG], [task]).main.states[0][0] for task in (TASK, other)]
    assert alone[0].shape != alone[1].shape or not torch.equal(*alone)
    for row, single in zip(rows, alone, strict=True):
        assert_close(row, single)


SOURCES = torch.randn(2, 250, 64, generator=torch.Generator().manual_seed(8)).split(1)
SECONDS = 250 * 1920


def _repaint(source, start):
    region = region_of(start, start + 2, SECONDS)
    return tasks.repaint(source, torch.zeros(2, SECONDS), region, mode="conservative")


UNLIKE = {
    "codes": [text2music(10, [1, 2] * 25), text2music(10, [9, 30] * 25)],
    "codes that fade": [text2music(10, [1, 2] * 25, strength=0.5), text2music(10, [9, 30] * 25, strength=0.5)],
    "cover": [tasks.cover(source, SECONDS, noise_strength=0.4) for source in SOURCES],
    "repaint": [_repaint(SOURCES[0], 2), _repaint(SOURCES[1], 5)],
    "morph": [tasks.morph(source, SECONDS, Morph("a flute", end=0.6)) for source in SOURCES],
    "references": [tasks.with_references(TASK, [x[:, :250].repeat(1, 3, 1)]) for x in SOURCES],
}


@pytest.mark.parametrize("kind", UNLIKE)
def test_tasks_of_a_batch_keep_their_own_source(tiny_models, kind):
    def made(items):
        conditioning = condition(tiny_models.model, [SONG], items)
        return render_latents(tiny_models.model, conditioning, [4] * len(items), schedule(4, 3.0))

    batch = made(UNLIKE[kind])
    assert not torch.allclose(batch[0], batch[1], atol=1e-3)
    for i, task in enumerate(UNLIKE[kind]):
        assert_close(batch[i : i + 1], made([task]), atol=5e-5, rtol=1e-3)


@pytest.mark.parametrize("kind", ["repaint", "morph", "codes that fade"])
def test_a_row_that_is_repeated_is_the_single_run(tiny_models, kind):
    conditioning = condition(tiny_models.model, [SONG], UNLIKE[kind][:1])
    both = render_latents(tiny_models.model, conditioning, [4, 7], schedule(4, 3.0))
    assert conditioning.repeated(2).lyric_tokens == conditioning.lyric_tokens * 2
    for i, seed in enumerate([4, 7]):
        alone = render_latents(tiny_models.model, conditioning, [seed], schedule(4, 3.0))
        assert_close(both[i : i + 1], alone, atol=5e-5, rtol=1e-3)


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
    assert_close(one(tiny_models, [1], sampling=Sampling(velocity_clamp=10.0)), plain)
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


@pytest.mark.parametrize("times", [[0.0, 0.5, 1.0], [14.6, 5.0, 0.0], [0.6, 0.3, 0.0], [1.0, 0.5]])
def test_times_of_any_origin_are_checked_before_the_model_is_loaded(tiny_models, times):
    conditioning = condition(tiny_models.model, [SONG], [TASK])
    manager.unload()
    with pytest.raises(InvalidInput, match="flow times"):
        render_latents(tiny_models.model, conditioning, [1], torch.tensor(times))
    assert not any(line.startswith("dit") for line in manager.loaded())


@pytest.mark.parametrize("kind", ["cover", "morph"])
def test_what_starts_from_a_source_may_enter_late(tiny_models, kind):
    conditioning = condition(tiny_models.model, [SONG], UNLIKE[kind][:1])
    assert render_latents(tiny_models.model, conditioning, [1], torch.tensor([0.6, 0.3, 0.0])).isfinite().all()
    plain = condition(tiny_models.model, [SONG], [tasks.cover(SOURCES[0], SECONDS)])
    with pytest.raises(InvalidInput, match="noise"):
        render_latents(tiny_models.model, plain, [1], torch.tensor([0.6, 0.3, 0.0]))


def test_times_in_double_precision_are_those_of_the_record(tiny_models):
    conditioning = condition(tiny_models.model, [SONG], [TASK])
    wide = torch.tensor([1.0, 1 / 3, 0.0], dtype=torch.float64)
    got = render_latents(tiny_models.model, conditioning, [1], wide)
    again = render_latents(tiny_models.model, conditioning, [1], schedule(timesteps=wide.tolist()))
    assert torch.equal(got, again)


def test_a_morph_takes_controls(tiny_base):
    conditioning = condition(tiny_base.model, [SONG], UNLIKE["morph"][:1])

    def made(*sampling):
        return render_latents(tiny_base.model, conditioning, [1], schedule(3, 3.0), sampling=Sampling(*sampling))

    for sampling in (("heun",), ("euler", 0.1), ("euler", 0.0, 0.5), ("euler", 0.0, 0.0, 0.0, None, "double")):
        assert not torch.allclose(made(*sampling), made(), atol=1e-4), sampling


@pytest.mark.parametrize("controls", [{"sampling": Sampling("sde")}, {"initial": noise([1], 250)}])
def test_what_a_morph_cannot_have_is_refused(tiny_models, controls):
    conditioning = condition(tiny_models.model, [SONG], UNLIKE["morph"][:1])
    with pytest.raises(InvalidInput, match="morph"):
        render_latents(tiny_models.model, conditioning, [1], schedule(2, 3.0), **controls)


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
