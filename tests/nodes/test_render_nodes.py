import threading
from collections.abc import Callable
from typing import Any

import pytest
import torch

from acestep_core.errors import InvalidInput
from acestep_core.io.audio import read_audio

LOAD = {"model": ("ACEStepModelLoader", {"model": "auto"}), "vae": ("ACEStepVAELoader", {"vae": "auto"})}


def song(**changes: Any) -> tuple[str, dict[str, Any]]:
    values = {
        "caption": "calm piano",
        "lyrics": "[Verse]\nhello",
        "instrumental": False,
        "language": "en",
        "duration": 10.0,
        "bpm": 90,
        "keyscale": "C major",
        "timesignature": "4",
    }
    return "ACEStepSong", values | changes


def text2music(**changes: Any) -> dict[str, tuple[str, dict[str, Any]]]:
    sampler = {
        "model": "model.0",
        "conditioning": "conditioning.0",
        "seed": 5,
        "batch_size": 1,
        "sampler": "euler",
        "sigmas": "schedule.0",
    }
    return LOAD | {
        "song": song(),
        "task": ("ACEStepTextToMusic", {"song": "song.0"}),
        "conditioning": ("ACEStepConditioning", {"model": "model.0", "song": "song.0", "task": "task.0"}),
        "schedule": ("ACEStepSchedule", {"model": "model.0", "steps": 2, "shift": 0.0}),
        "sampler": ("ACEStepSampler", sampler | changes),
        "decode": ("ACEStepDecode", {"vae": "vae.0", "latent": "sampler.0"}),
        "save": ("ACEStepSaveSong", {"audio": "decode.0", "filename_prefix": "t/song", "format": "wav32"}),
    }


def saved(bench: Any) -> list[torch.Tensor]:
    return [read_audio(path)[0] for path in sorted((bench.folders.output / "t").glob("*.wav"))]


def test_text_becomes_a_song_of_the_wanted_length(bench: Any) -> None:
    nodes = text2music()
    nodes["song"] = song(duration=10.03)
    outcome = bench(**nodes)
    assert outcome.success, outcome.error
    (audio,) = saved(bench)
    assert audio.shape == (2, round(10.03 * 48_000))
    assert audio.abs().max().item() == pytest.approx(10 ** (-1 / 20), rel=1e-3)
    assert outcome.outputs["save"]["audio"][0] == {"filename": "song_00001.wav", "subfolder": "t", "type": "output"}


def test_a_batch_holds_the_single_runs(bench: Any) -> None:
    assert bench(**text2music(batch_size=3)).success
    assert bench(**text2music(seed=6)).success
    *batch, single = saved(bench)
    assert len(batch) == 3
    torch.testing.assert_close(batch[1], single, rtol=0, atol=2e-4)
    assert not torch.allclose(batch[0], batch[1], atol=1e-2)


def test_the_same_graph_gives_the_same_bytes(bench: Any) -> None:
    bench(**text2music())
    bench.executor.forget()
    bench(**text2music())
    first, second = saved(bench)
    assert torch.equal(first, second)


def test_what_did_not_change_is_not_run_again(bench: Any) -> None:
    bench(**text2music())
    bench.sink.events.clear()
    bench(**text2music(seed=6))
    cached = next(data for event, data in bench.sink.events if event == "execution_cached")
    assert {"model", "song", "task", "conditioning", "schedule"} <= set(cached["nodes"])


def test_progress_line_and_picture_reach_the_client(bench: Any) -> None:
    bench(**text2music(batch_size=2))
    assert "Sampling 2 of 2" in bench.sink.lines
    assert any(line.startswith("Decoding") for line in bench.sink.lines)
    assert any(event == "progress" and data["node"] == "sampler" for event, data in bench.sink.events)
    picture = bench.sink.pictures[0]
    assert picture.size[0] == 512
    assert len(set(picture.get_flattened_data() if hasattr(picture, "get_flattened_data") else picture.getdata())) > 1


def test_cancel_takes_effect_while_sampling(bench: Any) -> None:
    stop = threading.Event()
    show = bench.sink.preview
    bench.sink.preview = lambda *args: (stop.set(), show(*args))
    outcome = bench(stop, **text2music(sigmas="schedule.0"))
    assert not outcome.success
    assert outcome.messages[-1][0] == "execution_interrupted"
    assert not saved(bench)
    from acestep_core.models.manager import manager

    assert not any(entry.pins for entry in manager._entries.values())


def test_base_models_take_guidance_and_turbo_ones_refuse(bench: Any) -> None:
    nodes = text2music(guidance="guidance.0") | {
        "guidance": ("ACEStepGuidance", {"mode": "apg", "scale": 5.0, "start": 0.0, "end": 1.0})
    }
    outcome = bench(**nodes)
    assert not outcome.success
    assert "turbo checkpoint cannot be guided" in outcome.error["exception_message"]
    nodes["model"] = ("ACEStepModelLoader", {"model": "auto", "variant": "base"})
    assert bench(**nodes).success
    guided = saved(bench)[-1]
    nodes["guidance"][1]["mode"] = "none"
    assert bench(**nodes).success
    assert not torch.allclose(saved(bench)[-1], guided, atol=1e-2)


def test_presets_fill_in_what_is_not_connected(bench: Any) -> None:
    nodes = text2music()
    del nodes["sampler"][1]["sigmas"]
    assert bench(**nodes).success
    assert "Sampling 8 of 8" in bench.sink.lines


def test_own_timesteps(bench: Any) -> None:
    nodes = text2music()
    nodes["schedule"][1]["timesteps"] = "1, 0.6; 0.2"
    assert bench(**nodes).success
    assert "Sampling 3 of 3" in bench.sink.lines


def test_codes_guide_and_set_the_length(bench: Any) -> None:
    nodes = text2music() | {
        "codes": ("ACEStepTextToCodes", {"text": "<|audio_code_5|>" * 50 + "\n" + "<|audio_code_900|>" * 50}),
        "task": ("ACEStepTextToMusic", {"song": "song.0", "codes": "codes.0"}),
    }
    assert bench(**nodes).success
    first, second = saved(bench)
    assert first.shape == second.shape == (2, 480_000)
    assert not torch.allclose(first, second, atol=1e-2)
    assert not bench(**nodes | {"sampler": ("ACEStepSampler", nodes["sampler"][1] | {"batch_size": 3})}).success


def test_variation_turns_one_song_into_another(bench: Any) -> None:
    for variation in (0.0, 1.0):
        bench(**text2music(variation=variation, variation_seed=9))
    bench(**text2music(seed=9))
    same, other, nine = saved(bench)
    torch.testing.assert_close(other, nine, rtol=0, atol=2e-4)
    assert not torch.allclose(same, other, atol=1e-2)


@pytest.mark.parametrize(
    ("node", "field", "value", "reason"),
    [
        ("song", "bpm", 20, "30 to 300"),
        ("song", "duration", 5.0, "10 to 600"),
        ("schedule", "steps", 50, "from 1 to 20"),
        ("schedule", "timesteps", "1, two", "a list of numbers"),
        ("schedule", "timesteps", "0.2, 0.5", "must fall"),
    ],
)
def test_wrong_values_stop_with_a_sentence(bench: Any, node: str, field: str, value: Any, reason: str) -> None:
    nodes = text2music()
    nodes[node][1][field] = value
    outcome = bench(**nodes)
    assert not outcome.success
    assert reason in outcome.error["exception_message"]
    assert outcome.error["node_id"] == node


def test_round_trip_through_the_vae(call: Callable[..., Any]) -> None:
    (vae,) = call("ACEStepVAELoader", vae="auto")
    audio = {"waveform": torch.randn(2, 1, 44_100) * 0.1, "sample_rate": 44_100}
    (latent,) = call("ACEStepEncodeAudio", vae=vae, audio=audio)
    assert latent["samples"].shape == (2, 64, 25) and latent["type"] == "audio"
    (back,) = call("ACEStepDecode", vae=vae, latent=latent)
    assert back["waveform"].shape == (2, 2, 48_000) and back["sample_rate"] == 48_000
    (tiled,) = call("ACEStepDecode", vae=vae, latent=latent, tile=32)
    torch.testing.assert_close(tiled["waveform"], back["waveform"], rtol=1e-4, atol=1e-4)
    (drawn,) = call("ACEStepEncodeAudio", vae=vae, audio=audio, sample_posterior=True, posterior_seed=1)
    assert not torch.equal(drawn["samples"], latent["samples"])


def test_foreign_latents_and_empty_audio_are_refused(call: Callable[..., Any]) -> None:
    (vae,) = call("ACEStepVAELoader", vae="auto")
    with pytest.raises(InvalidInput, match=r"ACE-Step 1\.5"):
        call("ACEStepDecode", vae=vae, latent={"samples": torch.zeros(1, 4, 8, 8)})
    with pytest.raises(InvalidInput, match="Song 1 of the latents is all zero"):
        call("ACEStepDecode", vae=vae, latent={"samples": torch.zeros(1, 64, 25)})
    with pytest.raises(InvalidInput, match="holds no audio"):
        call("ACEStepEncodeAudio", vae=vae, audio=None)
