"""Every input of every node does something: changed alone, it changes what is heard, handed out, shown or written.

`CHANGES` has one line for each input; an input without one fails. What a node hands out is followed to where it takes
effect: a model is sampled with, a task is sung to the end. So an option that is kept but used by nobody is found, too.
The nodes for training are in `test_every_train_input.py`.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from acestep_core.options import Guidance, LMSampling
from tests.nodes.workshop import (
    CLASSES,
    Part,
    Workshop,
    does_something,
    furnish,
    hides_what_does_nothing,
    hiding_inputs,
    inputs_of,
    is_training,
    names_what_there_is,
    other,
)

DTYPE, DEVICE = other("bf16"), other("cuda:99", error="There is no device 'cuda:99'")
AUDIO, MODEL, VAE, LM = Part("other_audio"), Part("base"), Part("other_vae"), Part("other_lm")
SONG, TASK, SAMPLING = Part("other_song"), Part("other_task"), LMSampling(temperature=1.5)
BALANCED = {"mode": "balanced"}
REGION = {
    "start": 0.2,
    "end": 0.8,
    "mode": "aggressive",
    "strength": other(0.0, **BALANCED),
    "chunk_mask": "window",
}

CHANGES: dict[str, dict[str, Any]] = {
    "ACEStepLoader": {"preset": "under 6 GB: no language model", "dtype": DTYPE, "device": DEVICE},
    "ACEStepModelLoader": {"model": "acestep-v15-base", "variant": "base", "dtype": DTYPE, "device": DEVICE},
    "ACEStepVAELoader": {"vae": "other_vae", "dtype": DTYPE, "device": DEVICE},
    "ACEStepLMLoader": {"lm": "acestep-5Hz-lm-1.7B", "dtype": DTYPE, "device": DEVICE},
    "ACEStepLoRALoader": {
        "model": MODEL,
        "lora": "b",
        "strength": 0.5,
        "enabled": False,
        "loras": other(2, lora_2="b"),
        **{f"lora_{n}": other("b", loras=n) for n in (2, 3, 4)},
        **{f"strength_{n}": other(0.5, **{"loras": n, f"lora_{n}": "b"}) for n in (2, 3, 4)},
    },
    "ACEStepSong": {
        "caption": "wild drums",
        "lyrics": "[Verse]\nother words",
        "instrumental": True,
        "language": "de",
        "duration": 12.0,
        "bpm": 90,
        "keyscale": "C major",
        "timesignature": "3",
    },
    "ACEStepSongInfo": {"song": SONG},
    "ACEStepCreateSong": {
        "lm": LM,
        "query": "a sad song",
        "instrumental": True,
        "language": "de",
        "seed": 2,
        "sampling": SAMPLING,
    },
    "ACEStepFormatSong": {"lm": LM, "song": SONG, "seed": 2, "sampling": SAMPLING},
    "ACEStepPlan": {
        "lm": LM,
        "song": SONG,
        "seed": 2,
        "metas": False,
        "caption": False,
        "language": False,
        "edited_plan": "bpm: 90",
        "max_duration": 10.0,
        "sampling": SAMPLING,
        "caption_tokens": 8,
    },
    "ACEStepPlanCodes": {
        "lm": LM,
        "song": SONG,
        "plan": "duration: 11",
        "seed": 2,
        "batch_size": 2,
        "sampling": SAMPLING,
    },
    "ACEStepUnderstand": {
        "lm": LM,
        "codes": ((4, 5, 6),),
        "seed": 2,
        "item": other(1, codes=((1, 2, 3), (4, 5, 6))),
        "sampling": SAMPLING,
    },
    "ACEStepLMSampling": {
        "temperature": 0.0,
        "top_p": 0.1,
        "top_k": 1,
        "cfg_scale": 1.0,
        "repetition_penalty": other(2.0, top_k=2),
        "negative_prompt": "noise",
        "prompt_form": "legacy",
    },
    "ACEStepAudioToCodes": {"model": MODEL, "vae": VAE, "audio": AUDIO},
    "ACEStepCodesToText": {"codes": ((4, 5, 6),)},
    "ACEStepTextToCodes": {
        "text": "<|audio_code_2|>",
        "strict": other(True, error="contain 'a'", strict=False, text="a <|audio_code_1|>"),
    },
    "ACEStepTextToMusic": {
        "song": SONG,
        "codes": ((1, 2, 3),),
        "codes_strength": other(0.5, codes=((1, 2, 3),)),
    },
    "ACEStepCover": {"vae": VAE, "audio": AUDIO, "strength": 0.5, "noise_strength": 0.6, "semantic": False},
    "ACEStepRepaint": {"vae": VAE, "audio": AUDIO, **REGION, "keep_outside": False, "bars": "1.1 at 240 bpm"},
    "ACEStepExtend": {
        "vae": VAE,
        "audio": AUDIO,
        "after": 2.0,
        "before": 1.0,
        "mode": "aggressive",
        "strength": other(0.0, **BALANCED),
        "chunk_mask": "window",
        "bars": "2 at 240 bpm",
    },
    "ACEStepLego": {
        "vae": VAE,
        "audio": AUDIO,
        "track": "bass",
        **REGION,
        "keep_outside": False,
        "bars": "1.1 at 240 bpm",
    },
    "ACEStepExtract": {"vae": VAE, "audio": AUDIO, "track": "bass"},
    "ACEStepComplete": {"vae": VAE, "audio": AUDIO, "tracks": "piano"},
    "ACEStepReferenceAudio": {
        "vae": VAE,
        "task": TASK,
        "audio": AUDIO,
        "clip_seed": other(2, audio=Part("long_audio")),
        **{f"audio_{n}": AUDIO for n in (2, 3, 4)},
    },
    "ACEStepConditioning": {
        "model": MODEL,
        "song": SONG,
        "task": TASK,
        "album_caption": other("an opera", model=Part("stems"), task=Part("lego")),
    },
    "ACEStepSchedule": {"model": MODEL, "steps": 4, "shift": 1.0, "timesteps": "1, 0.5"},
    "ACEStepGuidance": {
        "mode": "cfg",
        "scale": 3.0,
        "start": 0.6,
        "end": 0.9,
        "momentum": 0.5,
        "eta": 0.5,
        "norm_threshold": 0.1,
    },
    "ACEStepSampler": {
        "model": Part("turbo"),
        "conditioning": Part("other_conditioning"),
        "seed": 2,
        "batch_size": 2,
        "sampler": "heun",
        "sigmas": torch.tensor([1.0, 0.4, 0.0]),
        "guidance": Guidance(scale=2.0),
        "velocity_clamp": 0.1,
        "velocity_ema": 0.5,
        "variation": 0.5,
        "variation_seed": other(2, variation=0.5),
        "wavelet": "double",
        "wavelet_low": other(0.5, wavelet="double"),
        "wavelet_high": other(0.5, wavelet="double"),
        "settings": Part("settings"),
        "latent": other(Part("other_latent"), denoise=0.5, latent=Part("latent")),
        "native_sampler": other(object(), error="must be a SAMPLER of ComfyUI"),
        "denoise": other(0.5, latent=Part("other_latent")),
        "start_step": other(1, latent=Part("other_latent")),
        "end_step": 1,
        "add_noise": other(False, latent=Part("other_latent"), denoise=0.5),
        "leave_noise": other(True, end_step=1),
    },
    "ACEStepDecode": {
        "vae": VAE,
        "latent": Part("other_latent"),
        "normalize": False,
        "peak_db": -6.0,
        "fade_in": 0.5,
        "fade_out": 0.5,
        "latent_shift": 0.1,
        "latent_rescale": 0.5,
        "tile": 12,
        "settings": Part("settings"),
        "task": other(Part("lego"), latent=Part("plain_latent")),
    },
    "ACEStepEncodeAudio": {
        "vae": VAE,
        "audio": AUDIO,
        "sample_posterior": True,
        "posterior_seed": other(2, sample_posterior=True),
        "tile": other(12, audio=AUDIO),
    },
    "ACEStepLyricAlignment": {
        "model": MODEL,
        "conditioning": Part("other_conditioning"),
        "latent": Part("other_latent"),
        "steps": 2,
        "listen_seed": 2,
    },
    "ACEStepTimedLyrics": {
        "timing": Part("other_timing"),
        "format": "srt",
        "words": False,
        "tags": True,
        "item": other(1, timing=Part("two_timings")),
    },
    "ACEStepLMScore": {
        "lm": LM,
        "song": SONG,
        "codes": ((4, 5, 6),),
        "plan": other("bpm: 90", song=Part("open_song")),
        "scale": 5.0,
    },
    "ACEStepBestOf": {
        "latent": Part("two_other_latents"),
        "keep": 2,
        "timing": Part("two_timings"),
        "lm_scores": (0.9, 0.1),
        "alignment_weight": other(0.9, timing=Part("two_timings")),
        "lm_weight": other(0.9, timing=Part("two_timings")),
    },
    "ACEStepSaveSong": {
        "audio": Part("other_song_audio"),
        "filename_prefix": "other",
        "format": "wav16",
        "bitrate": other("320", format="mp3"),
        "timing": Part("timing"),
        "save_graph": False,
        "sidecar": False,
        "subtitles": other("srt", timing=Part("timing")),
        "zip": True,
        "plan": "bpm: 90",
        "prompt": {"1": {"class_type": "Other", "inputs": {}}},
        "extra_pnginfo": {"workflow": {"nodes": [1]}},
        **{f"audio_{n}": Part("other_song_audio") for n in (2, 3, 4)},
    },
    "ACEStepPreviewSong": {
        "audio": Part("other_song_audio"),
        "timing": Part("timing"),
        "lm_scores": (0.5,),
        "plan": "bpm: 90",
        "prompt": {"1": {"class_type": "Other", "inputs": {}}},
        "extra_pnginfo": {"workflow": {"nodes": [1]}},
        **{f"audio_{n}": Part("other_song_audio") for n in (2, 3, 4)},
    },
    "ACEStepMorph": {
        "vae": VAE,
        "audio": AUDIO,
        "source_caption": "wild drums",
        "source_lyrics": "[Verse]\nother words",
        "start": 0.5,
        "end": 0.5,
        "average": 2,
    },
    "ACEStepLoadRecord": {
        "record": Part("other_record"),
        "vae": VAE,
        "audio": AUDIO,
        "reference": other(AUDIO, record=Part("record_with_reference"), reference=Part("audio")),
        "latent": other(Part("other_latent"), record=Part("record_with_latent"), latent=Part("latent")),
    },
    "ACEStepShowText": {"text": "bpm: 90"},
}

USUAL: dict[str, dict[str, Any]] = {
    "ACEStepVAELoader": {"vae": "vae"},
    "ACEStepLMLoader": {"lm": "acestep-5Hz-lm-0.6B"},
    "ACEStepLoRALoader": {"lora": "a"},
    "ACEStepSong": {"caption": "calm", "lyrics": "[Verse]\nhello world", "duration": 10.0},
    "ACEStepTextToCodes": {"text": "<|audio_code_1|>"},
    "ACEStepPlan": {"song": Part("open_song")},
    "ACEStepLMSampling": {"temperature": 0.85},
    "ACEStepRepaint": {"start": 0.1, "end": 0.9},
    "ACEStepLego": {"start": 0.1, "end": 0.9},
    "ACEStepExtend": {"after": 1.0},
    "ACEStepGuidance": {"scale": 7.0},
    "ACEStepSampler": {"model": Part("base")},
    "ACEStepMorph": {"source_caption": "pop song"},
    "ACEStepBestOf": {"latent": Part("two_latents"), "lm_scores": (0.4, 0.6)},
    "ACEStepSaveSong": {"audio": Part("song_audio"), "prompt": {}},
    "ACEStepPreviewSong": {"audio": Part("song_audio"), "prompt": {}},
    "ACEStepLoadRecord": {"record": Part("record"), "vae": Part("vae"), "audio": Part("audio")},
}
"""Where it is not a widget's default, or for a wire that must be connected the part of its name."""

COMFYUI = "it works in ComfyUI alone, see tests/comfyui/test_comfyui_bridges.py"
WITHOUT_EFFECT = {
    ("ACEStepSaveSong", "audioUI"): "the canvas puts its player there; nothing arrives through it",
    ("ACEStepPreviewSong", "audioUI"): "the canvas puts its player there; nothing arrives through it",
    **{("ACEStepFromNative", name): COMFYUI for name in ("model", "clip", "vae", "variant")},
    **{("ACEStepToNative", name): COMFYUI for name in ("model", "vae", "conditioning")},
    ("ACEStepPlanCodes", "chunk"): "the codes do not depend on it, only the memory does",
}


@pytest.fixture(scope="module")
def workshop(tiny_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workshop]:
    place = tmp_path_factory.mktemp("workshop")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("acestep_core.planner.planning.seconds_to_codes", int)  # a fifth of the codes
        yield Workshop(furnish(tiny_root, place), place, USUAL)


@pytest.mark.parametrize(("node_id", "name"), [pair for pair in inputs_of(False) if pair not in WITHOUT_EFFECT])
def test_it_does_something(node_id: str, name: str, workshop: Workshop) -> None:
    does_something(workshop, CHANGES, node_id, name)


@pytest.mark.parametrize(("node_id", "name"), hiding_inputs(False))
def test_what_it_hides_does_nothing(node_id: str, name: str, workshop: Workshop) -> None:
    hides_what_does_nothing(workshop, CHANGES, node_id, name)


@pytest.mark.parametrize("node_id", [name for name in CLASSES if not is_training(name) and not name.endswith("Native")])
def test_nothing_else_makes_a_difference(node_id: str, workshop: Workshop) -> None:
    """Without this the test above would show nothing."""
    assert workshop.run(node_id) == workshop.run(node_id, again=True)


def test_the_lists_name_what_there_is() -> None:
    names_what_there_is(CHANGES, WITHOUT_EFFECT, training=False)
