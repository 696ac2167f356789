"""Requests of other programs made of our nodes."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image, PngImagePlugin

from acestep_core.errors import GraphError
from acestep_core.host.client.local import LocalRunner
from acestep_core.host.graph.context import hosting
from acestep_core.host.graph.migrate.migration import migrated, read_foreign
from acestep_core.host.graph.migrate.song_request import Request, is_request
from acestep_core.host.graph.validation import validate
from acestep_core.host.graph.workflow import parse_workflow
from acestep_core.io.audio import write_audio
from tests.host.migrate.native_graphs import TEMPLATES
from tests.host.migrate.test_graphs import kinds, node_of

SAVED = {
    "task_type": "text2music",
    "instruction": "Fill the audio semantic mask based on the given conditions:",
    "reference_audio": None,
    "src_audio": None,
    "audio_codes": "",
    "caption": "calm piano",
    "global_caption": "",
    "lyrics": "[Verse]\nSoft rain",
    "instrumental": False,
    "vocal_language": "en",
    "bpm": 90,
    "keyscale": "Am",
    "timesignature": "4/4",
    "duration": 12.0,
    "enable_normalization": True,
    "normalization_db": -3.0,
    "fade_in_duration": 0.5,
    "fade_out_duration": 0.0,
    "latent_shift": 0.0,
    "latent_rescale": 1.0,
    "inference_steps": 8,
    "seed": 77,
    "guidance_scale": 7.0,
    "use_adg": False,
    "cfg_interval_start": 0.0,
    "cfg_interval_end": 1.0,
    "shift": 3.0,
    "infer_method": "sde",
    "sampler_mode": "euler",
    "velocity_norm_threshold": 2.0,
    "velocity_ema_factor": 0.1,
    "timesteps": None,
    "repainting_start": 0.0,
    "repainting_end": -1,
    "chunk_mask_mode": "auto",
    "repaint_mode": "balanced",
    "audio_cover_strength": 1.0,
    "cover_noise_strength": 0.0,
    "thinking": True,
    "lm_temperature": 0.7,
    "lm_cfg_scale": 2.0,
    "lm_top_k": 0,
    "lm_top_p": 0.9,
    "lm_negative_prompt": "NO USER INPUT",
    "use_cot_metas": True,
    "use_cot_caption": False,
    "use_cot_language": True,
    "use_constrained_decoding": True,
    "cot_bpm": None,
    "cot_keyscale": "",
}
"""Upstream's saved parameters."""


def test_saved_parameters(definitions: dict[str, Any]) -> None:
    made = migrated(SAVED, definitions, "song.json")
    assert node_of(made, "Song") == node_of(made, "Song") | {
        "caption": "calm piano", "bpm": 90, "keyscale": "Am", "timesignature": "4/4", "duration": 12.0,
    }  # fmt: skip
    plan = node_of(made, "Plan")
    assert (plan["metas"], plan["caption"], plan["language"], plan["seed"]) == (True, False, True, 77)
    assert node_of(made, "LMSampling")["temperature"] == 0.7
    told = node_of(made, "Sampler")
    assert (told["seed"], told["sampler"], told["velocity_clamp"], told["velocity_ema"]) == (77, "sde", 2.0, 0.1)
    finish = node_of(made, "Decode")
    assert (finish["peak_db"], finish["fade_in"]) == (-3.0, 0.5)
    assert "Guidance" not in kinds(made)  # which upstream leaves out for turbo, too
    assert len(made.notes) == 1


def test_codes_that_were_kept_are_used_with_what_was_planned(definitions: dict[str, Any]) -> None:
    codes = "".join(f"<|audio_code_{number}|>" for number in range(60))
    planned = {"audio_codes": codes, "bpm": None, "cot_bpm": 104, "keyscale": "", "cot_keyscale": "D major"}
    made = migrated({**SAVED, **planned}, definitions)
    assert node_of(made, "TextToCodes")["text"] == codes and not {"Plan", "PlanCodes"} & {*kinds(made)}
    assert node_of(made, "Song")["bpm"] == 104 and node_of(made, "Song")["keyscale"] == "D major"


def test_a_body_of_the_rest_service(definitions: dict[str, Any]) -> None:
    body = {
        "prompt": "pop",
        "audioDuration": 30,
        "keyScale": "C major",
        "thinking": True,
        "model": "acestep-v15-base",
        "inference_steps": 40,
        "guidance_scale": 5,
        "use_adg": True,
        "cfg_interval_end": 0.8,
        "use_random_seed": False,
        "seed": "5, 6",
        "cot_caption": False,
        "ai_token": "secret",
        "metas": {"bpm": 120},
        "something_new": 3,
    }
    made = migrated(body, definitions)
    said = node_of(made, "Song")
    assert (said["caption"], said["duration"], said["bpm"], said["keyscale"]) == ("pop", 30, 120, "C major")
    assert node_of(made, "PlanCodes")["batch_size"] == 2 and node_of(made, "LMSampling")["cfg_scale"] == 2.5
    assert node_of(made, "Plan")["caption"] is False
    guidance = node_of(made, "Guidance")
    assert (guidance["mode"], guidance["scale"], guidance["end"]) == ("adg", 5, 0.8)
    assert node_of(made, "Sampler")["seed"] == 5 and node_of(made, "SaveSong")["format"] == "mp3"
    assert "Of the seeds the first counts, 5: the songs of a batch count up from it." in made.notes
    assert "something_new is left out: nothing here does the same." in made.notes
    assert "secret" not in json.dumps([made.canvas, made.notes])


def test_rest_does_not_think_by_itself_and_draws_seeds(definitions: dict[str, Any]) -> None:
    made = migrated({"prompt": "pop", "lyrics": "la", "key_scale": ""}, definitions)
    assert not {"Plan", "PlanCodes"} & {*kinds(made)} and node_of(made, "Sampler")["batch_size"] == 2
    sampler = next(node for node in made.canvas["nodes"] if node["type"] == "ACEStepSampler")
    assert "randomize" in sampler["widgets_values"]


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        ({"sample_query": "a shanty about tea", "vocal_language": "en"}, "CreateSong"),
        ({"description": "a shanty about tea", "instrumental": True, "vocal_language": "unknown"}, "CreateSong"),
        ({"prompt": "pop", "use_format": True}, "FormatSong"),
    ],
)
def test_what_the_language_model_writes_first(body: dict[str, Any], kind: str, definitions: dict[str, Any]) -> None:
    made = migrated(body, definitions)
    assert made.prompt[node_of(made, "Conditioning")["song"][0]]["class_type"] in (f"ACEStep{kind}", "ACEStepPlan")
    if kind == "CreateSong":
        assert node_of(made, kind)["query"] == "a shanty about tea"


@pytest.mark.parametrize(
    ("task", "kind", "given"),
    [
        ({"task_type": "cover", "audio_cover_strength": 0.3}, "Cover", {"strength": 0.3, "semantic": True}),
        ({"task_type": "cover-nofsq"}, "Cover", {"semantic": False}),
        ({"task_type": "cover", "cover_noise_strength": 0.2}, "Cover", {"noise_strength": 0.2}),
        (
            {"task_type": "repaint", "repainting_start": 2, "repainting_end": 5, "chunk_mask_mode": "explicit"},
            "Repaint",
            {"start": 2.0, "end": 5.0, "chunk_mask": "window"},
        ),
        ({"task_type": "lego", "track": "drums"}, "Lego", {"track": "drums"}),
        ({"task_type": "extract", "track_name": "vocals"}, "Extract", {"track": "vocals"}),
        ({"task_type": "complete", "track_classes": ["drums", "bass"]}, "Complete", {"tracks": "drums, bass"}),
    ],
)
def test_tasks(
    task: dict[str, Any], kind: str, given: dict[str, Any], definitions: dict[str, Any], runner: LocalRunner
) -> None:
    body = {"caption": "folk", "src_audio": "/home/somebody/recording.wav", "seed": 3, **task}
    made = migrated(body, definitions)
    assert node_of(made, kind) == node_of(made, kind) | given
    assert node_of(made, "LoadAudio")["audio"] == "recording.wav"
    assert "somebody" not in json.dumps(made.canvas)
    wants_base = kind in ("Lego", "Extract", "Complete")
    assert (node_of(made, "ModelLoader")["model"] == "acestep-v15-base") if wants_base else "Loader" in kinds(made)
    with hosting(runner.folders):
        assert validate(made.prompt, runner.registry).error is None


def test_a_recording_of_another_machine_is_asked_for(definitions: dict[str, Any]) -> None:
    made = migrated({"caption": "x", "task_type": "cover", "src_audio": "C:\\music\\old.wav"}, definitions)
    assert "Put old.wav into the input folder, or choose another in Recording." in made.notes
    made = migrated({"caption": "x", "reference_audio": "recording.wav", "thinking": False}, definitions)
    assert node_of(made, "ReferenceAudio") and len(made.notes) == 1


def test_a_request_of_acestep_cpp(definitions: dict[str, Any]) -> None:
    request = {
        "caption": "fado",
        "vocal_language": "pt",
        "lm_model": "acestep-5Hz-lm-4B-Q8_0.gguf",
        "synth_model": "acestep-v15-sft-Q8_0.gguf",
        "adapter": "jazz.safetensors",
        "adapter_scale": 0.5,
        "lm_batch_size": 2,
        "inference_steps": 0,
        "guidance_scale": 0.0,
        "shift": 0.0,
        "seed": 8,
        "lm_seed": 9,
        "solver": "stork4",
        "dcw_scaler": 0.1,
        "dcw_high_scaler": 0.2,
        "dcw_mode": "double",
        "custom_timesteps": "0.97,0.76,0.5,0.2,0",
        "mp3_bitrate": 320,
    }
    made = migrated(request, definitions)
    assert node_of(made, "ModelLoader")["variant"] == "sft" and node_of(made, "LoRALoader")["strength"] == 0.5
    assert node_of(made, "PlanCodes")["batch_size"] == 2 and node_of(made, "PlanCodes")["seed"] == 9
    told = node_of(made, "Sampler")
    assert (told["seed"], told["batch_size"]) == (8, 1)
    assert (told["wavelet"], told["wavelet_low"], told["wavelet_high"]) == ("double", 0.1, 0.2)
    assert node_of(made, "Schedule")["timesteps"] == "0.97, 0.76, 0.5, 0.2, 0"
    assert (node_of(made, "SaveSong")["format"], node_of(made, "SaveSong")["bitrate"]) == ("mp3", "320")
    assert "The solver stork4 is not here: euler is taken." in made.notes


def test_numbers_alone_are_codes(definitions: dict[str, Any]) -> None:
    made = migrated({"caption": "x", "audio_codes": "1,22,333", "lm_batch_size": 1, "seed": 1}, definitions)
    assert node_of(made, "TextToCodes")["text"] == "<|audio_code_1|><|audio_code_22|><|audio_code_333|>"


def test_several_requests_are_several_songs(definitions: dict[str, Any]) -> None:
    made = migrated([{**SAVED, "caption": name} for name in ("one", "two")], definitions)
    assert [n["inputs"]["caption"] for n in made.prompt.values() if n["class_type"] == "ACEStepSong"] == ["one", "two"]
    assert kinds(made).count("Loader") == 1
    with pytest.raises(GraphError, match="at most 16"):
        migrated([SAVED] * 17, definitions)


@pytest.mark.parametrize(
    "data",
    [
        {"name": "acestep", "version": "1", "description": "a package"},
        {"description": 3},
        {"nodes": [], "caption": "x"},
        {"lm_model": "x", "synth_model": "y"},
        [],
        None,
        "caption",
        {"caption": 3},
    ],
)
def test_what_is_no_request(data: Any) -> None:
    assert not is_request(data)


@pytest.mark.parametrize("value", ["abc", None, [], {}, "nan", True, -5, 1e30, "N/A", ""])
@pytest.mark.parametrize(
    "name", ["duration", "bpm", "seed", "inference_steps", "shift", "batch_size", "timesteps", "lm_top_k", "thinking"]
)
def test_no_value_of_a_request_is_a_crash(name: str, value: Any, definitions: dict[str, Any]) -> None:
    migrated({**SAVED, name: value}, definitions)
    migrated({"prompt": "x", name: value, "track_classes": value, "metas": value}, definitions)


def test_a_request_runs_with_what_it_asks(definitions: dict[str, Any], runner: LocalRunner, tmp_path: Path) -> None:
    made = migrated({**SAVED, "velocity_norm_threshold": 0.0}, definitions)
    result = asyncio.run(runner.run(parse_workflow(made.canvas, definitions), tmp_path))
    (path,) = [path for path in result.paths if path.suffix == ".flac"]
    record = json.loads(path.with_suffix(".json").read_text())
    assert record["song"]["bpm"] == 90 and record["song"]["keyscale"] == "A minor"
    assert (
        record["seeds"] == {"noise": 77} | {"plan": record["seeds"].get("plan", 77)} or record["seeds"]["noise"] == 77
    )
    assert (record["settings"]["steps"], record["settings"]["method"]) == (8, "sde") or record["settings"]["timesteps"]
    assert record["finish"]["peak_db"] == -3.0 and len(record["codes"]) == 60


# -- files -------------------------------------------------------------------------------------------------------------


def test_the_graph_in_a_sound_file_or_a_picture(definitions: dict[str, Any], tmp_path: Path) -> None:
    import torch

    graph = json.dumps(TEMPLATES["checkpoint"])
    write_audio(tmp_path / "a.flac", torch.zeros(2, 4800), metadata={"workflow": graph})
    texts = PngImagePlugin.PngInfo()
    texts.add_text("workflow", graph)
    Image.new("RGB", (4, 4)).save(tmp_path / "b.png", pnginfo=texts)
    (tmp_path / "c.json").write_text(graph)
    found = [migrated(read_foreign(tmp_path / name), definitions, "x").prompt for name in ("a.flac", "b.png", "c.json")]
    assert found[0] == found[1] == found[2]


@pytest.mark.parametrize("name", ["a.json", "b.png", "c.flac", "d.json"])
def test_a_file_with_nothing_in_it_is_refused_in_a_sentence(name: str, tmp_path: Path) -> None:
    import torch

    (tmp_path / "a.json").write_text("{")
    Image.new("RGB", (4, 4)).save(tmp_path / "b.png")
    write_audio(tmp_path / "c.flac", torch.zeros(2, 4800))
    with pytest.raises(GraphError, match=r"\.$"):
        read_foreign(tmp_path / name)


def test_secrets_and_folders_stay_out() -> None:
    request = Request.of({"prompt": "x", "ai_token": "t"})
    assert request.text("caption") == "x" and request.is_random
