"""Every task on real files: what it keeps, what it changes, and what it refuses."""

from __future__ import annotations

import logging

import numpy as np
import pytest
import soundfile
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from acestep_core.errors import AceStepError, AudioError, InvalidInput, UnsupportedTask
from acestep_core.io.recordings import load_source
from acestep_core.options import RenderSettings
from acestep_core.pipeline import editing
from acestep_core.render import tasks
from acestep_core.render.repaint import region_of
from acestep_core.render.stages import encode_audio
from acestep_core.song.description import Song
from tests.making import render

RATE = 48000
QUICK = RenderSettings.of(steps=2)


@pytest.fixture(scope="session")
def recordings(tmp_path_factory):
    """Files as people have them: a chord with beats, in several rates, lengths and channel counts."""
    folder = tmp_path_factory.mktemp("recordings")

    def write(name, seconds, rate, channels, subtype=None):
        t = np.arange(int(seconds * rate)) / rate
        beat = 0.6 + 0.4 * np.exp(-6 * (t % 0.5))
        left = beat * sum(np.sin(2 * np.pi * f * t) for f in (110.0, 138.6, 164.8)) / 8
        right = np.roll(left, 40) * 0.8
        soundfile.write(folder / name, np.stack([left, right], 1)[:, :channels], rate, subtype=subtype)
        return folder / name

    return {
        "stereo": write("stereo.wav", 8.0, RATE, 2, "FLOAT"),
        "seven": write("seven.flac", 7.0, RATE, 2),
        "mono": write("mono.wav", 6.37, RATE, 1, "PCM_16"),
        "cd": write("cd.wav", 7.5, 44100, 2, "PCM_16"),
        "long": write("long.flac", 61.3, RATE, 2),
    }


def check_seams(wave, seams, reach=2400):
    slopes = wave.diff()
    for seam in seams:
        around = slopes[:, max(0, seam - reach) : seam + reach].clone()
        at = min(seam, reach) - 1
        step = around[:, at].abs().max()
        around[:, at] = 0
        assert step <= around.abs().max(), f"a step of {step:.5f} at {seam}, beside at most {around.abs().max():.5f}"


def same_bits(a, b):
    return torch.equal(a.contiguous().view(torch.int32), b.contiguous().view(torch.int32))


@pytest.mark.parametrize("mode", ["conservative", "balanced", "aggressive"])
@pytest.mark.parametrize("name", ["stereo", "seven", "mono", "cd"])
def test_repaint_keeps_the_outside(recordings, tiny_models, name, mode):
    source = load_source(recordings[name])
    made = editing.repaint(recordings[name], 2.03, 4.5, "a", mode=mode, seed=1, models=tiny_models, settings=QUICK)
    out = made.audio[0]
    start, end = int(2.03 * RATE), int(4.5 * RATE)
    assert out.shape == source.shape
    assert same_bits(out[:, :start], source[:, :start])
    assert same_bits(out[:, end:], source[:, end:])
    assert not torch.equal(out[:, start + 4800 : end - 4800], source[:, start + 4800 : end - 4800])
    check_seams(out, [start, end])


def test_bars_are_seconds_of_the_recordings_own_tempo(recordings, tiny_models, tmp_path):
    """Said in the text, that of the song a recording is, also from its file, or else that of the song to make."""
    common = {"seed": 1, "models": tiny_models, "settings": QUICK}
    by_hand = editing.repaint(recordings["seven"], 2.0, 4.0, bpm=120, **common)
    told = editing.repaint(recordings["seven"], bars="bar 2", bpm=120, **common)
    assert same_bits(told.audio, by_hand.audio)
    assert told.record(0).task["arguments"] == by_hand.record(0).task["arguments"]
    path = told.save(tmp_path / "song.flac")[0]
    for made in (told.repaint(bars="2", **common), editing.repaint(path, bars="2", bpm=60, **common)):
        assert made.record(0).task["arguments"] | {"start": 2.0, "end": 4.0} == made.record(0).task["arguments"]
    longer = editing.extend(recordings["seven"], bars="1 before at 240 bpm", **common)
    assert longer.record(0).task["arguments"]["before"] == 1.0
    with pytest.raises(InvalidInput, match="tempo is not known"):
        editing.repaint(recordings["seven"], bars="2", **common)
    with pytest.raises(InvalidInput, match="start and end in seconds, or bars"):
        editing.repaint(recordings["seven"], **common)
    with pytest.raises(InvalidInput, match="repaint needs start"):
        told.repaint(**common)


@pytest.mark.parametrize(("name", "after", "before"), [("seven", 3.0, 0.0), ("mono", 0.0, 2.5), ("cd", 1.7, 1.3)])
def test_extend_keeps_the_source(recordings, tiny_models, name, after, before):
    source = load_source(recordings[name])
    out = editing.extend(recordings[name], after, before, "a", seed=1, models=tiny_models, settings=QUICK).audio[0]
    left, right = round(before * RATE), round(after * RATE)
    assert out.shape[-1] == left + source.shape[-1] + right
    assert same_bits(out[:, left : left + source.shape[-1]], source)
    check_seams(out, [seam for seam in (left, left + source.shape[-1]) if 0 < seam < out.shape[-1]])
    for part in (out[:, :left], out[:, left + source.shape[-1] :]):
        if part.numel():
            assert part.std() > 0.001, "silence was added"


def test_a_minute_and_a_bit(recordings, tiny_models):
    source = load_source(recordings["long"])
    out = editing.repaint(recordings["long"], 30.0, 40.01, seed=1, models=tiny_models, settings=QUICK).audio[0]
    start, end = 30 * RATE, int(40.01 * RATE)
    assert out.shape[-1] == source.shape[-1] == round(61.3 * RATE)
    assert same_bits(out[:, :start], source[:, :start]) and same_bits(out[:, end:], source[:, end:])
    check_seams(out, [start, end])


def test_repaint_beyond_both_ends_makes_the_whole_song_longer(recordings, tiny_models):
    out = editing.repaint(recordings["seven"], -1.0, 9.0, seed=1, models=tiny_models, settings=QUICK)
    assert out.audio.shape[-1] == 10 * RATE


def test_cover_is_as_long_as_its_source_and_listens_to_it(recordings, tiny_models):
    options = {"seed": 1, "models": tiny_models}
    one = editing.cover(recordings["mono"], "a", **options)
    assert one.audio.shape[-1] == load_source(recordings["mono"]).shape[-1]
    other = editing.cover((load_source(recordings["mono"]).roll(RATE, -1), RATE), "a", **options)
    assert not torch.allclose(one.latents, other.latents)
    none = editing.cover(recordings["mono"], "a", strength=0.0, **options)
    deaf = editing.cover((load_source(recordings["mono"]).roll(RATE, -1), RATE), "a", strength=0.0, **options)
    torch.testing.assert_close(none.latents, deaf.latents)
    near = editing.cover(recordings["mono"], "a", noise_strength=0.9, **options)
    assert not torch.allclose(one.latents, near.latents)
    raw = editing.cover(recordings["mono"], "a", fsq=False, **options)
    assert not torch.allclose(one.latents, raw.latents)


def test_references_change_the_sound_and_are_seeded(recordings, tiny_models):
    def latents(*references, seed=0):
        return editing.cover(
            recordings["seven"], seed=1, models=tiny_models, settings=QUICK, references=references, reference_seed=seed
        ).latents

    plain, one = latents(), latents(recordings["long"])
    assert not torch.allclose(plain, one)
    assert torch.equal(one, latents(recordings["long"]))
    assert not torch.allclose(one, latents(recordings["long"], recordings["mono"]))


@pytest.mark.parametrize("name", ["extract", "add_track", "complete"])
def test_stem_tasks_run_on_base_and_are_refused_elsewhere(recordings, tiny_models, tiny_base, name):
    call = {
        "extract": lambda models: editing.extract(recordings["seven"], "vocals", models=models, settings=QUICK, seed=1),
        "add_track": lambda models: editing.add_track(
            recordings["seven"], "saxophone", models=models, settings=QUICK, seed=1
        ),
        "complete": lambda models: editing.complete(
            recordings["seven"], ["drums", "bass"], models=models, settings=QUICK, seed=1
        ),
    }[name]
    made = call(tiny_base)
    assert made.audio.shape == (1, 2, 7 * RATE)
    with pytest.raises(UnsupportedTask, match="base"):
        call(tiny_models)


def test_a_track_in_a_region_leaves_the_rest(recordings, tiny_base):
    source = load_source(recordings["seven"])
    made = editing.add_track(recordings["seven"], "drums", start=2, end=4, models=tiny_base, settings=QUICK, seed=1)
    assert same_bits(made.audio[0, :, : 2 * RATE], source[:, : 2 * RATE])
    assert same_bits(made.audio[0, :, 4 * RATE :], source[:, 4 * RATE :])
    assert (
        "WOODWINDS"
        in editing.add_track(recordings["seven"], "sax", models=tiny_base, settings=QUICK, seed=1).tasks[0].instruction
    )


def test_a_batch_of_eight_sources_references_and_regions_equals_eight_single_runs(recordings, tiny_models):
    source = load_source(recordings["stereo"])
    references = torch.randn(8, 1, 750, 64, generator=torch.Generator().manual_seed(4))
    all_tasks = []
    for i in range(8):
        wave = source.roll(i * 777, -1) * (1 - 0.05 * i)
        region = region_of(0.5 * i, 0.5 * i + 2.0, wave.shape[-1])
        latents = encode_audio(tiny_models.vae, tasks.whole_frames(wave)[None])
        all_tasks.append(tasks.with_references(tasks.repaint(latents, wave, region), [references[i]]))
    batch = render(Song(caption="a"), all_tasks, seed=20, models=tiny_models, settings=QUICK)
    for i, task in enumerate(all_tasks):
        alone = render(Song(caption="a"), [task], seed=20 + i, models=tiny_models, settings=QUICK)
        torch.testing.assert_close(batch.latents[i], alone.latents[0], rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(batch.audio[i], alone.audio[0], rtol=1e-3, atol=1e-4)


def test_sources_come_in_three_forms_and_conversions_are_said(recordings, caplog):
    caplog.set_level(logging.INFO)
    from_file = load_source(recordings["cd"])
    assert "44100 Hz, stereo) was converted" in caplog.text
    data, rate = soundfile.read(recordings["cd"], dtype="float32")
    pair = (torch.from_numpy(data.T.copy()), rate)
    assert torch.equal(load_source(pair), from_file)
    assert torch.equal(load_source({"waveform": pair[0][None], "sample_rate": rate}), from_file)
    load_source(recordings["mono"])
    assert "48000 Hz, mono) was converted" in caplog.text
    for bad in (None, 3, torch.zeros(2, 100), {"waveform": torch.zeros(2, 2, 100), "sample_rate": RATE}):
        with pytest.raises(AudioError):
            load_source(bad)


def test_refusals(recordings, tiny_models):
    seven, options = recordings["seven"], {"models": tiny_models, "settings": QUICK}
    with pytest.raises(InvalidInput, match="7 s"):
        editing.repaint(seven, 8.0, 9.0, **options)
    with pytest.raises(InvalidInput, match="after its start"):
        editing.repaint(seven, 4.0, 3.0, **options)
    with pytest.raises(InvalidInput, match="leave out duration"):
        editing.cover(seven, duration=20, **options)
    with pytest.raises(InvalidInput, match="not both"):
        editing.cover(seven, "a", song=Song(caption="b"), **options)
    meant = {"bmp": "bpm", "inference_steps": "steps", "vocal_language": "language", "key": "keyscale"}
    for name, hint in meant.items():
        with pytest.raises(InvalidInput, match=f"no argument '{name}'; use {hint}, or see"):
            editing.cover(seven, **{name: 90}, **options)
    with pytest.raises(InvalidInput, match="guided"):
        editing.cover(seven, models=tiny_models, settings=RenderSettings.of(guidance=7.0))
    with pytest.raises(InvalidInput, match="kazoo"):
        editing.extract(seven, "kazoo", **options)
    with pytest.raises(AudioError, match="1 s"):
        editing.cover(seven, references=[(torch.ones(2, 4000), RATE)], **options)
    with pytest.raises(AudioError, match=r"0\.04"):
        editing.cover((torch.ones(2, 1000), RATE), **options)


# Within and just beyond the limits; what lies far beyond is refused, so that no example makes a long song.
FAR = [float("nan"), float("inf"), -float("inf"), 1e30, -1e30, 1000.0, -1000.0, 1e-30]
NUMBERS = st.one_of(st.floats(-3, 5), st.sampled_from([0.0, 1.0, -1.0, 2.0, *FAR]))


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_numbers_end_in_a_song_or_in_our_error(data, tiny_models):
    wave = torch.sin(torch.arange(RATE * 2) / 40).expand(2, -1) * 0.3
    number = lambda: data.draw(NUMBERS)  # noqa: E731
    sampling = {
        "steps": data.draw(st.one_of(st.integers(-3, 3), st.sampled_from([21, 1000]))),
        "shift": data.draw(st.one_of(st.just(3.0), NUMBERS)),
        "velocity_clamp": data.draw(st.one_of(st.just(0.0), NUMBERS)),
        "velocity_ema": data.draw(st.one_of(st.just(0.0), NUMBERS)),
        "guidance": data.draw(st.one_of(st.just(1.0), NUMBERS)),
    }
    options = {"seed": data.draw(st.one_of(st.just(1), st.integers(-5, 2**70))), "models": tiny_models}
    options |= sampling if data.draw(st.booleans()) else {"settings": QUICK}
    kind = data.draw(st.sampled_from(["repaint", "extend", "cover"]))
    try:
        if kind == "repaint":
            made = editing.repaint((wave, RATE), number(), number(), strength=data.draw(st.floats(0, 1)), **options)
        elif kind == "extend":
            made = editing.extend((wave, RATE), number(), number(), **options)
        else:
            made = editing.cover((wave, RATE), strength=number(), noise_strength=number(), **options)
    except AceStepError as error:
        assert len(str(error)) < 400 and str(error).endswith(".")
    else:
        assert made.audio.isfinite().all()
