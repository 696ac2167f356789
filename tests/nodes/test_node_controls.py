"""Controls of the task, record and preview nodes beyond the usual ones."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from acestep_core.errors import InvalidInput
from acestep_core.judge.alignment import AlignmentScore
from acestep_core.judge.lyric_timing import SungLyrics
from acestep_core.judge.timing import TimedLyrics
from acestep_core.records.song_record import SongRecord
from acestep_core.song.description import Song
from acestep_core.vocabulary import TRACKS

RATE = 48_000


def recording(seconds: float = 6, channels: int = 2, rate: int = RATE) -> dict[str, Any]:
    time = torch.arange(int(seconds * rate)) / rate
    wave = (torch.sin(2 * torch.pi * 220 * time) * 0.4).expand(1, channels, -1)
    return {"waveform": wave.clone(), "sample_rate": rate}


@pytest.fixture
def vae(call: Callable[..., Any]) -> Any:
    return call("ACEStepVAELoader", vae="auto")[0]


def sampled(call: Callable[..., Any], task: Any, variant: str = "base", song: Song | None = None, **given: Any) -> Any:
    """Latents of a task after two steps."""
    (model,) = call("ACEStepModelLoader", model="auto", variant=variant)
    (conditioning,) = call("ACEStepConditioning", model=model, song=song or Song("calm"), task=task)
    (sigmas,) = call("ACEStepSchedule", model=model, steps=4, shift=0.0)
    values = {"seed": 1, "batch_size": 1, "sampler": "euler", "sigmas": sigmas} | given
    return call("ACEStepSampler", model=model, conditioning=conditioning, **values)[0]


def test_a_morph_stays_where_both_descriptions_agree(call: Callable[..., Any], vae: Any) -> None:
    def morph(**changes: Any) -> torch.Tensor:
        values = {"source_caption": "calm", "source_lyrics": "", "start": 0.0, "end": 1.0} | changes
        (task,) = call("ACEStepMorph", vae=vae, audio=recording(), **values)
        return sampled(call, task)["samples"]

    (source,) = call("ACEStepEncodeAudio", vae=vae, audio=recording())
    frames = source["samples"].shape[-1]
    torch.testing.assert_close(morph(start=1.0)[..., :frames], source["samples"], rtol=0, atol=1e-5)
    other = morph(source_caption="wild drums")
    assert not torch.allclose(other[..., :frames], source["samples"], atol=1e-2)
    assert not torch.allclose(other, morph(source_caption="wild drums", end=0.5), atol=1e-3)
    with pytest.raises(InvalidInput, match="must rise"):
        morph(start=0.8, end=0.2)


def test_all_tracks_become_a_list(call: Callable[..., Any], vae: Any) -> None:
    tasks, names = call("ACEStepExtract", vae=vae, audio=recording(), track="all")
    assert names == list(TRACKS) and [task[0].tracks for task in tasks] == [(name,) for name in TRACKS]
    assert all(task[0].source is tasks[0][0].source for task in tasks), "encoded once"
    both = recording()
    both["waveform"] = torch.cat([both["waveform"], -both["waveform"]])
    tasks, names = call("ACEStepExtract", vae=vae, audio=both, track="drums")
    assert names == ["drums"] and [len(task) for task in tasks] == [2]


def test_an_album_caption_is_for_stems_checkpoints(bench: Any) -> None:
    nodes = {
        "model": ("ACEStepModelLoader", {"model": "auto"}),
        "vae": ("ACEStepVAELoader", {"vae": "auto"}),
        "song": ("ACEStepLoadRecord", {"record": record_text()}),
        "task": ("ACEStepTextToMusic", {"song": "song.0"}),
        "conditioning": (
            "ACEStepConditioning",
            {"model": "model.0", "song": "song.0", "task": "task.0", "album_caption": "an opera"},
        ),
        "sampler": (
            "ACEStepSampler",
            {"model": "model.0", "conditioning": "conditioning.0", "seed": 1, "batch_size": 1, "sampler": "euler"},
        ),
        "decode": ("ACEStepDecode", {"vae": "vae.0", "latent": "sampler.0"}),
        "play": ("ACEStepPreviewSong", {"audio": "decode.0", "plan": "song.1"}),
    }
    outcome = bench(**nodes)
    assert outcome.success, outcome.error
    assert any("no stems checkpoint" in line for line in bench.said(outcome))
    assert any(line.endswith("bpm: 90") for line in bench.said(outcome))


def record_text(**changes: Any) -> str:
    values = {
        "format": "acestep-song",
        "version": 1,
        "song": {"caption": "calm", "duration": 10},
        "plan": "bpm: 90",
        "seeds": {"noise": 7},
    }
    return json.dumps(values | changes)


def test_a_record_is_taken_apart(call: Callable[..., Any], folders: Any) -> None:
    text = record_text(codes=[1, 2], settings={"steps": 8, "shift": 3.0, "guidance": 5.0, "guidance_start": 0.1})
    song, plan, codes, seed, sigmas, guidance, *_ = call("ACEStepLoadRecord", record=text)
    assert (song.caption, plan, codes, seed) == ("calm", "bpm: 90", ((1, 2),), 7)
    assert len(sigmas) == 9 and (guidance.scale, guidance.start) == (5.0, 0.1)
    taken = call("ACEStepLoadRecord", record=record_text(settings={"timesteps": [1.0, 0.5]}))
    codes, sigmas, guidance = taken[2], taken[4], taken[5]
    assert codes == () and sigmas.tolist() == [1.0, 0.5, 0.0] and guidance is None
    assert call("ACEStepLoadRecord", record=record_text())[4] is None
    folders.output.mkdir(parents=True, exist_ok=True)
    SongRecord.from_json(text).save(folders.output / "kept.json")
    assert call("ACEStepLoadRecord", record=" kept.json ")[2] == ((1, 2),)


def test_a_record_is_named_with_its_folder_as_in_load_audio(call: Callable[..., Any], folders: Any) -> None:
    """A song that was put into the input folder may be called like one of the output folder."""
    for place, seed in (("output", 1), ("input", 2), ("temp", 3)):
        folder = getattr(folders, place) / "takes"
        folder.mkdir(parents=True, exist_ok=True)
        SongRecord.from_json(record_text(seeds={"noise": seed})).save(folder / "a.json")

    def seed_of(name: str) -> int:
        return call("ACEStepLoadRecord", record=name)[3]

    assert [seed_of(f"takes/a.json{where}") for where in ("", " [output]", " [input]", " [temp]")] == [1, 1, 2, 3]
    (folders.output / "takes" / "a.json").unlink()
    assert seed_of("takes/a.json") == 2
    with pytest.raises(InvalidInput, match=r"no file 'takes/a.json' in the folder output"):
        seed_of("takes/a.json [output]")
    with pytest.raises(InvalidInput, match="outside"):
        seed_of("../output/takes/a.json [input]")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("gone.json", "no file 'gone.json'"),
        ("", "no file ''"),
        ("../../etc/passwd", "outside"),
        ("{", "not JSON"),
        ('{"1": {"class_type": "A"}}', "not the record"),
        (record_text(seeds={}), "seeds.noise"),
        (record_text(codes=[99999]), "0 to 63999"),
        (record_text(settings={"steps": "many"}), "steps"),
        (record_text(settings={"timesteps": [0.1, 0.5]}), "must fall"),
    ],
)
def test_what_is_no_record_is_refused(call: Callable[..., Any], text: str, reason: str) -> None:
    with pytest.raises(InvalidInput, match=reason):
        call("ACEStepLoadRecord", record=text)


def test_a_file_that_says_nothing_is_refused(call: Callable[..., Any], folders: Any) -> None:
    call("ACEStepSaveSong", audio=recording(1), filename_prefix="plain", format="flac")
    with pytest.raises(InvalidInput, match="does not say how it was made"):
        call("ACEStepLoadRecord", record="plain_00001.flac")


def test_a_lora_can_be_switched_off(call: Callable[..., Any]) -> None:
    (model,) = call("ACEStepModelLoader", model="auto")
    assert call("ACEStepLoRALoader", model=model, lora="gone", strength=1.0, enabled=False) == (model,)


def test_guidance_of_nought_is_the_models_own(call: Callable[..., Any]) -> None:
    (task,) = call("ACEStepTextToMusic", song=Song(duration=10.0))
    (own,) = call("ACEStepGuidance", mode="apg", scale=0.0, start=0.0, end=1.0)
    (seven,) = call("ACEStepGuidance", mode="apg", scale=7.0, start=0.0, end=1.0)
    base = sampled(call, task, guidance=own)
    assert torch.equal(base["samples"], sampled(call, task, guidance=seven)["samples"])
    assert base["acestep"].made.settings.guidance.scale == 7.0
    assert sampled(call, task, "turbo", guidance=own)["acestep"].made.settings.guidance.scale == 1.0


def test_a_lego_track_may_leave_the_recording_out(call: Callable[..., Any], vae: Any) -> None:
    region = {"start": 2.0, "end": 4.0, "mode": "aggressive", "strength": 0.5}
    for keep in (True, False):
        (task,) = call("ACEStepLego", vae=vae, audio=recording(), track="drums", **region, keep_outside=keep)
        assert (task[0].splice is not None) is keep


@pytest.mark.parametrize(
    ("prefix", "name"),
    [
        ("%seed%_%bpm%", "3_90"),
        ("stems/%track%", "stems/vocals"),
        ("%task% in %key%", "extract in C major"),
        ("%unknown%_100%", "%unknown%_100%"),
    ],
)
def test_file_names_are_filled_in(call: Callable[..., Any], vae: Any, folders: Any, prefix: str, name: str) -> None:
    (task,), _ = call("ACEStepExtract", vae=vae, audio=recording(), track="vocals")
    latent = sampled(call, task, song=Song(bpm=90, keyscale="C major"), seed=3)
    (audio,) = call("ACEStepDecode", vae=vae, latent=latent)
    call("ACEStepSaveSong", audio=audio, filename_prefix=prefix, format="flac", sidecar=False)
    (path,) = folders.output.rglob("*.flac")
    assert path.relative_to(folders.output) == Path(f"{name}_00001.flac")


def test_scores_of_the_best_reach_record_and_player(call: Callable[..., Any], vae: Any, folders: Any) -> None:
    (task,) = call("ACEStepTextToMusic", song=Song(duration=10.0))
    latent = sampled(call, task, batch_size=2)
    best, *_ = call("ACEStepBestOf", latent=latent, keep=1, lm_scores=(0.25, 0.75))
    (audio,) = call("ACEStepDecode", vae=vae, latent=best)
    call("ACEStepSaveSong", audio=audio, filename_prefix="best", format="flac", plan="bpm: 90")
    record = SongRecord.load(folders.output / "best_00001.json")
    assert record.scores["lm"] == 0.75 and record.plan == "bpm: 90" and record.seeds["noise"] == 2


@pytest.mark.parametrize(("weights", "best"), [((1.0, 0.0), 0), ((0.0, 1.0), 1), ((0.3, 0.7), 1), ((0.7, 0.3), 0)])
def test_each_score_has_its_own_weight(call: Callable[..., Any], weights: tuple[float, float], best: int) -> None:
    latent = {"samples": torch.randn(2, 64, 5), "type": "audio"}
    sung = [SungLyrics(TimedLyrics(()), AlignmentScore(part, part, part, part)) for part in (0.9, 0.1)]
    given = {"timing": tuple(sung), "lm_scores": (0.1, 0.9), "alignment_weight": weights[0], "lm_weight": weights[1]}
    kept, timing, _ = call("ACEStepBestOf", latent=latent, keep=1, **given)
    assert torch.equal(kept["samples"], latent["samples"][[best]]) and timing == (sung[best],)


CONVERTED = "The recording (44100 Hz, mono) was converted to 48000 Hz stereo."


@pytest.mark.parametrize(
    ("node", "inputs"),
    [
        ("ACEStepEncodeAudio", {}),
        ("ACEStepCover", {"strength": 1.0}),
        ("ACEStepAudioToCodes", {"model": "model.0"}),
        ("ACEStepReferenceAudio", {"task": "task.0"}),
    ],
)
def test_a_conversion_is_said(bench: Any, node: str, inputs: dict[str, Any]) -> None:
    from acestep_core.io.audio import write_audio

    audio = recording(2, 1, 44_100)
    bench.folders.input.mkdir(parents=True, exist_ok=True)
    write_audio(bench.folders.input / "mono.wav", audio["waveform"][0], 44_100, "wav32")
    outcome = bench(
        model=("ACEStepModelLoader", {"model": "auto"}),
        vae=("ACEStepVAELoader", {"vae": "auto"}),
        audio=("LoadAudio", {"audio": "mono.wav"}),
        song=("ACEStepLoadRecord", {"record": record_text()}),
        task=("ACEStepTextToMusic", {"song": "song.0"}),
        node=(node, {"vae": "vae.0", "audio": "audio.0"} | inputs),
        shown=("PreviewAny", {"source": "node.0"}),
    )
    assert outcome.success, outcome.error
    assert CONVERTED in bench.said(outcome)
    assert CONVERTED not in bench.sink.lines, "a status line vanishes"


REFUSALS = [
    ("ACEStepExtract", {"track": "vocals"}, 6, "turbo", "conditioning", "needs a base checkpoint"),
    ("ACEStepLego", {"track": "bass"}, 6, "turbo", "conditioning", "needs a base checkpoint"),
    ("ACEStepComplete", {"tracks": ""}, 6, "turbo", "conditioning", "needs a base checkpoint"),
    ("ACEStepComplete", {"tracks": "kazoo"}, 6, "base", "task", "Unknown track 'kazoo'"),
    ("ACEStepRepaint", {"start": 7.0}, 6, "turbo", "task", "the source ends at 6 s"),
    ("ACEStepRepaint", {"start": -500.0, "end": 400.0}, 6, "turbo", "task", "at most 600 s fit"),
    ("ACEStepRepaint", {"bars": "9-12"}, 6, "turbo", "task", "The tempo is not known"),
    ("ACEStepRepaint", {"bars": "the chorus"}, 6, "turbo", "task", "Write bars as 'bars 9-12'"),
    ("ACEStepExtend", {"after": 0.0}, 6, "turbo", "task", "Nothing would be added"),
    ("ACEStepExtend", {"after": 599.0}, 6, "turbo", "task", "at most 600 s fit"),
    ("ACEStepCover", {}, 0.01, "turbo", "task", "give at least 0.04 s"),
    ("ACEStepReferenceAudio", {"task": "plain.0"}, 0.5, "turbo", "task", "give at least 1 s"),
]


@pytest.mark.parametrize(("node", "inputs", "seconds", "variant", "where", "reason"), REFUSALS)
def test_refusals_stand_on_the_node_as_a_sentence(
    bench: Any, node: str, inputs: dict[str, Any], seconds: float, variant: str, where: str, reason: str
) -> None:
    from acestep_core.io.audio import write_audio

    bench.folders.input.mkdir(parents=True, exist_ok=True)
    write_audio(bench.folders.input / "source.wav", recording(seconds)["waveform"][0], RATE, "wav32")
    declared = bench.registry.cls(node).INPUT_TYPES()["required"]
    defaults = {name: entry[1]["default"] for name, entry in declared.items() if "default" in entry[1]}
    outcome = bench(
        model=("ACEStepModelLoader", {"model": "auto", "variant": variant}),
        vae=("ACEStepVAELoader", {"vae": "auto"}),
        audio=("LoadAudio", {"audio": "source.wav"}),
        song=("ACEStepLoadRecord", {"record": record_text()}),
        plain=("ACEStepTextToMusic", {"song": "song.0"}),
        task=(node, defaults | {"vae": "vae.0", "audio": "audio.0"} | inputs),
        conditioning=("ACEStepConditioning", {"model": "model.0", "song": "song.0", "task": "task.0"}),
        shown=("PreviewAny", {"source": "conditioning.0"}),
    )
    assert not outcome.success
    message = outcome.error["exception_message"].strip()
    assert reason in message and outcome.error["node_id"] == where
    assert message.endswith(".") and "\n" not in message
