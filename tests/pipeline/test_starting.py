"""What a song may start from, through the front door: read, recorded, found again."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from safetensors.torch import save_file

from acestep_core import generate, replay
from acestep_core.errors import AudioError, InvalidInput
from acestep_core.options import TextToMusic
from acestep_core.pipeline.generation import make_in_parts
from acestep_core.pipeline.request import Request
from acestep_core.pipeline.starting import start_from
from acestep_core.records.song_record import SongRecord

LATENTS = torch.randn(1, 250, 64, generator=torch.Generator().manual_seed(1))
FEW = {"steps": 2, "seed": 3, "progress": False}


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("recordings") / "demo.wav"
    soundfile.write(path, np.sin(np.arange(480_000)[:, None] / [20, 30]) * 0.3, 48_000, subtype="FLOAT")
    return path


def test_every_kind_of_latent_is_the_same(tiny_models, tmp_path):
    file = tmp_path / "one.latent"
    save_file({"latent_tensor": LATENTS.mT.contiguous()}, file)
    native = {"samples": LATENTS.mT, "type": "audio"}
    for given in (LATENTS, LATENTS[0], native, file, str(file)):
        assert torch.equal(start_from(given).latents, LATENTS)
    mask = {"noise_mask": torch.ones(1, 1, 250)}
    assert start_from(native | mask).file.extra["noise_mask"] == [[[250, 1.0]]]


@pytest.mark.parametrize(
    "wrong",
    [torch.zeros(1, 64, 250), {"samples": torch.zeros(1, 4, 8, 8)}, torch.full((1, 9, 64), torch.nan), "no.latent"],
)
def test_what_is_no_latent_is_refused(wrong):
    with pytest.raises(InvalidInput):
        start_from(wrong)


def test_a_mask_alone_is_refused(tiny_models):
    with pytest.raises(InvalidInput, match="give a latent"):
        generate("x", models=tiny_models, noise_mask="1-2", **FEW)


def test_the_song_is_as_long_and_as_many_as_what_it_starts_from(tiny_models):
    made = generate("x", models=tiny_models, latent=LATENTS.expand(2, -1, -1), denoise=0.5, **FEW)
    assert made.duration == 10 and len(made) == 2
    assert not torch.equal(made.latents[0], made.latents[1]), "each has its own noise"


def test_a_recording_is_encoded_recorded_and_found_again(tiny_models, recording, tmp_path):
    made = generate("x", models=tiny_models, latent=recording, denoise=0.4, noise_mask="2-4", **FEW)
    kept = made.save(recording.parent / "song.wav", "wav32")[0]
    told = SongRecord.load(kept.with_suffix(".json"))
    (file,) = [file for file in told.files if file.role == "latent"]
    assert file.name == "demo.wav" and len(file.sha256) == 64
    assert file.extra["noise_mask"] == [[[50, 0.0], [50, 1.0], [150, 0.0]]]
    assert torch.equal(replay(kept.with_suffix(".json"), tiny_models, progress=False).audio, made.audio)


def test_a_latent_in_memory_must_be_given_again(tiny_models):
    made = generate("x", models=tiny_models, latent=LATENTS, denoise=0.4, **FEW)
    told = SongRecord.from_json(made.record().to_json())
    with pytest.raises(AudioError, match="give it as latent"):
        replay(told, tiny_models, progress=False)
    assert torch.equal(replay(told, tiny_models, latent=LATENTS, progress=False).audio, made.audio)


def test_songs_of_a_large_batch_keep_their_rows(tiny_models):
    rows = torch.randn(3, 250, 64, generator=torch.Generator().manual_seed(5))
    request = Request.of("x", {"models": tiny_models, "latent": rows, "denoise": 0.4, "duration": 10, **FEW})
    parts = list(make_in_parts(request, TextToMusic(), size=2))
    assert [len(part) for part in parts] == [2, 1]
    told = SongRecord.from_json(parts[1].record().to_json())
    assert torch.equal(replay(told, tiny_models, latent=rows, progress=False).audio, parts[1].audio)
    one = SongRecord.from_json(parts[0].record(1).to_json())
    alone = replay(one, tiny_models, latent=rows, alone=True, progress=False)
    torch.testing.assert_close(alone.latents, parts[0].latents[1:2], atol=1e-4, rtol=1e-4)


def test_songs_of_a_sampler_that_nobody_can_tell_get_no_record(tiny_models, tmp_path):
    made = replace(generate("x", models=tiny_models, duration=10, **FEW), unrecorded="A foreign sampler took part.")
    assert made.remarks[0] == "A foreign sampler took part."
    with pytest.raises(InvalidInput, match="foreign sampler"):
        made.record()
    made.save(tmp_path / "song.flac")
    assert [path.name for path in tmp_path.iterdir()] == ["song.flac"]
    with pytest.raises(InvalidInput, match="does not say how it was made"):
        SongRecord.load(tmp_path / "song.flac")


def test_a_run_goes_on_where_another_left_its_noise(tiny_models):
    told = {"models": tiny_models, "seed": 3, "steps": 4, "progress": False}
    whole = generate("x", duration=10, **told)
    first = generate("x", duration=10, end_step=2, leave_noise=True, **told)
    second = generate("x", latent=first.latents, start_step=2, add_noise=False, **told)
    torch.testing.assert_close(second.latents, whole.latents, rtol=0, atol=1e-4)
