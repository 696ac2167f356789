"""ComfyUI's own audio nodes, as the embedded host has them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch

from acestep_core.errors import AudioError
from acestep_core.host.graph import context
from acestep_core.host.graph.canvas_widgets import DYNAMIC_COMBO
from acestep_core.host.graph.packs import Pack
from acestep_core.host.graph.stock_audio import AUDIO_EDITS
from acestep_core.host.graph.stock_nodes import LoadAudio
from acestep_core.host.graph.validation import validate
from tests.host.test_executor import Bench, node

SECOND = 48_000


class Said:
    """A reporter that keeps the lines."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def progress(self, node_id: str, value: float, total: float, preview: object) -> None: ...

    def news(self, node_id: str, event: str, data: dict[str, object]) -> None: ...

    def status_text(self, node_id: str, text: str) -> None:
        self.lines.append(text)


def test_load_audio_keeps_rate_and_channels_and_says_what_is_wrong(tmp_path: Path) -> None:
    folders, said = context.Folders.under(tmp_path), Said()
    samples = np.random.default_rng(0).standard_normal((2 * SECOND, 3)).astype("float32") * 0.1
    soundfile.write(folders.input / "a.wav", samples, 44_100, subtype="FLOAT")
    (folders.input / "cut.wav").write_bytes((folders.input / "a.wav").read_bytes()[:-120_000])
    with context.executing(context.Execution(folders, "p", "1", 0, said, lambda: False)):
        (audio,) = LoadAudio().load("a.wav")
        assert np.array_equal(audio["waveform"][0].numpy(), samples.T) and audio["sample_rate"] == 44_100
        assert said.lines == []
        (audio,) = LoadAudio().load("cut.wav")
    assert audio["waveform"].shape[:2] == (1, 3)
    assert len(said.lines) == 1 and "cut off or damaged: 1.95 of 2.18 s" in said.lines[0]


def test_what_may_hold_sound_is_listed(tmp_path: Path) -> None:
    folders = context.Folders.under(tmp_path)
    for name in ("a.wav", "b.m4a", "c.mp4", "d.png", "e.txt"):
        (folders.input / name).touch()
    with context.hosting(folders):
        assert LoadAudio.INPUT_TYPES()["required"]["audio"][1]["options"] == ["a.wav", "b.m4a", "c.mp4"]


def sound(*channels: list[float], rate: int = 10, songs: int = 1) -> dict[str, Any]:
    return {"waveform": torch.tensor([channels] * songs), "sample_rate": rate}


def values(audio: dict[str, Any]) -> list[Any]:
    return [round(value, 4) for value in audio["waveform"].flatten().tolist()]


def edited(name: str, *arguments: Any) -> dict[str, Any]:
    audio = AUDIO_EDITS[name]().run(*arguments)[0]
    assert audio["waveform"].ndim == 3 and audio["waveform"].dtype == torch.float32
    return audio


RAMP = [0.0, 0.1, 0.2, 0.3, 0.4, 0.5]


@pytest.mark.parametrize(
    ("start", "duration", "left"),
    [
        (0.0, 60.0, RAMP),
        (0.2, 0.2, [0.2, 0.3]),
        (-0.2, 9.0, [0.4, 0.5]),
        (-9.0, 0.2, [0.0, 0.1]),
        (0.25, 0.1, [0.2]),  # halves are rounded to even, as Python does
    ],
)
def test_trim(start: float, duration: float, left: list[float]) -> None:
    assert values(edited("TrimAudioDuration", sound(RAMP), start, duration)) == left


def test_channels_are_split_and_joined() -> None:
    left, right = AUDIO_EDITS["SplitAudioChannels"]().run(sound([0.1, 0.2], [0.3, 0.4]))
    assert values(left) == [0.1, 0.2] and values(right) == [0.3, 0.4]
    assert values(edited("JoinAudioChannels", left, sound([0.5]))) == [0.1, 0.5]


def test_concat_makes_stereo() -> None:
    assert values(edited("AudioConcat", sound([0.1]), sound([0.2], [0.3]), "after")) == [0.1, 0.2, 0.1, 0.3]
    assert values(edited("AudioConcat", sound([0.1]), sound([0.2], [0.3]), "before")) == [0.2, 0.1, 0.3, 0.1]


@pytest.mark.parametrize(
    ("method", "mixed"),
    [
        ("add", [0.5, 1.0, 0.25]),
        ("mean", [0.4, 0.8, 0.2]),
        ("subtract", [0.0, 0.0, 0.4]),
        ("multiply", [0.16, 0.64, 0.0]),
    ],
)
def test_merge_is_as_long_as_the_first_and_not_louder_than_full_scale(method: str, mixed: list[float]) -> None:
    first, short, long = sound([0.4, 0.8, 0.4]), sound([0.4, 0.8]), sound([0.4, 0.8, 0.0, 0.9])
    assert values(edited("AudioMerge", first, short, method)) == mixed
    assert values(edited("AudioMerge", first, long, method)) == mixed
    assert values(first) == [0.4, 0.8, 0.4]


def test_volume_and_silence() -> None:
    assert values(edited("AudioAdjustVolume", sound([0.1]), 20)) == [1.0]
    assert values(edited("AudioAdjustVolume", sound([0.1]), 0)) == [0.1]
    silent = edited("EmptyAudio", 1.5, 10, 2)
    assert silent["waveform"].shape == (1, 2, 15) and silent["sample_rate"] == 10 and not silent["waveform"].any()


FLAT = (0.0, 100, 0.0, 1000, 0.707, 0.0, 5000)


@pytest.mark.parametrize(
    ("settings", "hertz", "decibels"),
    [
        ((12.0, *FLAT[1:]), 20, 12.0),
        ((12.0, *FLAT[1:]), 100, 6.0),  # a shelf is half up at its frequency
        ((12.0, *FLAT[1:]), 5000, 0.0),
        ((*FLAT[:2], -6.0, 1000, 2.0, *FLAT[5:]), 1000, -6.0),
        ((*FLAT[:2], -6.0, 1000, 2.0, *FLAT[5:]), 100, 0.0),
        ((*FLAT[:5], -20.0, 5000), 15_000, -20.0),
        ((*FLAT[:5], -20.0, 5000), 5000, -10.0),
        ((*FLAT[:5], -20.0, 5000), 100, 0.0),
        (FLAT, 440, 0.0),
    ],
)
def test_the_equalizer_turns_its_band(settings: tuple[Any, ...], hertz: int, decibels: float) -> None:
    sine = torch.sin(torch.arange(2 * SECOND) * (2 * torch.pi * hertz / SECOND)) * 0.1
    heard = edited("AudioEqualizer3Band", {"waveform": sine[None, None], "sample_rate": SECOND}, *settings)
    settled = heard["waveform"][0, 0, SECOND:]
    assert 20 * torch.log10(settled.std() / sine[SECOND:].std()) == pytest.approx(decibels, abs=0.15)


def test_the_equalizer_clips_and_starts_at_rest() -> None:
    """The values are those of ComfyUI 0.20.1."""
    loud = sound([0.5, 0.5, -0.5, 0.0], rate=8000)
    assert values(edited("AudioEqualizer3Band", loud, 24.0, 500, *FLAT[2:])) == [0.7467, 1.0, 0.4521, 0.7877]
    click = sound([0.1, 0.0, 0.0], rate=8000)
    assert values(edited("AudioEqualizer3Band", click, *FLAT[:2], 6.0, 1000, *FLAT[4:])) == [0.126, 0.0272, -0.01]


def test_the_lower_rate_is_raised_and_one_song_stands_for_all() -> None:
    low, high = sound([0.0] * 8000, rate=8000), sound([0.0] * 16000, rate=16000, songs=3)
    mixed = edited("AudioMerge", low, high, "add")
    assert mixed["sample_rate"] == 16000 and mixed["waveform"].shape == (3, 1, 16000)


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("TrimAudioDuration", (sound(RAMP), 0.0, 0.0)),
        ("TrimAudioDuration", (sound(RAMP), 9.0, 9.0)),
        ("SplitAudioChannels", (sound(RAMP),)),
        ("JoinAudioChannels", (sound(RAMP, RAMP), sound(RAMP))),
        ("AudioMerge", (sound(RAMP, songs=2), sound(RAMP, songs=3), "add")),
        ("AudioConcat", (sound(RAMP, RAMP, RAMP), sound(RAMP, RAMP), "after")),
        ("EmptyAudio", (1e12, 192_000, 2)),
        ("AudioEqualizer3Band", (sound(RAMP, rate=8000), 0.0, 100, 0.0, 1000, 0.707, 3.0, 5000)),
    ],
)
def test_what_cannot_be_edited_is_said_in_a_sentence(name: str, arguments: tuple[Any, ...]) -> None:
    with pytest.raises(AudioError, match=r"\.$"):
        AUDIO_EDITS[name]().run(*arguments)


@pytest.mark.parametrize(
    ("choice", "suffix"),
    [
        ({"format": "flac"}, ".flac"),
        ({"format": "mp3", "format.quality": "128k"}, ".mp3"),
        ({"format": "opus", "format.quality": "64k"}, ".opus"),
    ],
)
def test_one_node_saves_in_every_format(tmp_path: Path, choice: dict[str, str], suffix: str) -> None:
    bench = Bench(tmp_path)
    prompt = {
        "1": node("EmptyAudio", duration=0.5, sample_rate=48000, channels=2),
        "2": node("SaveAudioAdvanced", audio=["1", 0], filename_prefix="%EmptyAudio.duration%/x", **choice),
        "3": node("PreviewAudio", audio=["2", 0]),
    }
    outcome = bench.run(prompt)
    assert outcome.success, outcome.messages
    (saved,) = outcome.outputs["2"]["audio"]
    assert saved == {"filename": f"x_00001_{suffix}", "subfolder": "0.5", "type": "output"}
    assert (tmp_path / "output" / "0.5" / saved["filename"]).is_file()
    bench.run(prompt)
    assert bench.ran == []
    if "format.quality" in choice:  # a part of a dynamic input counts as much as any other
        prompt["2"]["inputs"]["format.quality"] = "320k"
        bench.run(prompt)
        assert bench.ran == ["2", "3"]


@pytest.mark.parametrize(
    ("choice", "kind"),
    [
        ({"format": "mp3"}, "required_input_missing"),
        ({"format": "mp3", "format.quality": "64k"}, "value_not_in_list"),
        ({"format": "wma"}, "value_not_in_list"),
        ({}, "required_input_missing"),
    ],
)
def test_the_parts_of_a_dynamic_choice_are_validated(tmp_path: Path, choice: dict[str, str], kind: str) -> None:
    prompt = {
        "1": node("EmptyAudio", duration=0.5, sample_rate=48000, channels=2),
        "2": node("SaveAudioAdvanced", audio=["1", 0], filename_prefix="x", **choice),
    }
    report = validate(prompt, Bench(tmp_path).registry)
    assert [problem["type"] for problem in report.node_errors["2"]["errors"]] == [kind]


class Nested:
    RETURN_TYPES = ()
    OUTPUT_NODE = True
    FUNCTION = "run"
    LEVEL = (DYNAMIC_COMBO, {"options": [{"key": "deep", "inputs": {"required": {"level": ("INT", {})}}}]})

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return {
            "required": {"a": (DYNAMIC_COMBO, {"options": [{"key": "x", "inputs": {"required": {"b": cls.LEVEL}}}]})}
        }

    def run(self, a: Any) -> dict[str, Any]:
        return {"ui": {"text": (json.dumps(a),)}}


def test_dynamic_choices_in_dynamic_choices(tmp_path: Path) -> None:
    bench = Bench(tmp_path, Pack("p", {"Nested": Nested}, {}))
    outcome = bench.run({"1": node("Nested", **{"a": "x", "a.b": "deep", "a.b.level": "3", "a.c": 1})})
    assert json.loads(outcome.outputs["1"]["text"][0]) == {"a": "x", "b": {"b": "deep", "level": 3}}


def test_paths_of_other_systems(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    (tmp_path / "input/sub").mkdir()
    soundfile.write(tmp_path / "input/sub/a.wav", np.zeros((480, 1), "float32"), 48_000)
    prompt = {"1": node("LoadAudio", audio="sub\\a.wav [input]"), "2": node("PreviewAudio", audio=["1", 0])}
    with context.hosting(bench.executor.folders):
        assert bench.run(prompt).success
