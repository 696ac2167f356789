from __future__ import annotations

import subprocess
import sys

import pytest
import torch

from acestep_core import AceStepError, Song, generate
from acestep_core.errors import Cancelled, InvalidInput
from acestep_core.options import RenderSettings
from acestep_core.render.settings import flow_times, resolved


def test_generation_never_imports_diffusers_or_transformers(tiny_root):
    code = (
        "import sys; from acestep_core import generate; "
        f"generate('x', duration=10, seed=1, models={str(tiny_root)!r}); "
        "assert not {'diffusers', 'transformers'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("seconds", [10, 12.34, 13.001])
def test_length_is_exact_to_the_sample(tiny_models, seconds):
    song = generate("a", duration=seconds, seed=1, models=tiny_models, settings=RenderSettings.of(steps=2))
    assert song.audio.shape == (1, 2, round(seconds * 48000))
    assert song.audio.abs().max() == pytest.approx(10 ** (-1 / 20), abs=1e-4)


def test_batch_items_equal_single_runs(tiny_models):
    batch = generate("a", duration=10, seed=7, batch=3, models=tiny_models)
    assert batch.seeds == (7, 8, 9)
    for i, seed in enumerate(batch.seeds):
        single = generate("a", duration=10, seed=seed, models=tiny_models)
        torch.testing.assert_close(batch.audio[i], single.audio[0], atol=1e-4, rtol=1e-3)


def test_same_seed_same_bits(tiny_models):
    a, b = (generate("a", duration=10, seed=7, models=tiny_models) for _ in range(2))
    assert torch.equal(a.latents, b.latents)
    assert torch.equal(a.audio, b.audio)


def test_a_drawn_seed_is_told(tiny_models):
    first = generate("a", duration=10, models=tiny_models)
    again = generate("a", duration=10, seed=first.seeds[0], models=tiny_models)
    assert torch.equal(first.audio, again.audio)


@pytest.mark.parametrize("variant", ["turbo", "base", "xl-turbo"])
def test_every_variant_makes_sound(tiny_root, variant):
    song = generate("a", duration=10, seed=1, models=tiny_root, variant=variant, settings=RenderSettings.of(steps=3))
    assert song.models.model.variant == variant
    assert song.audio.std() > 0.01


def test_presets_follow_the_checkpoint(tiny_models, tiny_base):
    turbo, base = resolved(RenderSettings(), tiny_models.model), resolved(RenderSettings(), tiny_base.model)
    assert (len(flow_times(turbo)), len(flow_times(base))) == (9, 51)
    assert not turbo.guidance.enabled and base.guidance.scale == 7.0


def test_progress_names_the_stages(tiny_models):
    stages = []
    generate("a", duration=10, seed=1, models=tiny_models, progress=lambda stage, *_: stages.append(stage))
    assert list(dict.fromkeys(stages)) == ["sample", "decode"]


def test_cancel(tiny_models):
    with pytest.raises(Cancelled):
        generate("a", duration=10, models=tiny_models, cancelled=lambda: True)


def test_saving_never_overwrites(tiny_models, tmp_path):
    song = generate("a calm piano", duration=10, seed=1, models=tiny_models, settings=RenderSettings.of(steps=1))
    names = [song.save(tmp_path / "song.flac", record=False)[0].name for _ in range(3)]
    assert names == ["song.flac", "song_00001.flac", "song_00002.flac"]
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted(names)


def test_saved_file_reads_back(tiny_models, tmp_path):
    from acestep_core.io.audio import read_audio
    from acestep_core.io.tags import read_tags

    song = generate("a calm piano", duration=10, seed=5, models=tiny_models, settings=RenderSettings.of(steps=1))
    [path] = song.save(tmp_path / "song.flac")
    waveform, rate = read_audio(path)
    assert rate == 48000
    torch.testing.assert_close(waveform, song.audio[0], atol=2e-7, rtol=0)
    tags = read_tags(path)
    assert tags["title"] == "a calm piano"
    assert tags["seed"] == "5"


@pytest.mark.parametrize(
    "bad",
    [
        {"duration": 9},
        {"duration": 601},
        {"bpm": 20},
        {"keyscale": "H major"},
        {"language": "klingon"},
        {"batch": 0},
        {"batch": "two"},
        {"guidance": "7"},
        {"timesteps": "1,half"},
        {"nonsense": 1},
        {"seed": -2},
        {"steps": 21},
        {"steps": 0},
        {"shift": 0.0},
        {"timesteps": [0.1, 0.9]},
        {"guidance": 7.0},
        {"guidance_mode": "wish"},
        {"method": "magic"},
        {"peak_db": 3.0},
        {"fade_in": -1.0},
        {"models": "/nowhere/at/all"},
        {"models": None, "variant": "no-such-variant"},
    ],
)
def test_every_mistake_is_one_clear_sentence(tiny_models, bad):
    arguments = {"duration": 10, "models": tiny_models, **bad}
    with pytest.raises(AceStepError) as caught:
        generate("a", **arguments)
    text = str(caught.value)
    assert text.endswith(".")
    assert "\n" not in text
    assert len(text) > 30


def test_codes_are_followed_and_say_the_length(tiny_models):
    settings = RenderSettings.of(steps=2)
    one, two, other = (
        generate("a", codes=codes, seed=1, batch=2, models=tiny_models, settings=settings)
        for codes in ([7] * 9, [[7] * 9, [7] * 9], [[7] * 9, [8] * 9])
    )
    assert one.audio.shape == (2, 2, 9 * 9600) and one.seeds == (1, 2)
    torch.testing.assert_close(one.latents, two.latents, atol=1e-4, rtol=1e-3)
    torch.testing.assert_close(one.latents[0], other.latents[0], atol=1e-4, rtol=1e-3)
    assert (one.latents[1] - other.latents[1]).abs().max() > 0.01
    assert generate("a", codes=[[7] * 9, [8] * 9], models=tiny_models, settings=settings).audio.shape[0] == 2


@pytest.mark.parametrize(
    ("bad", "says"),
    [
        ({"codes": [1, 64000]}, "64000"),
        ({"codes": [[1], []]}, "no codes"),
        ({"codes": [[1] * 9] * 2, "batch": 3}, "2 songs"),
        ({"codes": [1] * 50, "think": True}, "Thinking writes codes"),
        ({"codes": [[1] * 9, [1] * 99]}, "length"),
    ],
)
def test_unusable_codes_are_refused(tiny_models, bad, says):
    with pytest.raises(AceStepError, match=says):
        generate("a", models=tiny_models, **bad)


def test_song_and_fields_together_are_refused(tiny_models):
    with pytest.raises(InvalidInput, match="not both"):
        generate("a", song=Song(caption="b"), models=tiny_models)


def test_what_is_not_heard_of_a_song_is_said(tiny_models):
    quick = {"duration": 10, "seed": 1, "steps": 1, "models": tiny_models}
    words = "君不见黄河之水天上来奔流到海不复回" * 200
    long, other = (generate("x", lyrics=words + end, **quick) for end in ("甲" * 50, "乙" * 50))
    assert torch.equal(long.audio, other.audio) and long.song.warnings()
    remark, sung = long.remarks
    assert "to sing" in sung and "2048 tokens" in remark and remark.endswith("on.")
    assert generate("x", lyrics="[Verse]\nla", **quick).remarks == ()
    (caption,) = generate("word " * 400, **quick).remarks
    assert "256 tokens" in caption
    read = generate("x", lyrics="Chorus:\nla <|im_end|>", keyscale="D dorian", **quick)
    assert [" dorian " in text or "[Chorus]" in text or "<|im_end|>" in text for text in read.remarks] == [True] * 3
