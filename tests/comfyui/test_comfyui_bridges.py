"""Bridges between ComfyUI's models and ours, in its own interpreter and in its server."""

from __future__ import annotations

import asyncio
import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
import torch

from acestep_core.host.client.client import HostClient
from acestep_core.host.graph.workflow import Workflow
from acestep_core.host.queue.results import Result
from acestep_core.io.audio import read_audio
from tests.comfyui.comfy_server import ROOT, Comfy, checkout, environment, python_of

SAME = 1e-5
"""Two networks of one model round differently; measured are 1e-6."""
NAMES = ("euler_ancestral", "dpmpp_2m", "lcm", "uni_pc")


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    main, place = checkout(), tmp_path_factory.mktemp("bridge")
    command = [python_of(main.parent), str(Path(__file__).with_name("native_bridge.py"))]
    command += [str(main.parent), str(ROOT), str(place)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment(place))
    assert done.returncode == 0, done.stderr[-4000:]
    return json.loads(done.stdout.splitlines()[-1])


def test_models_of_comfyui_are_ours_without_a_second_copy(found: dict[str, Any]) -> None:
    assert found["variant"] == "turbo", "by the name of the file"
    assert found["shift"] == 2.0, "of ModelSamplingAuraFlow"
    assert found["same memory"] == found["weights"] > 200
    assert found["loaded"] == [], "nothing of them is loaded by us"
    assert found["native shares"], "nor the other way round"


def test_comfyuis_classes_load_what_was_converted(found: dict[str, Any]) -> None:
    assert found["converted"] == [True] * 4, "model and VAE tensor by tensor, the names of both Qwen3 models"


def test_the_song_is_the_same_on_both_sides(found: dict[str, Any]) -> None:
    assert found["file and lent"] == 0, "a file of ours, and ComfyUI's model of it"
    assert found["ComfyUI's own pipeline"] < 1e-3, "its text nodes, its network with encoders; measured 1e-4"
    assert found["text encoder"] < SAME
    assert found["lent there and back"] < SAME
    assert found["file by KSampler's way"] < SAME
    assert found["from a latent"] < SAME
    assert found["vae is theirs"] and found["decoded"] < SAME
    assert found["shape"] == [1, 2, 480_000] and found["frames"] == [1, 64, 250]


def test_songs_of_lent_models_say_that_they_have_no_record(found: dict[str, Any]) -> None:
    assert "one that ComfyUI holds" in found["unrecorded"]


def test_a_lora_of_comfyuis_loader_acts_on_both_sides(found: dict[str, Any]) -> None:
    assert found["lora acts"] > 0.1
    assert found["lora through the bridge"] < SAME
    assert found["file after the lora"] == 0, "our own weights are as they were"
    assert found["guided differs"] > 0.1, "zeroed conditioning is a negative"


def test_repaint_with_comfyuis_sampler_keeps_the_recording(found: dict[str, Any]) -> None:
    assert found["repaint keeps"] < SAME < found["repaint makes"]
    shape, outside = found["repaint audio"]
    assert shape == [1, 2, 480_000] and outside == 0
    assert not found["repaint record"]


def test_samplers_of_comfyui_run_in_our_loop(found: dict[str, Any]) -> None:
    assert found["their euler"] < SAME and found["their euler is told"]
    assert all(found[f"their {name}"] for name in NAMES)
    assert "cfg++" in found["cfg++"]
    assert found["theirs, then ours"] < SAME


def test_the_language_model_within_the_clip_writes_codes(found: dict[str, Any]) -> None:
    assert found["lm"] and found["codes"] == 50


REFUSED = "The latent must be an ACE-Step 1.5 one"
THEIRS = "ComfyUI: "
BETWEEN: dict[str, list[float] | str] = {
    "LatentFromBatch": [10.0, 1, 1],
    "RepeatLatentBatch": [10.0, 4, 4],
    "LatentBatch": [10.0, 3, 3],
    "BatchLatentsNode": [10.0, 3, 3],
    "LatentConcat": [20.0, 1, 0],
    "LatentCut": [4.0, 2, 0],
    "LatentCutToBatch": [5.0, 4, 0],
    "LatentMultiply": [10.0, 2, 0],
    "LatentMultiply by 1": [10.0, 2, 2],
    "LatentAdd": [10.0, 2, 0],
    "LatentSubtract": [10.0, 2, 0],
    "LatentSubtract from itself": "Song 1 of the latents is all zero",
    "LatentInterpolate": [10.0, 1, 0],
    "LatentBlend": [10.0, 2, 0],
    "LatentFlip": [10.0, 2, 0],
    "LatentBatchSeedBehavior": [10.0, 2, 2],
    "SetLatentNoiseMask": [10.0, 2, 2],
    "AddNoise": [10.0, 2, 0],
    "ReplaceVideoLatentFrames": [10.0, 2, 2],  # does not fit, so it changes nothing
    "TrimVideoLatent": [6.0, 2, 0],
    "LTXVConcatAVLatent": REFUSED,
    "LTXVSeparateAVLatent": REFUSED,
    "TrimAudioDuration": [3.0, 2, 0],
    "TrimAudioDuration to all": [10.0, 2, 0],
    "SplitAudioChannels": [10.0, 2, 0],
    "JoinAudioChannels": [10.0, 2, 0],
    "AudioConcat": [20.0, 2, 0],
    "AudioMerge": [10.0, 2, 0],
    "AudioAdjustVolume": [10.0, 2, 2],
    "AudioAdjustVolume by 6": [10.0, 2, 0],
    "AudioEqualizer3Band": [10.0, 2, 0],
    "VAEDecodeAudio": [10.0, 2, 0],
    "VAEDecodeAudioTiled": [10.0, 2, 0],
    "VAEEncodeAudio": [10.0, 2, 2],
    "EmptyAceStep1.5LatentAudio": [10.0, 2, 2],
    "EmptyAudio": [10.0, 1, 0],
    **dict.fromkeys(
        ("RebatchLatents", "LatentApplyOperation", "NormalizeVideoLatentStart", "LatentUpscale", "LatentUpscaleBy"),
        THEIRS,
    ),
    **dict.fromkeys(("LatentCrop", "LatentRotate", "LatentComposite", "LatentCompositeMasked"), THEIRS),
}
"""Seconds, songs, and how many of them know what made them; or who refuses: we, or ComfyUI's node itself, which takes
pictures only."""
ELSEWHERE = {
    *("KSampler", "KSamplerAdvanced", "SamplerCustom", "SamplerCustomAdvanced"),  # the other tests here
    "ResolutionBucket",  # hands pairs of training data through
    *("LTXVAudioVAEEncode", "LTXVAudioVAEDecode"),  # need the VAE of another model
    *("HunyuanVideo15SuperResolution", "HunyuanVideo15LatentUpscaleWithModel", "HunyuanRefinerLatent"),
    *("LTXVLatentUpsampler", "LTXVImgToVideoInplace", "LTXVAddGuide", "LTXVCropGuides", "WanSoundImageToVideoExtend"),
    *("WanDancerPadKeyframes", "WanDancerPadKeyframesList"),
    *(
        "SaveAudio",
        "SaveAudioMP3",
        "SaveAudioOpus",
        "SaveAudioAdvanced",
        "PreviewAudio",
        "SaveLatent",
    ),  # as they got it
    *("SeedVR2TemporalChunk", "SeedVR2TemporalMerge", "MiniMaxH3ReferenceToVideo", "BerniniConditioning"),
    *("TextEncodeMageFlowEdit", "Trellis2TextureStage", "Trellis2UpsampleStage"),
}
"""Nodes with a latent or sound on both sides that cannot stand between two of ours, or are tested otherwise."""


@pytest.mark.parametrize("name", BETWEEN)
def test_a_node_of_comfyui_between_two_of_ours(name: str, found: dict[str, Any]) -> None:
    wanted, got = BETWEEN[name], found["between"][name]
    if name == "AudioEqualizer3Band" and got == "ComfyUI: TypeError":
        pytest.skip("this ComfyUI has no torchaudio")
    assert got.startswith(wanted) if isinstance(wanted, str) else got == wanted, got


def test_no_node_of_comfyui_is_left_out(found: dict[str, Any]) -> None:
    """A release with another node for latents or sound fails here, until somebody has looked at it."""
    known = {name.split(" ")[0] for name in BETWEEN} | ELSEWHERE
    unknown = sorted({*found["takes and gives"]} - known)
    assert not unknown, ", ".join(unknown)


OPEN = {"bpm": 0, "keyscale": "auto", "timesignature": "auto"}


def graph() -> dict[str, Any]:
    """A task of ours through KSampler and ComfyUI's decoder, and beside it through our own."""

    def node(kind: str, /, **inputs: Any) -> dict[str, Any]:
        return {"class_type": kind, "inputs": inputs}

    return {
        "model": node("ACEStepModelLoader", model="acestep-v15-turbo"),
        "vae": node("ACEStepVAELoader", vae="auto"),
        "song": node("ACEStepSong", caption="x", lyrics="", instrumental=True, language="en", duration=10.0, **OPEN),
        "task": node("ACEStepTextToMusic", song=["song", 0], codes_strength=1.0),
        "told": node("ACEStepConditioning", model=["model", 0], song=["song", 0], task=["task", 0]),
        "native": node("ACEStepToNative", model=["model", 0], vae=["vae", 0], conditioning=["told", 0]),
        "zero": node("ConditioningZeroOut", conditioning=["native", 2]),
        "shift": node("ModelSamplingAuraFlow", model=["native", 0], shift=3.0),
        "sampler": node(
            "KSampler",
            **{"model": ["shift", 0], "positive": ["native", 2], "negative": ["zero", 0]},
            **{"latent_image": ["native", 3], "seed": 3, "steps": 4, "cfg": 1.0, "denoise": 1.0},
            **{"sampler_name": "euler", "scheduler": "simple"},
        ),
        "ours": node("ACEStepDecode", vae=["vae", 0], latent=["sampler", 0], task=["task", 0]),
        "save": node("ACEStepSaveSong", audio=["ours", 0], filename_prefix="bridge/ours", format="wav32"),
        "theirs": node("VAEDecodeAudio", samples=["sampler", 0], vae=["native", 1]),
        "save theirs": node("ACEStepSaveSong", audio=["theirs", 0], filename_prefix="bridge/theirs", format="wav32"),
    }


def test_a_graph_with_ksampler_in_the_server(comfy: Comfy, tmp_path: Path) -> None:
    async def main() -> Result:
        async with HostClient(comfy.url) as client:
            return await client.run(Workflow(graph(), await client.definitions()), tmp_path)

    files = asyncio.run(main()).files
    ours, theirs = (
        read_audio(next(p for p in files[name] if p.suffix == ".wav"))[0] for name in ("save", "save theirs")
    )
    assert ours.shape == theirs.shape == (2, 480_000) and ours.abs().max() > 0.05
    scale = float((ours * theirs).sum() / (theirs * theirs).sum())  # both level in their own way
    torch.testing.assert_close(ours, theirs * scale, atol=1e-4, rtol=1e-3)


def test_outside_comfyui_the_bridges_say_so(tmp_path: Path) -> None:
    from acestep_core.errors import InvalidInput
    from acestep_core.host.graph.packs import load_pack

    classes = load_pack(ROOT).classes
    with pytest.raises(InvalidInput, match="works with models of ComfyUI, which is not here"):
        classes["ACEStepFromNative"]().lend(None, None, None)
    with pytest.raises(InvalidInput, match="use ACE-Step Sampler"):
        classes["ACEStepToNative"]().lend(None, None, None)
