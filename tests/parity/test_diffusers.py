"""Our front door and diffusers' pipeline make the same song from the same tiny weights, where both define the same.

Left out, because diffusers differs from upstream there: XL (its timbre token), guidance intervals inside the run (it
measures them from the other end), cover strength, repaint.
"""

from __future__ import annotations

from itertools import chain

import pytest
import torch
from torch.testing import assert_close

from acestep_core import generate
from acestep_core.errors import InvalidInput
from acestep_core.models.manager import manager
from acestep_core.options import RenderSettings
from acestep_core.pipeline.opening import open_models
from acestep_core.render.tasks import text2music
from acestep_core.song.description import Song
from tests.making import render

SECONDS = 10
LYRICS = "[Verse]\nwe walk along the river\n\n[Chorus]\n夜の川 élan"


@pytest.fixture(scope="module")
def roots(tmp_path_factory):
    from acestep_core.builtin.tiny import build_tiny

    pytest.importorskip("diffusers", "0.38.0", reason="diffusers with ACE-Step classes is not installed")
    root = tmp_path_factory.mktemp("diffusers") / "checkpoints"
    return build_tiny(root, variants=("turbo", "base"), layouts=("diffusers",), vae_encoder_channels=128)


@pytest.fixture(scope="module")
def pipelines(roots):
    from diffusers import AceStepPipeline

    folders = {v: roots / "diffusers" / f"acestep-v15-{v}-diffusers" for v in ("turbo", "base")}
    loaded = {v: AceStepPipeline.from_pretrained(f, torch_dtype=torch.float32) for v, f in folders.items()}
    for pipeline in loaded.values():
        pipeline.set_progress_bar_config(disable=True)
    return loaded


def theirs(pipeline, **kwargs):
    return pipeline(
        prompt="a calm piano, 60s",
        lyrics=LYRICS,
        audio_duration=float(SECONDS),
        vocal_language="en",
        bpm=90,
        keyscale="A minor",
        timesignature="4",
        generator=torch.Generator().manual_seed(11),
        **kwargs,
    ).audios


def ours(root, variant, layout_path=None, **settings):
    return generate(
        "a calm piano, 60s",
        lyrics=LYRICS,
        duration=SECONDS,
        language="en",
        bpm=90,
        keyscale="Am",
        timesignature="4/4",
        seed=11,
        models=open_models(layout_path or root, variant),
        settings=RenderSettings.of(**settings),
    )


@pytest.mark.parametrize(
    ("variant", "settings", "kwargs"),
    [
        ("turbo", {}, {"num_inference_steps": 8, "shift": 3.0}),
        ("turbo", {"shift": 1.0, "steps": 5}, {"num_inference_steps": 5, "shift": 1.0}),
        ("turbo", {"timesteps": [1.0, 0.7, 0.4, 0.2]}, {"timesteps": [1.0, 0.7, 0.4, 0.2]}),
        ("base", {"steps": 12}, {"num_inference_steps": 12, "shift": 3.0, "guidance_scale": 7.0}),
        ("base", {"steps": 6, "guidance": 1.0}, {"num_inference_steps": 6, "guidance_scale": 1.0}),
    ],
)
def test_latents_and_audio(roots, pipelines, variant, settings, kwargs):
    mine = ours(roots, variant, **settings)
    assert_close(mine.latents, theirs(pipelines[variant], output_type="latent", **kwargs), atol=2e-4, rtol=1e-3)
    audio = theirs(pipelines[variant], output_type="pt", **kwargs)
    assert_close(mine.audio, audio, atol=2e-4, rtol=1e-3)


def test_codes_as_hints(roots, pipelines):
    """Codes are a cover for both; upstream, and so we, use the cover's instruction for them."""
    codes = [(i * 7919) % 64000 for i in range(SECONDS * 5)]
    text = "".join(f"<|audio_code_{code}|>" for code in codes)
    audio = theirs(pipelines["turbo"], task_type="cover", audio_codes=text, output_type="latent", shift=3.0)
    song = Song("a calm piano, 60s", LYRICS, "en", 90, "A minor", "4", SECONDS)
    mine = render(song, (text2music(SECONDS, codes),), seed=11, models=open_models(roots, "turbo"))
    assert_close(mine.latents, audio, atol=2e-4, rtol=1e-3)


def test_diffusers_folders_load_in_our_library(roots):
    """The same weights in both layouts give the same bits."""
    folder = roots / "diffusers" / "acestep-v15-turbo-diffusers"
    assert torch.equal(ours(roots, "turbo").audio, ours(roots, "turbo", folder).audio)


def test_a_loaded_pipeline_is_used_where_it_is(roots, pipelines):
    """The same song as from its folder, over the same memory; the language model is looked for."""
    pipeline = pipelines["turbo"]
    models = open_models(pipeline, roots=[roots])
    assert models.model.variant == "turbo" and models.lm is not None
    with manager.resident(models.model) as module:
        mine = {name: tensor.data_ptr() for name, tensor in module.state_dict().items()}
    parts = ("transformer", "condition_encoder", "audio_tokenizer", "audio_token_detokenizer")
    named = (getattr(pipeline, part).named_parameters() for part in parts)
    theirs = {tensor.data_ptr() for name, tensor in chain(*named)}
    assert len(mine) > 200 and set(mine.values()) <= theirs
    with manager.resident(models.model.text) as text:
        weights = {tensor.data_ptr() for tensor in pipeline.text_encoder.parameters()}
        assert {tensor.data_ptr() for tensor in text.model.state_dict().values()} <= weights

    folder = roots / "diffusers" / "acestep-v15-turbo-diffusers"
    asked = {"lyrics": LYRICS, "duration": SECONDS, "language": "en", "seed": 11}
    lent = generate("a calm piano, 60s", models=models, **asked)
    read = generate("a calm piano, 60s", models=open_models(folder, dtype="fp32"), **asked)
    assert torch.equal(lent.latents, read.latents)
    assert_close(lent.audio, read.audio, atol=2e-5, rtol=1e-4)  # their VAE normalises its weights at each call


def test_a_pipeline_that_cannot_be_used_says_so(roots):
    from diffusers import AceStepPipeline

    folder = roots / "diffusers" / "acestep-v15-base-diffusers"
    pipeline = AceStepPipeline.from_pretrained(folder, torch_dtype=torch.float32)
    with pytest.raises(InvalidInput, match=r"move it with its own \.to\(\)"):
        open_models(pipeline, dtype="bf16")
    assert open_models(pipeline).model.variant == "base"
    layer = pipeline.transformer.layers[0].self_attn
    layer.lora_A = torch.nn.Linear(2, 2)
    with pytest.raises(InvalidInput, match=r"call its fuse_lora\(\)"):
        open_models(pipeline)
    del layer.lora_A
    pipeline.transformer.to("meta")
    with pytest.raises(InvalidInput, match="without sequential offload"):
        open_models(pipeline)
    pipeline.audio_tokenizer = None
    with pytest.raises(InvalidInput, match="has no audio_tokenizer"):
        open_models(pipeline)
