"""What made a song travels with it, and stays true when nodes of others reorder, join, cut or change songs."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
import torch

from acestep_core.song.description import Song

Call = Callable[..., Any]
Carrier = dict[str, Any]


@pytest.fixture
def models(call: Call) -> tuple[Any, Any]:
    model, vae, _ = call("ACEStepLoader", preset="auto")
    return model, vae


def sampled(call: Call, models: tuple[Any, Any], task: Any = None, seed: int = 5, batch: int = 1) -> Carrier:
    song = Song(caption="calm", duration=10.0)
    task = task or call("ACEStepTextToMusic", song=song)[0]
    (told,) = call("ACEStepConditioning", model=models[0], song=song, task=task)
    (sigmas,) = call("ACEStepSchedule", model=models[0], steps=1, shift=0.0)
    wires = {"model": models[0], "conditioning": told, "sigmas": sigmas}
    return call("ACEStepSampler", seed=seed, batch_size=batch, sampler="euler", **wires)[0]


def repainted(call: Call, models: tuple[Any, Any]) -> tuple[Any, Carrier, torch.Tensor]:
    wave = torch.rand(1, 2, 48_000 * 3, generator=torch.Generator().manual_seed(1)) - 0.5
    audio = {"waveform": wave, "sample_rate": 48_000}
    region = {"start": 1.0, "end": 2.0, "mode": "balanced", "strength": 0.5}
    (task,) = call("ACEStepRepaint", vae=models[1], audio=audio, **region)
    return task, sampled(call, models, task), wave


def decoded(call: Call, models: tuple[Any, Any], latent: Carrier, **more: Any) -> Carrier:
    return call("ACEStepDecode", vae=models[1], latent=latent, **more)[0]


def seeds(audio: Carrier, call: Call) -> list[int | None]:
    """The seed that the record of each song would name; None for no record."""
    from acestep_core.pipeline.made import digests_of

    cargo = audio.get("acestep")
    known = {} if cargo is None else dict(zip(cargo.digests, cargo.made.seeds, strict=True))
    return [known.get(digest) for digest in digests_of(audio["waveform"])]


def test_a_batch_is_known_song_by_song(call: Call, models: Any) -> None:
    latent = sampled(call, models, batch=3)
    assert seeds(decoded(call, models, latent), call) == [5, 6, 7]
    turned = {**latent, "samples": latent["samples"][[2, 0]]}  # as LatentFromBatch and rebatching do
    assert seeds(decoded(call, models, turned), call) == [7, 5]
    twice = {**latent, "samples": latent["samples"][[1, 1]]}
    assert seeds(decoded(call, models, twice), call) == [6, 6]


def test_two_batches_in_one_keep_what_is_known(call: Call, models: Any) -> None:
    first, second = sampled(call, models, seed=5), sampled(call, models, seed=9)
    both = {**first, "samples": torch.cat([first["samples"], second["samples"]])}  # as LatentBatch does
    audio = decoded(call, models, both)
    assert seeds(audio, call) == [5, None]
    torch.testing.assert_close(audio["waveform"][1], decoded(call, models, second)["waveform"][0], atol=1e-4, rtol=1e-3)


@pytest.mark.parametrize(
    "change",
    [
        lambda x: x * 1.01,
        lambda x: x + 0.001,
        lambda x: 0.5 * (x + x.flip(-1)),
        lambda x: x[..., :-1],
        lambda x: torch.cat([x, x], dim=-1),
    ],
    ids=["scaled", "shifted", "blended", "cut", "joined"],
)
def test_a_changed_latent_has_no_record_and_its_own_length(call: Call, models: Any, change: Any) -> None:
    latent = sampled(call, models)
    changed = {**latent, "samples": change(latent["samples"])}
    audio = decoded(call, models, changed)
    assert seeds(audio, call) == [None] and "acestep" not in audio
    assert audio["waveform"].shape[-1] == changed["samples"].shape[-1] * 1920


def test_changed_audio_has_no_record(call: Call, models: Any, folders: Any) -> None:
    audio = decoded(call, models, sampled(call, models))
    quieter = {**audio, "waveform": audio["waveform"] * 0.5}
    shown = call("ACEStepSaveSong", audio=quieter, filename_prefix="x", format="wav32")["ui"]
    assert [entry["filename"] for entry in shown["audio"]] == ["x_00001.wav"] and "files" not in shown
    shown = call("ACEStepSaveSong", audio=audio, filename_prefix="x", format="wav32")["ui"]
    assert [entry["filename"] for entry in shown["files"]] == ["x_00002.json"]
    shown = call("ACEStepSaveSong", audio=quieter, audio_2=audio, filename_prefix="x", format="wav32", plan="bpm: 90")[
        "ui"
    ]
    assert [entry["filename"] for entry in shown["files"]] == ["x_00004.json"], "each input brings its own story"
    facts = [json.loads(text) for text in shown["songs"]]
    assert [(told.get("seed"), told["plan"]) for told in facts] == [(None, ""), ("5", "")], "and no plan of another"


def test_a_repaint_that_lost_its_story_can_be_given_its_task(call: Call, models: Any) -> None:
    task, latent, wave = repainted(call, models)
    whole = decoded(call, models, latent)["waveform"]
    assert torch.equal(whole[..., : 48_000 - 4800], wave[..., : 48_000 - 4800])
    bare = {"samples": latent["samples"]}  # as a node does that builds the dictionary anew
    lost = decoded(call, models, bare)["waveform"]
    assert not torch.equal(lost[..., : 48_000 - 4800], wave[..., : 48_000 - 4800])
    given = decoded(call, models, bare, task=task)["waveform"]
    assert torch.equal(given, whole)


def test_songs_with_and_without_a_story_are_not_spliced_into_each_other(call: Call, models: Any) -> None:
    _, latent, wave = repainted(call, models)
    both = {**latent, "samples": torch.cat([latent["samples"], latent["samples"] * 1.01])}
    audio = decoded(call, models, both)
    assert "acestep" not in audio and audio["waveform"].shape == (2, 2, latent["samples"].shape[-1] * 1920)
    for song in audio["waveform"]:
        assert not torch.equal(song[:, :40_000], wave[0, :, :40_000])


def test_what_was_lost_is_said(bench: Any) -> None:
    outcome = bench(
        load=("ACEStepLoader", {"preset": "auto"}),
        song=("ACEStepSong", {"caption": "a", "lyrics": "", "language": "unknown", "instrumental": False,
                              "duration": 10.0, "bpm": 0, "keyscale": "auto", "timesignature": "auto"}),
        task=("ACEStepTextToMusic", {"song": "song.0"}),
        told=("ACEStepConditioning", {"model": "load.0", "song": "song.0", "task": "task.0"}),
        steps=("ACEStepSchedule", {"model": "load.0", "steps": 1, "shift": 0.0}),
        sampler=("ACEStepSampler", {"model": "load.0", "conditioning": "told.0", "seed": 1, "batch_size": 1,
                                    "sampler": "euler", "sigmas": "steps.0"}),
        decode=("ACEStepDecode", {"vae": "load.1", "latent": "sampler.0"}),
        again=("ACEStepEncodeAudio", {"vae": "load.1", "audio": "decode.0"}),
        plain=("ACEStepDecode", {"vae": "load.1", "latent": "again.0"}),
        play=("ACEStepPreviewSong", {"audio": "plain.0"}),
        hear=("ACEStepPreviewSong", {"audio": "decode.0"}),
    )  # fmt: skip
    assert outcome.success, outcome.error
    assert not any("do not say what made them" in line for line in bench.said(outcome)), (
        "a recording has no story to lose"
    )
    assert any("test model" in line for line in bench.said(outcome)), "noise is called so where it is heard"
