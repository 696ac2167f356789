"""What single workflows promise, beyond running."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from acestep_core.commands.main import main as cli
from acestep_core.io.audio import read_audio
from acestep_core.records.song_record import SongRecord
from acestep_core.vocabulary import TRACKS
from tests.judge.subtitle_readers import parse_subtitles
from tests.making import write_lora

RATE = 48_000
Made = Callable[..., dict[str, list[Path]]]


@pytest.fixture
def made(stage: Any) -> Made:
    """Runs a workflow; the songs keep their exact samples."""

    def run(name: str, **changes: Any) -> dict[str, list[Path]]:
        workflow = stage.load(f"api/{name}")
        titles = [n["_meta"]["title"] for n in workflow.prompt.values() if n["class_type"] == "ACEStepSaveSong"]
        exact = {f"{title.replace(' ', '_')}__format": "wav32" for title in titles}
        return stage.made(name, **(exact | changes))

    return run


def sound(path: Path) -> torch.Tensor:
    return read_audio(path)[0]


def test_another_take_does_not_ask_the_language_model_again(stage: Any, made: Made) -> None:
    first = made("think_text2music", Sampler__seed=1)["Save"][0]
    second = made("think_text2music", Sampler__seed=2)["Save"][0]
    workflow = stage.load("api/think_text2music")
    again = {workflow.prompt[node_id]["_meta"]["title"] for node_id in stage.client.cached}
    assert {"Load", "Song", "Plan", "Codes", "Task", "Conditioning"} <= again
    assert not {"Sampler", "Decode", "Save"} & again
    assert not torch.equal(sound(first), sound(second))
    one, two = (SongRecord.load(path.with_suffix(".json")) for path in (first, second))
    assert one.codes == two.codes and len(one.codes) == one.to_song().duration * 5
    assert one.plan == two.plan and "bpm:" in one.plan
    assert (one.seeds["noise"], two.seeds["noise"]) == (1, 2)
    assert one.graph is not None


def test_another_seed_of_the_codes_keeps_the_plan(stage: Any, made: Made) -> None:
    made("think_text2music", Codes__seed=1)
    made("think_text2music", Codes__seed=2)
    workflow = stage.load("api/think_text2music")
    again = {workflow.prompt[node_id]["_meta"]["title"] for node_id in stage.client.cached}
    assert "Plan" in again and not {"Codes", "Conditioning"} & again


def test_the_plan_in_the_box_counts(stage: Any, made: Made) -> None:
    path = made("edit_plan", Plan__edited_plan="bpm: 144\nduration: 11\nkeyscale: D minor")["Save"][0]
    song = SongRecord.load(path.with_suffix(".json")).to_song()
    assert (song.bpm, song.duration, song.keyscale) == (144, 11.0, "D minor")
    assert sound(path).shape == (2, 11 * RATE)
    made("edit_plan", Plan__edited_plan="")  # asks the model


@pytest.mark.parametrize(
    ("plan", "reason"),
    [
        ("bpm: 96\nduration: 30\ntempo: fast", "Line 3 of the plan has the field 'tempo'"),
        ("bpm: 96\n\nduration: long", "Line 3 of the plan"),
        ("just words", "Line 1 of the plan has no field"),
        ('bpm: 96\ncaption: "open', "Line 2 of the plan starts with a quote"),
    ],
)
def test_a_malformed_plan_is_pointed_at(stage: Any, plan: str, reason: str) -> None:
    workflow = stage.quick("edit_plan", Plan__edited_plan=plan)
    outcome = stage.run(workflow)
    assert not outcome.success
    assert reason in outcome.error["exception_message"]
    assert outcome.error["node_id"] == stage.node(workflow, "Plan")


def test_the_strengths_of_a_cover_differ(made: Made) -> None:
    songs = [sound(paths[0]) for paths in made("cover_sweep").values()]
    assert len(songs) == 3 and all(song.shape == (2, 6 * RATE) for song in songs)
    assert not any(torch.allclose(songs[a], songs[b], atol=1e-2) for a, b in ((0, 1), (0, 2), (1, 2)))


def test_all_tracks_carry_their_names(made: Made) -> None:
    paths = made("extract_stems")["Save"]
    assert [path.name.rpartition("_")[0] for path in paths] == list(TRACKS)
    assert {path.parent.name for path in paths} == {"stems"}
    assert len({sound(path).sum().item() for path in paths}) == len(TRACKS)


def test_a_bar_is_repainted_and_nothing_else(stage: Any, made: Made) -> None:
    (path,) = made("repaint")["Save"]
    source, song = sound(stage.folders.input / "acestep_example_song.mp3"), sound(path)
    changed = (source != song).any(0).nonzero()
    assert changed.min() >= 2 * RATE and changed.max() < 4 * RATE


def test_an_extension_keeps_the_recording(stage: Any, made: Made) -> None:
    (path,) = made("extend")["Save"]
    source, song = sound(stage.folders.input / "acestep_example_song.mp3"), sound(path)
    assert song.shape[-1] == 12 * RATE
    assert torch.equal(song[:, 2 * RATE : 8 * RATE], source)


def test_retakes_depart_from_the_song_step_by_step(made: Made) -> None:
    songs = {title: sound(paths[0]) for title, paths in made("retakes", Retake_seed__value=5).items()}
    near = (songs["Save retake 20%"] - songs["Save original"]).square().mean()
    far = (songs["Save retake 50%"] - songs["Save original"]).square().mean()
    assert 0 < near < far
    alone = sound(made("text2music", Sampler__seed=1)["Save"][0])
    torch.testing.assert_close(alone, songs["Save original"], rtol=0, atol=2e-4)


def test_karaoke_files_stand_beside_the_song(made: Made) -> None:
    (path,) = made("karaoke")["Save"]
    for kind in ("lrc", "vtt", "srt", "json"):
        text = path.with_suffix(".lyrics.json" if kind == "json" else f".{kind}").read_text(encoding="utf-8")
        lines = [line.text for line in parse_subtitles(text, kind).lines]
        assert "City lights are fading slow" in lines and "[Verse]" not in lines


def test_a_saved_song_is_made_again(stage: Any, made: Made) -> None:
    (path,) = made("think_text2music", Sampler__seed=3)["Save"]
    name = path.relative_to(stage.folders.output).with_suffix(".json").as_posix()
    (again,) = made("regenerate", Record__record=name)["Save"]
    torch.testing.assert_close(sound(again), sound(path), rtol=0, atol=0)
    (from_audio,) = made("regenerate", Record__record=name.replace(".json", ".wav"))["Save"]
    torch.testing.assert_close(sound(from_audio), sound(path), rtol=0, atol=0)


def test_the_command_makes_a_saved_graph_again(stage: Any, made: Made, tmp_path: Path) -> None:
    (path,) = made("text2music", Song__caption="slow waltz")["Save"]
    where = ["--output", str(tmp_path / "out"), "--models-directory", str(stage.folders.models)]
    assert cli(["run", str(path.with_suffix(".json")), *where]) == 0
    (again,) = (tmp_path / "out").rglob("*.wav")
    torch.testing.assert_close(sound(again), sound(path), rtol=0, atol=0)


def test_two_loras_mix(stage: Any, made: Made) -> None:
    for seed, name in enumerate(("one", "two")):
        write_lora(stage.folders.models / "loras" / name, stage.folders.models / "acestep-v15-turbo", seed)
    chosen = {"LoRA_1__lora": "one", "LoRA_2__lora": "two"}
    switches = [{}, {"LoRA_2__enabled": False}, {"LoRA_1__enabled": False}]
    both, first, second = [made("two_loras", **chosen, **off)["Save"][0] for off in switches]
    (none,) = made("two_loras")["Save"]
    songs = [sound(path) for path in (both, first, second, none)]
    assert all(not torch.allclose(songs[a], songs[b], atol=1e-3) for a in range(4) for b in range(a))
    files = SongRecord.load(both.with_suffix(".json")).files
    assert [(file.name, file.strength) for file in files if file.role == "adapter"] == [("one", 0.7), ("two", 0.5)]
