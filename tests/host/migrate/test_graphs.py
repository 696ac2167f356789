"""Graphs of ComfyUI's own nodes, and of other packs, made of ours: their structure, and that they run."""

from __future__ import annotations

import asyncio
import copy
import json
from pathlib import Path
from typing import Any

import pytest

from acestep_core.errors import GraphError
from acestep_core.host.client.local import LocalRunner
from acestep_core.host.graph.canvas import convert
from acestep_core.host.graph.context import hosting
from acestep_core.host.graph.migrate.foreign_nodes import read_with
from acestep_core.host.graph.migrate.migration import OTHER_SONGS, Migrated, migrated
from acestep_core.host.graph.validation import validate
from acestep_core.host.graph.workflow import parse_workflow
from acestep_core.io.audio import read_audio
from acestep_core.records.song_record import SongRecord
from tests.host.migrate.native_graphs import (
    AUDIO,
    COND,
    KAOLA,
    LATENT,
    LYRICS,
    MODEL,
    NEW_PRIMITIVES,
    OLD_PRIMITIVES,
    SCROMFY,
    SECONDS,
    SEED,
    SPLIT,
    TEMPLATES,
    TEXT,
    canvas,
    scripted,
    song,
)

ALL = {**TEMPLATES, **{f"kaola {name}": graph for name, graph in KAOLA.items()}, "scromfy": SCROMFY}
ALIKE = ("split", "split 4b", "xl sft")
"""These differ from others in the names of their loaders alone, which conversion is tested for; so they do not run."""


def node_of(made: Migrated, kind: str) -> dict[str, Any]:
    """The inputs of the only node of a kind, `ACEStep` left out."""
    found = [node["inputs"] for node in made.prompt.values() if node["class_type"] in (kind, f"ACEStep{kind}")]
    assert len(found) == 1, kind
    return found[0]


def kinds(made: Migrated) -> list[str]:
    return sorted(node["class_type"].removeprefix("ACEStep") for node in made.prompt.values())


def value(made: Migrated, given: Any) -> Any:
    """A value, or what a primitive node says."""
    return made.prompt[given[0]]["inputs"]["value"] if isinstance(given, list) else given


def change(graph: dict[str, Any], number: int, **parts: Any) -> dict[str, Any]:
    """The graph with other values in one node."""
    changed = copy.deepcopy(graph)
    node = next(node for node in changed["nodes"] if node["id"] == number)
    for index, new in parts.pop("values", {}).items():
        node["widgets_values"][index] = new
    node |= parts
    return changed


@pytest.mark.parametrize("name", list(TEMPLATES))
def test_a_template_says_the_same_in_our_nodes(name: str, definitions: dict[str, Any]) -> None:
    made = migrated(TEMPLATES[name], definitions, f"{name}.json")
    said = node_of(made, "Song")
    assert said | {"duration": value(made, said["duration"])} == said | {
        "caption": TEXT,
        "lyrics": LYRICS,
        "language": "en",
        "bpm": 96,
        "keyscale": "E minor",
        "timesignature": "4",
        "duration": SECONDS,
    }
    plan, codes = node_of(made, "Plan"), node_of(made, "PlanCodes")
    assert (plan["metas"], plan["caption"], plan["language"]) == (False, False, False)
    steps = {"xl base": 50, "xl sft": 50}.get(name, 8)
    schedule, sampler = node_of(made, "Schedule"), node_of(made, "Sampler")
    assert (schedule["steps"], schedule["shift"]) == (steps, 3)
    assert sampler["sampler"] == "euler" and sampler["batch_size"] == 1
    seeds = [value(made, node["seed"]) for node in (plan, codes, sampler)]
    assert seeds == ([SEED] * 3 if name in ("checkpoint", "split", "split 4b") or name.startswith("xl") else [0] * 3)
    if steps == 50:
        guidance = node_of(made, "Guidance")
        assert (guidance["mode"], guidance["scale"]) == ("cfg", {"xl base": 6, "xl sft": 7}[name])
    else:
        assert "Guidance" not in kinds(made) and "guidance" not in sampler
    saved = node_of(made, "SaveSong")
    if name != "blueprint":
        assert (saved["format"], saved["bitrate"]) == ("mp3", "320" if "service" in name else "256")
        assert saved["filename_prefix"] == ("audio/ace-step-1.5" if "service" in name else "audio/ComfyUI")
    assert made.notes[-1] == OTHER_SONGS and all(note.endswith(".") for note in made.notes)
    assert made.canvas["nodes"][-1]["type"] == "MarkdownNote"


@pytest.mark.parametrize(
    ("name", "variant"),
    [
        ("checkpoint", "turbo"),
        ("split", "turbo"),
        ("xl turbo", "xl-turbo"),
        ("xl base", "xl-base"),
        ("xl sft", "xl-sft"),
    ],
)
def test_a_model_that_is_not_here_is_told_by_its_kind(name: str, variant: str, definitions: dict[str, Any]) -> None:
    made = migrated(TEMPLATES[name], definitions)
    assert node_of(made, "ModelLoader") | {"model": "auto", "variant": variant} == node_of(made, "ModelLoader")
    assert any("is not here: choose another in Model" in note for note in made.notes)


def test_a_model_that_is_here_is_taken(definitions: dict[str, Any]) -> None:
    here = copy.deepcopy(definitions)
    here["ACEStepModelLoader"]["input"]["required"]["model"][0].append("acestep_v1.5_turbo.safetensors")
    here["ACEStepLMLoader"]["input"]["required"]["lm"][0].append("qwen_1.7b_ace15.safetensors")
    made = migrated(TEMPLATES["split"], here)
    assert node_of(made, "ModelLoader")["model"] == "acestep_v1.5_turbo.safetensors"
    assert node_of(made, "LMLoader")["lm"] == "qwen_1.7b_ace15.safetensors"
    assert [note for note in made.notes if "not here" in note] == [
        "ace_1.5_vae.safetensors is not here: choose another in VAE."
    ]


def test_words_that_a_service_writes_stay_as_they_were(definitions: dict[str, Any]) -> None:
    made = migrated(TEMPLATES["words from a service"], definitions)
    assert any("RegexExtract" in note and "keeps what stood in its tags" in note for note in made.notes)
    sampling = node_of(made, "LMSampling")
    assert [sampling[name] for name in ("cfg_scale", "temperature", "top_p", "top_k")] == [2.5, 0.8, 0.95, 40]


def test_the_prompt_of_a_graph_gives_the_same(definitions: dict[str, Any]) -> None:
    graph = song(SPLIT, NEW_PRIMITIVES)
    prompt = convert(graph, read_with(graph, definitions)).prompt
    assert migrated(prompt, definitions, "x").prompt == migrated(graph, definitions, "x").prompt
    assert migrated({"prompt": prompt}, definitions, "x").prompt == migrated(graph, definitions, "x").prompt


@pytest.mark.parametrize("name", list(ALL))
def test_the_canvas_and_the_prompt_are_one_graph_that_is_valid(
    name: str, definitions: dict[str, Any], runner: LocalRunner
) -> None:
    made = migrated(ALL[name], definitions, name)
    drawn = parse_workflow(made.canvas, definitions).prompt
    assert {i: (n["class_type"], n["inputs"]) for i, n in drawn.items()} == {
        i: (n["class_type"], n["inputs"]) for i, n in made.prompt.items()
    }
    with hosting(runner.folders):
        report = validate(copy.deepcopy(made.prompt), runner.registry)
    assert report.error is None and not report.node_errors
    assert json.loads(json.dumps(made.canvas)) == made.canvas


@pytest.mark.parametrize("name", [name for name in ALL if name not in ALIKE])
def test_it_runs_and_the_record_says_what_was_asked(
    name: str, definitions: dict[str, Any], runner: LocalRunner, tmp_path: Path
) -> None:
    made = migrated(ALL[name], definitions, name)
    workflow = parse_workflow(made.canvas, definitions)
    if name == "xl base":  # of the large ones only turbo is here
        workflow = workflow.with_inputs({"Model.variant": "base", "Schedule.steps": 4})
    result = asyncio.run(runner.run(workflow, tmp_path))
    songs = [path for path in result.paths if path.suffix in (".mp3", ".flac", ".opus")]
    assert len(songs) == {"kaola text to music": 2, "scromfy": 2}.get(name, 1)
    codes = 0 if name in ("kaola cover", "kaola repaint") else 5 * SECONDS
    records = [json.loads(SongRecord.load(path).to_json()) for path in songs]
    seconds = 6.0 if name in ("kaola cover", "kaola repaint") else SECONDS
    for path, record in zip(songs, records, strict=True):
        waveform, rate = read_audio(path)
        assert waveform.shape[-1] / rate == pytest.approx(seconds, abs=0.1)
        if name != "kaola text to music":  # whose caption the language model writes anew
            assert record["song"]["caption"] == ("ohwx " if name == "scromfy" else "") + TEXT
    seeds = {"blueprint": 0, "words from a service": 0, "kaola repaint": 7}
    assert records[0]["seeds"]["noise"] == seeds.get(name, 42 if "kaola" in name else SEED)
    assert len(records[0]["codes"]) == codes
    if name == "xl base":
        assert records[0]["settings"]["guidance"] == 6.0 and records[0]["settings"]["guidance_mode"] == "cfg"
    if name == "kaola cover":
        assert records[0]["task"]["arguments"]["strength"] == 0.4
    if name == "kaola repaint":
        assert [records[0]["task"]["arguments"][edge] for edge in ("start", "end")] == [2.0, 5.0]


def test_one_seed_for_all_of_a_newer_release(definitions: dict[str, Any]) -> None:
    graph = song(SPLIT, [(102, "SeedNode", {}, [SEED, "fixed"], ["INT"]), OLD_PRIMITIVES[1]])
    made = migrated(graph, definitions)
    assert [value(made, node_of(made, kind)["seed"]) for kind in ("Plan", "PlanCodes", "Sampler")] == [SEED] * 3
    assert not any("SeedNode" in note for note in made.notes)


# -- samplers, and what a latent is before them ------------------------------------------------------------------------


def parts(*sampling: Any, latent: tuple[int, int] = (98, 0), text: list[Any] | None = None, more: Any = ()) -> Any:
    return canvas(
        *SPLIT,
        *more,
        (98, "EmptyAceStep1.5LatentAudio", {}, [SECONDS, 3], [LATENT]),
        (
            94,
            "TextEncodeAceStepAudio1.5",
            {"clip": (105, 0)},
            text or [TEXT, LYRICS, 7, "fixed", 96, SECONDS, "4", "en", "E minor"],
            [COND],
        ),
        (47, "ConditioningZeroOut", {"conditioning": (94, 0)}, [], [COND]),
        *sampling,
        (18, "VAEDecodeAudioTiled", {"samples": (3, 0), "vae": (106, 0)}, [256, 64], [AUDIO]),
        (107, "PreviewAudio", {"audio": (18, 0)}, [], []),
    )


WIRES = {"model": (104, 0), "positive": (94, 0), "negative": (47, 0)}
RECORDING = [
    (60, "LoadAudio", {}, ["recording.wav"], [AUDIO]),
    (61, "VAEEncodeAudio", {"audio": (60, 0), "vae": (106, 0)}, [], [LATENT]),
]


def sampler(values: list[Any], latent: int = 98, **wires: tuple[int, int]) -> Any:
    return (3, "KSampler", {**WIRES, "latent_image": (latent, 0), **wires}, values, [LATENT])


def test_custom_sampling_by_parts(definitions: dict[str, Any]) -> None:
    graph = parts(
        (70, "RandomNoise", {}, [11, "fixed"], ["NOISE"]),
        (71, "CFGGuider", WIRES, [4.5], ["GUIDER"]),
        (72, "KSamplerSelect", {}, ["heun"], ["SAMPLER"]),
        (73, "BasicScheduler", {"model": (104, 0)}, ["karras", 6, 1.0], ["SIGMAS"]),
        (
            3,
            "SamplerCustomAdvanced",
            {"noise": (70, 0), "guider": (71, 0), "sampler": (72, 0), "sigmas": (73, 0), "latent_image": (98, 0)},
            [],
            [LATENT, LATENT],
        ),
        more=[],
    )
    graph = change(graph, 104, widgets_values=["acestep_v1.5_base.safetensors", "fp8_e4m3fn"])
    made = migrated(graph, definitions)
    told = node_of(made, "Sampler")
    assert (told["seed"], told["sampler"], told["batch_size"]) == (11, "heun", 3)
    assert node_of(made, "Guidance")["scale"] == 4.5
    times = [float(part) for part in node_of(made, "Schedule")["timesteps"].split(",")]
    assert len(times) == 7 and times[0] == 1 and times[-1] == 0
    assert node_of(made, "Decode")["tile"] == 256 and "PreviewSong" in kinds(made)
    assert any("number format" in note for note in made.notes)


def test_sampler_custom_with_times_of_its_own(definitions: dict[str, Any]) -> None:
    graph = parts(
        (72, "KSamplerSelect", {}, ["lcm"], ["SAMPLER"]),
        (73, "ManualSigmas", {}, ["1, 0.6, 0.3"], ["SIGMAS"]),
        (
            3,
            "SamplerCustom",
            {**WIRES, "sampler": (72, 0), "sigmas": (73, 0), "latent_image": (98, 0)},
            [True, 5, "fixed", 1.0],
            [LATENT, LATENT],
        ),
    )
    made = migrated(graph, definitions)
    assert node_of(made, "Schedule")["timesteps"] == "1, 0.6, 0.3, 0"
    assert (node_of(made, "Sampler")["sampler"], node_of(made, "Sampler")["seed"]) == ("sde", 5)


def test_a_half_denoised_recording_is_a_cover_that_starts_from_it(definitions: dict[str, Any]) -> None:
    made = migrated(parts(sampler([5, "fixed", 4, 1.0, "euler", "simple", 0.5], 61), more=RECORDING), definitions)
    cover = node_of(made, "Cover")
    assert (cover["strength"], cover["noise_strength"]) == (0, 0.25)  # with shift 3, half the steps begin at 0.75
    assert node_of(made, "Schedule")["steps"] == 8
    assert "PlanCodes" not in kinds(made) and any("no codes" in note for note in made.notes)
    assert node_of(made, "Song")["duration"] == 0


def test_advanced_start_is_the_same(definitions: dict[str, Any]) -> None:
    advanced = (
        3,
        "KSamplerAdvanced",
        {**WIRES, "latent_image": (61, 0)},
        ["enable", 5, "fixed", 8, 1.0, "euler", "simple", 4, 10000, "disable"],
        [LATENT],
    )
    made = migrated(parts(advanced, more=RECORDING), definitions)
    assert node_of(made, "Cover")["noise_strength"] == 0.25 and node_of(made, "Schedule")["steps"] == 8
    assert node_of(made, "Sampler")["seed"] == 5


def test_a_reference_is_a_cover_as_long_as_the_latent(definitions: dict[str, Any]) -> None:
    reference = (62, "ReferenceTimbreAudio", {"conditioning": (94, 0), "latent": (61, 0)}, [], [COND])
    graph = parts(reference, sampler([5, "fixed", 8, 1.0, "euler", "simple", 1.0], positive=(62, 0)), more=RECORDING)
    made = migrated(graph, definitions)
    assert node_of(made, "Cover")["strength"] == 1 and node_of(made, "TrimAudioDuration")["duration"] == SECONDS
    assert made.prompt[node_of(made, "ReferenceAudio")["task"][0]]["class_type"] == "ACEStepCover"
    assert made.prompt[node_of(made, "ReferenceAudio")["audio"][0]]["class_type"] == "LoadAudio"


def test_loras_are_chained_and_named_as_here(definitions: dict[str, Any]) -> None:
    here = copy.deepcopy(definitions)
    here["ACEStepLoRALoader"]["input"]["required"]["lora"][0].extend(["sub/jazz.safetensors", "folk"])
    graph = parts(
        (80, "LoraLoaderModelOnly", {"model": (104, 0)}, ["sub\\jazz.safetensors", 0.8], [MODEL]),
        (
            81,
            "LoraLoader",
            {"model": (80, 0), "clip": (105, 0)},
            ["folk/adapter_model.safetensors", 5.0, 1.0],
            [MODEL, "CLIP"],
        ),
        (82, "LoraLoaderModelOnly", {"model": (81, 0)}, ["unused.safetensors", 0.0], [MODEL]),
        (83, "TorchCompileModel", {"model": (82, 0)}, ["inductor"], [MODEL]),
        sampler([5, "fixed", 8, 1.0, "euler", "simple", 1.0], model=(83, 0)),
    )
    made = migrated(graph, here)
    loras = [(n["inputs"]["lora"], n["inputs"]["strength"]) for n in made.prompt.values() if "LoRA" in n["class_type"]]
    assert loras == [("sub/jazz.safetensors", 0.8), ("folk", 2.0)]
    assert "LoRA takes strength from -2 to 2: 5 is now 2." in made.notes
    assert "TorchCompileModel is left out: what it changes is not known here." in made.notes


def test_nodes_for_sound_and_latents_stay(definitions: dict[str, Any]) -> None:
    graph = parts(
        sampler([5, "fixed", 8, 1.0, "euler", "simple", 1.0]),
        (19, "AudioAdjustVolume", {"audio": (18, 0)}, [-3], [AUDIO]),
        (20, "SaveAudio", {"audio": (19, 0)}, ["x"], []),
        (21, "SaveAudio", {"audio": (60, 0)}, ["as it was"], []),
        more=RECORDING,
    )
    made = migrated(graph, definitions)
    assert node_of(made, "SaveSong")["audio"] == [
        next(i for i, n in made.prompt.items() if n["class_type"] == "AudioAdjustVolume"),
        0,
    ]
    assert node_of(made, "SaveAudio")["filename_prefix"] == "as it was"


def test_a_voice_that_nothing_here_makes_leaves_the_music_below_it(definitions: dict[str, Any]) -> None:
    graph = parts(
        sampler([5, "fixed", 8, 1.0, "euler", "simple", 1.0]),
        (30, "SomebodysVoice", {}, ["good evening"], [AUDIO]),
        (31, "AudioMerge", {"audio1": (30, 0), "audio2": (18, 0)}, ["add"], [AUDIO]),
        (32, "SaveAudio", {"audio": (31, 0)}, ["x"], []),
    )
    made = migrated(graph, definitions)
    assert made.prompt[node_of(made, "SaveSong")["audio"][0]]["class_type"] == "ACEStepDecode"
    assert any("(AudioMerge) is left out: nothing here gives its audio1." in note for note in made.notes)


def test_the_prompt_of_a_script(definitions: dict[str, Any]) -> None:
    made = migrated(scripted(), definitions)
    assert made.prompt == migrated(scripted(models="1", text="2", run="6"), definitions).prompt
    said = node_of(made, "Song")
    assert (said["caption"], said["lyrics"], said["bpm"], said["duration"]) == (TEXT, "[inst]", 78, SECONDS)
    assert (node_of(made, "Schedule")["shift"], node_of(made, "Sampler")["batch_size"]) == (3, 2)
    assert "Guidance" not in kinds(made) and not any("negative" in note for note in made.notes)


def test_a_batch_that_is_repeated_before_it_is_made(definitions: dict[str, Any]) -> None:
    graph = parts(
        (22, "RepeatLatentBatch", {"samples": (98, 0)}, [2], [LATENT]),
        sampler([5, "fixed", 8, 1.0, "euler", "simple", 1.0], 22),
    )
    assert node_of(migrated(graph, definitions), "Sampler")["batch_size"] == 6


@pytest.mark.parametrize(
    ("text", "note"),
    [
        ([TEXT, LYRICS, 7, "fixed", 20, SECONDS, "4", "en", "E minor"], "20 beats per minute are left open"),
        (["{jazz|folk} tune", LYRICS, 7, "fixed", 96, SECONDS, "4", "en", "E minor"], "no longer drawn by lot"),
        ([TEXT, LYRICS, 7, "fixed", 96, 90.0, "4", "en", "E minor"], "The text says 90 s and the latent 12"),
        ([TEXT, LYRICS, 7, "fixed", 96, SECONDS, "4", "en", "E minor", True, 2, 0.85, 0.9, 0, 0.1], "no min_p"),
        (
            [TEXT, LYRICS, 7, "fixed", 96, SECONDS, "4", "en", "E minor", True, 0.5],
            "cfg_scale from 1 to 100: 0.5 is now 1",
        ),
    ],
)
def test_what_cannot_be_carried_is_said(text: list[Any], note: str, definitions: dict[str, Any]) -> None:
    made = migrated(parts(sampler([5, "fixed", 8, 1.0, "euler", "simple", 1.0]), text=text), definitions)
    assert any(note in said for said in made.notes), made.notes


@pytest.mark.parametrize(
    ("values", "note"),
    [
        ([5, "fixed", 8, 1.0, "dpmpp_2m", "simple", 1.0], "The sampler dpmpp_2m is not here"),
        ([5, "fixed", 8, 1.0, "euler", "beta", 1.0], "The scheduler beta is not here"),
        ([5, "fixed", 8, 4.0, "euler", "simple", 1.0], "Turbo models take no guidance: the scale 4 is left out."),
        ([5, "fixed", 9999, 1.0, "euler", "simple", 1.0], "takes 200 steps instead of 9999"),
    ],
)
def test_what_a_sampler_cannot_have_is_said(values: list[Any], note: str, definitions: dict[str, Any]) -> None:
    made = migrated(parts(sampler(values)), definitions)
    assert any(note in said for said in made.notes), made.notes


def test_more_steps_than_turbo_has_are_written_as_times(definitions: dict[str, Any]) -> None:
    made = migrated(parts(sampler([5, "fixed", 25, 1.0, "euler", "simple", 1.0])), definitions)
    assert len(node_of(made, "Schedule")["timesteps"].split(",")) == 26


def test_without_codes_nobody_plans(definitions: dict[str, Any]) -> None:
    text = [TEXT, LYRICS, 7, "fixed", 96, SECONDS, "4", "en", "E minor", False]
    made = migrated(parts(sampler([5, "fixed", 8, 1.0, "euler", "simple", 1.0]), text=text), definitions)
    assert not {"Plan", "PlanCodes", "LMLoader"} & {*kinds(made)}
    assert "codes" not in node_of(made, "TextToMusic")


def test_a_negative_text_and_projected_guidance(definitions: dict[str, Any]) -> None:
    graph = parts(
        (95, "TextEncodeAceStepAudio1.5", {"clip": (105, 0)}, ["noise", "", 0, "fixed"], [COND]),
        (79, "APG", {"model": (104, 0)}, [0.5, 3.0, -0.5], [MODEL]),
        sampler([5, "fixed", 30, 5.0, "euler", "simple", 1.0], model=(79, 0), negative=(95, 0)),
    )
    made = migrated(change(graph, 104, values={0: "acestep_v1.5_sft.safetensors"}), definitions)
    guidance = node_of(made, "Guidance")
    names = ("mode", "scale", "eta", "norm_threshold", "momentum")
    assert tuple(guidance[name] for name in names) == (
        "apg", 5.0, 0.5, 3.0, -0.5,
    )  # fmt: skip
    assert any("negative text is left out" in note for note in made.notes)
    assert len([1 for kind in kinds(made) if kind == "Song"]) == 1


def test_a_graph_of_the_first_ace_step_keeps_its_words(definitions: dict[str, Any]) -> None:
    graph = canvas(
        (40, "CheckpointLoaderSimple", {}, ["ace_step_v1_3.5b.safetensors"], [MODEL, "CLIP", "VAE"]),
        (17, "EmptyAceStepLatentAudio", {}, [30.0, 1], [LATENT]),
        (14, "TextEncodeAceStepAudio", {"clip": (40, 1)}, [TEXT, LYRICS, 0.99], [COND]),
        (44, "ConditioningZeroOut", {"conditioning": (14, 0)}, [], [COND]),
        (51, "ModelSamplingSD3", {"model": (40, 0)}, [5.0], [MODEL]),
        (
            52,
            "KSampler",
            {"model": (51, 0), "positive": (14, 0), "negative": (44, 0), "latent_image": (17, 0)},
            [9, "randomize", 50, 5.0, "euler", "simple", 1.0],
            [LATENT],
        ),
        (18, "VAEDecodeAudio", {"samples": (52, 0), "vae": (40, 2)}, [], [AUDIO]),
        (59, "SaveAudioMP3", {"audio": (18, 0)}, ["audio/ComfyUI", "V0"], []),
    )
    made = migrated(graph, definitions)
    assert node_of(made, "Song")["caption"] == TEXT and node_of(made, "Song")["duration"] == 30
    assert not {"Schedule", "Guidance"} & {*kinds(made)}
    assert made.notes[0].startswith("This graph is for ACE-Step 1.0") and not any("not here" in n for n in made.notes)
    sampler_node = next(node for node in made.canvas["nodes"] if node["type"] == "ACEStepSampler")
    assert "randomize" in sampler_node["widgets_values"]


def test_kaola_nodes_are_requests(definitions: dict[str, Any]) -> None:
    made = migrated(KAOLA["text to music"], definitions)
    assert node_of(made, "Song")["lyrics"] == LYRICS and node_of(made, "Song")["bpm"] == 90
    assert node_of(made, "LMSampling")["temperature"] == 0.7 and node_of(made, "PlanCodes")["batch_size"] == 2
    assert (node_of(made, "Schedule")["steps"], node_of(made, "Schedule")["shift"]) == (8, 1)
    assert node_of(made, "SaveSong")["filename_prefix"] == "output/acestep"
    repaint = node_of(migrated(KAOLA["repaint"], definitions), "Repaint")
    assert (repaint["start"], repaint["end"]) == (2.0, 5.0)


def test_scromfy(definitions: dict[str, Any]) -> None:
    made = migrated(SCROMFY, definitions)
    assert node_of(made, "Song")["caption"] == f"ohwx {TEXT}" and node_of(made, "Song")["bpm"] == 0
    assert node_of(made, "Schedule")["shift"] == 2 and node_of(made, "Sampler")["sampler"] == "sde"
    assert node_of(made, "SaveSong")["format"] == "opus" and node_of(made, "SaveSong")["bitrate"] == "96"


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (canvas((1, "KSampler", {}, [], [LATENT])), "holds no nodes that make music"),
        (canvas((1, "ACEStepSong", {}, [], ["x"])), "made of this pack's nodes already"),
        (canvas((1, "TextEncodeAceStepAudio1.5", {}, [], [COND])), "makes no song that can be carried over"),
        ({"a": 1}, "neither a graph nor a request"),
        ([], "neither a graph nor a request"),
        ("x", "neither a graph nor a request"),
        ({"format": "acestep-song", "song": {}}, "neither a graph nor a request"),
    ],
)
def test_what_is_nothing_to_carry_is_refused(data: Any, reason: str, definitions: dict[str, Any]) -> None:
    with pytest.raises(GraphError, match=rf"{reason}.*\.$"):
        migrated(data, definitions)


def test_a_graph_in_a_circle_is_refused(definitions: dict[str, Any]) -> None:
    graph = song(SPLIT, OLD_PRIMITIVES)
    prompt = convert(graph, read_with(graph, definitions)).prompt
    prompt["78"]["inputs"]["model"] = ["78", 0]
    with pytest.raises(GraphError, match="in a circle"):
        migrated(prompt, definitions)
    prompt["78"] = {"class_type": "Unknown", "inputs": {"model": ["78", 0]}}
    with pytest.raises(GraphError, match="in a circle"):
        migrated(prompt, definitions)
