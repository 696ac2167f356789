from collections.abc import Callable
from typing import Any

import pytest
import torch

from acestep_core.errors import AudioError, InvalidInput
from acestep_core.io.audio import read_audio
from acestep_core.judge.lyric_timing import DOES_NOT_SING
from acestep_core.models.handles import ModelHandle, VAEHandle
from acestep_core.pipeline.steps import UNHEARD
from acestep_core.song.description import Song

RATE = 48_000


@pytest.fixture
def recording() -> dict[str, Any]:
    time = torch.arange(6 * RATE) / RATE
    return {"waveform": (torch.sin(2 * torch.pi * 220 * time) * 0.4).expand(1, 2, -1).clone(), "sample_rate": RATE}


@pytest.fixture
def vae(call: Callable[..., Any]) -> Any:
    return call("ACEStepVAELoader", vae="auto")[0]


def render(call: Callable[..., Any], task: Any, vae: Any, variant: str = "turbo", **sampler: Any) -> torch.Tensor:
    """The audio `[B, 2, S]` that a task becomes, in two steps."""
    (model,) = call("ACEStepModelLoader", model="auto", variant=variant)
    (conditioning,) = call("ACEStepConditioning", model=model, song=Song("calm"), task=task)
    (sigmas,) = call("ACEStepSchedule", model=model, steps=2, shift=0.0)
    values = {"seed": 1, "batch_size": 1, "sampler": "euler"} | sampler
    (latent,) = call("ACEStepSampler", model=model, conditioning=conditioning, sigmas=sigmas, **values)
    return call("ACEStepDecode", vae=vae, latent=latent)[0]["waveform"]


def test_cover_follows_the_recordings_length(call: Callable[..., Any], vae: Any, recording: Any) -> None:
    (task,) = call("ACEStepCover", vae=vae, audio=recording, strength=1.0)
    (near,) = call("ACEStepCover", vae=vae, audio=recording, strength=0.5, noise_strength=0.5, semantic=False)
    cover, other = render(call, task, vae), render(call, near, vae)
    assert cover.shape == other.shape == (1, 2, 6 * RATE)
    assert not torch.allclose(cover, other, atol=1e-2)
    assert [task[0].name, near[0].name] == ["cover", "cover_nofsq"]


def test_repaint_keeps_every_sample_outside(call: Callable[..., Any], vae: Any, recording: Any) -> None:
    (task,) = call("ACEStepRepaint", vae=vae, audio=recording, start=2.0, end=4.0, mode="balanced", strength=0.5)
    audio = render(call, task, vae)
    source = recording["waveform"]
    assert torch.equal(audio[..., : int(1.9 * RATE)], source[..., : int(1.9 * RATE)])
    assert torch.equal(audio[..., int(4.1 * RATE) :], source[..., int(4.1 * RATE) :])
    inside = slice(int(2.2 * RATE), int(3.8 * RATE))
    assert not torch.allclose(audio[..., inside], source[..., inside], atol=1e-2)


def test_extend_adds_at_both_ends(call: Callable[..., Any], vae: Any, recording: Any) -> None:
    (task,) = call("ACEStepExtend", vae=vae, audio=recording, after=3.0, before=1.0, mode="conservative", strength=0.5)
    audio = render(call, task, vae)
    assert audio.shape[-1] == 10 * RATE
    assert torch.equal(audio[..., RATE : 7 * RATE][..., 4800:-4800], recording["waveform"][..., 4800:-4800])


@pytest.mark.parametrize(
    ("node", "inputs"),
    [
        ("ACEStepLego", {"track": "drums", "start": 0.0, "end": -1.0, "mode": "balanced", "strength": 0.5}),
        ("ACEStepExtract", {"track": "vocals"}),
        ("ACEStepComplete", {"tracks": "drums, Backing Vocals"}),
    ],
)
def test_stem_tasks_run_on_base_only(
    call: Callable[..., Any], vae: Any, recording: Any, node: str, inputs: dict[str, Any]
) -> None:
    task, *_ = call(node, vae=vae, audio=recording, **inputs)
    task = task[0] if node == "ACEStepExtract" else task  # a list, of one here
    assert render(call, task, vae, "base").shape == (1, 2, 6 * RATE)
    with pytest.raises(InvalidInput, match="base checkpoint"):
        render(call, task, vae)


def test_references_add_up_and_change_the_song(call: Callable[..., Any], vae: Any, recording: Any) -> None:
    (plain,) = call("ACEStepTextToMusic", song=Song(duration=10.0))
    (one,) = call("ACEStepReferenceAudio", vae=vae, task=plain, audio=recording)
    (two,) = call("ACEStepReferenceAudio", vae=vae, task=one, audio=recording)
    (both,) = call("ACEStepReferenceAudio", vae=vae, task=plain, audio=recording, audio_2=None, audio_3=recording)
    assert [len(task[0].references) for task in (plain, one, two, both)] == [0, 1, 2, 2]
    assert all(torch.equal(*clips) for clips in zip(two[0].references, both[0].references, strict=True))
    assert not torch.allclose(render(call, plain, vae), render(call, one, vae), atol=1e-2)


def test_that_the_toy_does_not_hear_a_recording_is_said_once(
    pack: Any, call: Callable[..., Any], vae: Any, recording: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    (plain,) = call("ACEStepTextToMusic", song=Song(duration=10.0))
    node = pack.classes["ACEStepReferenceAudio"]()
    assert isinstance(node.make(vae, plain, recording), tuple)
    monkeypatch.setattr(VAEHandle, "toy", True)
    made = node.make(vae, plain, recording, audio_2=recording)
    assert made["ui"] == {"text": [UNHEARD]}
    assert isinstance(node.make(vae, made["result"][0], recording), tuple)


def test_a_batch_of_recordings_becomes_a_batch_of_songs(call: Callable[..., Any], vae: Any, recording: Any) -> None:
    both = {"waveform": torch.cat([recording["waveform"], recording["waveform"].flip(-1)]), "sample_rate": RATE}
    (task,) = call("ACEStepCover", vae=vae, audio=both, strength=1.0)
    assert render(call, task, vae).shape[0] == 2


def test_unusable_recordings_are_refused(call: Callable[..., Any], vae: Any, recording: Any) -> None:
    short = {"waveform": torch.ones(1, 2, 100), "sample_rate": RATE}
    with pytest.raises(AudioError, match="at least"):
        call("ACEStepCover", vae=vae, audio=short, strength=1.0)
    with pytest.raises(InvalidInput, match="ends at 6 s"):
        call("ACEStepRepaint", vae=vae, audio=recording, start=7.0, end=-1.0, mode="balanced", strength=0.5)
    with pytest.raises(InvalidInput, match="Nothing would be added"):
        call("ACEStepExtend", vae=vae, audio=recording, after=0.0, before=0.0, mode="balanced", strength=0.5)
    with pytest.raises(InvalidInput, match="Unknown track"):
        call("ACEStepComplete", vae=vae, audio=recording, tracks="kazoo orchestra")


def test_codes_of_a_recording(call: Callable[..., Any], vae: Any, recording: Any) -> None:
    (model,) = call("ACEStepModelLoader", model="auto")
    (codes,) = call("ACEStepAudioToCodes", model=model, vae=vae, audio=recording)
    assert [len(song) for song in codes] == [30]
    (text,) = call("ACEStepCodesToText", codes=codes)
    assert call("ACEStepTextToCodes", text=text) == (codes,)
    with pytest.raises(InvalidInput):
        call("ACEStepTextToCodes", text="no codes")
    assert call("ACEStepTextToCodes", text="x <|audio_code_99999|>", strict=False) == (((63999,),),)


def test_timed_lyrics_are_saved_beside_the_song(call: Callable[..., Any], vae: Any, folders: Any) -> None:
    song = Song("calm", "[Verse]\nhello world\n\n[Chorus]\ngoodbye", "en", duration=10.0)
    (model,) = call("ACEStepModelLoader", model="auto")
    (task,) = call("ACEStepTextToMusic", song=song)
    (conditioning,) = call("ACEStepConditioning", model=model, song=song, task=task)
    (latent,) = call("ACEStepSampler", model=model, conditioning=conditioning, seed=1, batch_size=2, sampler="euler")
    timing, report = call("ACEStepLyricAlignment", model=model, conditioning=conditioning, latent=latent)
    assert len(timing) == 2 and report.count("coverage") == 2
    (lrc,) = call("ACEStepTimedLyrics", timing=timing, format="lrc", words=False, tags=False, item=1)
    assert "hello world" in lrc and "[Verse]" not in lrc
    assert call("ACEStepTimedLyrics", timing=timing, format="vtt", words=True, tags=True)[0].startswith("WEBVTT")
    with pytest.raises(InvalidInput, match="set item to 1"):
        call("ACEStepTimedLyrics", timing=timing, format="lrc", words=True, tags=True, item=2)
    (audio,) = call("ACEStepDecode", vae=vae, latent=latent)
    call("ACEStepSaveSong", audio=audio, filename_prefix="s", format="flac", timing=timing, sidecar=False)
    assert [path.name for path in sorted(folders.output.iterdir())] == [
        "s_00001.flac",
        "s_00001.lrc",
        "s_00002.flac",
        "s_00002.lrc",
    ]
    assert read_audio(folders.output / "s_00001.flac")[0].shape == (2, 10 * RATE)


def test_a_model_that_does_not_sing_says_so_beside_its_times(
    call: Callable[..., Any], pack: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    song = Song("calm", "[Verse]\nhello world", "en", duration=10.0)
    (model,) = call("ACEStepModelLoader", model="auto")
    (task,) = call("ACEStepTextToMusic", song=song)
    (conditioning,) = call("ACEStepConditioning", model=model, song=song, task=task)
    (latent,) = call("ACEStepSampler", model=model, conditioning=conditioning, seed=1, batch_size=2, sampler="euler")
    node = pack.classes["ACEStepLyricAlignment"]()
    assert isinstance(node.listen(model, conditioning, latent), tuple)
    monkeypatch.setattr(ModelHandle, "toy", True)
    assert node.listen(model, conditioning, latent)["ui"] == {"text": [DOES_NOT_SING]}


def test_the_best_songs_are_kept_with_their_seeds(call: Callable[..., Any], vae: Any) -> None:
    song = Song("calm", "[Verse]\nhello world", "en", duration=10.0)
    model, _, lm = call("ACEStepLoader", preset="auto")
    codes = ((1,) * 50, (2,) * 50, (3,) * 50)
    (task,) = call("ACEStepTextToMusic", song=song, codes=codes)
    (conditioning,) = call("ACEStepConditioning", model=model, song=song, task=task)
    (latent,) = call("ACEStepSampler", model=model, conditioning=conditioning, seed=5, batch_size=1, sampler="euler")
    timing, _ = call("ACEStepLyricAlignment", model=model, conditioning=conditioning, latent=latent)
    scores, report = call("ACEStepLMScore", lm=lm, song=song, codes=codes, plan="bpm: 90")
    assert len(scores) == 3 and all(0 <= score <= 1 for score in scores) and report.count("Song") == 3
    best, kept, table = call(
        "ACEStepBestOf", latent=latent, keep=2, lm_scores=(0.1, 0.9, 0.5), timing=timing, alignment_weight=0.0
    )
    assert torch.equal(best["samples"], latent["samples"][[1, 2]])
    assert best["acestep"].made.seeds == (6, 7) and [task.codes[0] for task in best["acestep"].made.tasks] == [2, 3]
    assert kept == (timing[1], timing[2]) and "place" in table
    assert call("ACEStepDecode", vae=vae, latent=best)[0]["waveform"].shape[0] == 2
    assert call("ACEStepBestOf", latent=latent, keep=9, timing=timing)[0]["samples"].shape[0] == 3
    with pytest.raises(InvalidInput, match="of 1 songs"):
        call("ACEStepBestOf", latent=latent, keep=1, lm_scores=(0.5,))
    with pytest.raises(InvalidInput, match="score the takes"):
        call("ACEStepBestOf", latent=latent, keep=1)
