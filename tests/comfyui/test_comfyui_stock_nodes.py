"""The nodes that the embedded host has in ComfyUI's place: declared as there, and with the same results."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest
import torch

from acestep_core.errors import AceStepError
from acestep_core.host.graph.packs import Registry
from acestep_core.host.graph.stock_audio import AUDIO_EDITS
from acestep_core.host.graph.stock_latents import LATENT_EDITS
from acestep_core.host.graph.stock_nodes import PACKS
from tests.comfyui.comfy_server import Comfy, checkout, environment, python_of

LATER = {"SaveAudioAdvanced"}
"""Of newer releases than the one that is here."""
WIDER = {"LatentFromBatch"}
"""Take numbers that releases before 0.33 did not."""
HAND_ON = {"PreviewAudio", "SaveAudio", "SaveAudioMP3", "SaveAudioOpus"}
"""Hand their audio on, as newer releases do."""
MEANING = ("default", "min", "max", "step", "multiline", "forceInput", "control_after_generate", "audio_upload")
"""Of what is said about an input, what saved graphs and values depend on."""
UNSAID = {"INT": 0, "FLOAT": 0.0, "STRING": ""}


def declared(definition: dict[str, Any]) -> dict[str, Any]:
    """What a graph depends on: inputs in their order, outputs."""
    groups = [definition["input"].get(group) or {} for group in ("required", "optional")]
    return {
        "inputs": [(name, *meaning(*entry)) for group in groups for name, entry in group.items()],
        "outputs": definition["output"],
        "names": definition["output_name"],
        "is output": definition["output_node"],
    }


def meaning(kind: Any, options: Any = ()) -> tuple[Any, Any, dict[str, Any]]:
    """Type, choices and the rest that counts; what is not said is what the canvas takes. Files are a host's own."""
    said = {key: value for key, value in dict(options).items() if key in MEANING and value is not False}
    choices = kind if isinstance(kind, list) else dict(options).get("options")
    shown = "COMBO" if isinstance(kind, list) else kind
    if shown == "COMFY_DYNAMICCOMBO_V3":
        choices = [
            (one["key"], group, name, *meaning(*entry))
            for one in choices
            for group, inputs in one["inputs"].items()
            for name, entry in inputs.items()
        ]
    return shown, None if said.get("audio_upload") else choices, {"default": UNSAID.get(shown), **said}


@pytest.mark.parametrize("name", list(Registry(PACKS)))
def test_declared_alike(name: str, comfy: Comfy) -> None:
    theirs = comfy.get("/object_info")
    if name in LATER and name not in theirs:
        pytest.skip("this ComfyUI has no such node yet")
    ours = Registry(PACKS).describe(name)
    wanted, found = declared(theirs[name]), declared(ours)
    if name in HAND_ON:
        found |= {"outputs": wanted["outputs"], "names": wanted["names"]}
    if name in WIDER:
        for (*_, mine), (*_, other) in zip(found["inputs"], wanted["inputs"]):
            for bound, as_wide in (("min", int.__le__), ("max", int.__ge__)):
                if bound in other:
                    assert as_wide(mine[bound], other[bound])
                    mine[bound] = other[bound]
    assert found == wanted


def audio(*shape: int, rate: int = 8000, gain: float = 0.2) -> dict[str, Any]:
    draws = torch.Generator().manual_seed(sum(shape) + rate)
    return {"waveform": torch.randn(*shape, generator=draws) * gain, "sample_rate": rate}


def latent(*shape: int, **more: Any) -> dict[str, Any]:
    draws = torch.Generator().manual_seed(sum(shape))
    return {"samples": torch.randn(*shape, generator=draws), "type": "audio", **more}


STEREO, LONG, MONO = audio(1, 2, 4000), audio(1, 2, 6001), audio(1, 1, 5000)
LATENT, OTHER, TWO = latent(1, 64, 30), latent(1, 64, 30, batch_index=[5]), latent(2, 64, 30)
EQUAL = {"low_freq": 100, "mid_freq": 1000, "mid_q": 0.707, "high_freq": 3000}
FLAT = {"low_gain_dB": 0.0, "mid_gain_dB": 0.0, "high_gain_dB": 0.0}
MASKS = torch.rand(2, 1, 8, 8, generator=torch.Generator().manual_seed(0))
BEYOND = ("TrimAudioDuration", {"audio": LONG, "start_index": 9.0, "duration": 1.0})
"""Of which releases before 0.33 keep the last sample."""
JOBS: list[tuple[str, dict[str, Any]]] = [
    *(
        ("TrimAudioDuration", {"audio": LONG, "start_index": start, "duration": seconds})
        for start, seconds in ((0.0, 60.0), (0.1, 0.2), (-0.25, 0.1), (-9.0, 0.3), (0.0, 0.0))
    ),
    BEYOND,
    ("SplitAudioChannels", {"audio": STEREO}),
    ("SplitAudioChannels", {"audio": MONO}),
    ("JoinAudioChannels", {"audio_left": MONO, "audio_right": audio(1, 1, 3000)}),
    ("JoinAudioChannels", {"audio_left": STEREO, "audio_right": MONO}),
    *(("AudioConcat", {"audio1": MONO, "audio2": LONG, "direction": way}) for way in ("after", "before")),
    *(
        ("AudioMerge", {"audio1": one, "audio2": other, "merge_method": method})
        for method in ("add", "mean", "subtract", "multiply")
        for one, other in ((STEREO, LONG), (LONG, STEREO), (audio(1, 2, 4000, gain=2.0), STEREO))
    ),
    *(("AudioAdjustVolume", {"audio": STEREO, "volume": decibels}) for decibels in (0, 6, -100)),
    ("EmptyAudio", {"duration": 1.2345, "sample_rate": 44100, "channels": 1}),
    *(
        ("AudioEqualizer3Band", {"audio": one, **EQUAL, **FLAT, **change})
        for one in (STEREO, audio(2, 1, 48_000, rate=48_000, gain=0.6))
        for change in (
            {},
            {"low_gain_dB": 12.0},
            {"low_gain_dB": -24.0, "low_freq": 20},
            {"mid_gain_dB": 9.0, "mid_q": 10.0},
            {"mid_gain_dB": -3.0, "mid_freq": 200},
            {"high_gain_dB": 24.0},
            {"low_gain_dB": 3.0, "mid_gain_dB": -2.0, "high_gain_dB": 1.0},
        )
    ),
    *((name, {"samples1": LATENT, "samples2": OTHER}) for name in ("LatentAdd", "LatentSubtract", "LatentBatch")),
    *((name, {"samples1": TWO, "samples2": LATENT}) for name in ("LatentAdd", "LatentSubtract", "LatentBatch")),
    *((name, {"samples1": LATENT, "samples2": latent(1, 64, 20)}) for name in ("LatentAdd", "LatentBatch")),
    ("LatentMultiply", {"samples": TWO, "multiplier": -0.5}),
    *(("LatentInterpolate", {"samples1": LATENT, "samples2": OTHER, "ratio": ratio}) for ratio in (0.0, 0.3, 1.0)),
    *(("LatentBlend", {"samples1": LATENT, "samples2": OTHER, "blend_factor": share}) for share in (0.0, 0.3)),
    *(("LatentConcat", {"samples1": TWO, "samples2": OTHER, "dim": dim}) for dim in ("x", "-x", "y", "-y", "t", "-t")),
    ("LatentConcat", {"samples1": LATENT, "samples2": latent(1, 64, 20), "dim": "y"}),
    *(
        ("LatentCut", {"samples": TWO, "dim": dim, "index": index, "amount": amount})
        for dim in ("x", "y", "t")
        for index, amount in ((0, 1), (3, 99), (-5, 2), (-99, 3), (99, 1))
    ),
    *(
        ("LatentCutToBatch", {"samples": TWO, "dim": dim, "slice_size": size})
        for dim in ("t", "x", "y")
        for size in (1, 7, 99)
    ),
    *(("LatentBatchSeedBehavior", {"samples": TWO, "seed_behavior": way}) for way in ("random", "fixed")),
    *(("LatentFromBatch", {"samples": TWO, "batch_index": first, "length": 5}) for first in (0, 1, 9, -1, -9)),
    ("RepeatLatentBatch", {"samples": TWO, "amount": 3}),
    ("RepeatLatentBatch", {"samples": latent(2, 64, 3, batch_index=[2, 4]), "amount": 2}),
    (
        "LatentFromBatch",
        {"samples": latent(3, 64, 4, noise_mask=MASKS), "batch_index": 1, "length": 2},
    ),
    ("RepeatLatentBatch", {"samples": latent(2, 64, 4, noise_mask=MASKS), "amount": 2}),
]


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> list[Any]:
    """What ComfyUI's nodes make of `JOBS`."""
    main, folder = checkout(), tmp_path_factory.mktemp("stock")
    torch.save([list(job) for job in JOBS], folder / "jobs.pt")
    script = Path(__file__).with_name("stock_results.py")
    command = [python_of(main.parent), str(script), str(folder / "jobs.pt"), str(folder / "results.pt")]
    subprocess.run(command, cwd=main.parent, check=True, env=environment(folder), timeout=300)
    return torch.load(folder / "results.pt", weights_only=True)


@pytest.mark.parametrize("number", range(len(JOBS)), ids=[f"{name}-{i}" for i, (name, _) in enumerate(JOBS)])
def test_the_same_results(number: int, results: list[Any]) -> None:
    (name, arguments), theirs = JOBS[number], results[number]
    if isinstance(theirs, str) and "'str' object is not callable" in theirs:
        pytest.skip("this ComfyUI has no torchaudio")
    if arguments.get("batch_index", 0) < 0 and theirs[0]["batch_index"][0] < 0:
        pytest.skip("this ComfyUI counts from the first alone")
    if JOBS[number] is BEYOND and not isinstance(theirs, str):
        assert theirs[0]["waveform"].shape[-1] == 1
        theirs = "refused since"
    node = (AUDIO_EDITS | LATENT_EDITS)[name]()
    if isinstance(theirs, str):
        with pytest.raises(AceStepError):
            node.run(**arguments)
        return
    near = 5e-4 if name == "AudioEqualizer3Band" else 2e-5  # theirs rounds each step of the filter to fp32
    ours = node.run(**arguments)
    assert len(ours) == len(theirs)
    for one, other in zip(ours, theirs):
        assert one.keys() == other.keys()
        for key, value in other.items():
            if isinstance(value, torch.Tensor):
                torch.testing.assert_close(one[key], value, atol=near, rtol=1e-5)
            else:
                assert one[key] == value, key
