"""Songs are made again bit for bit from their records: random settings, through every door, by call and by graph."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from safetensors.torch import save_file
from torch import Tensor

import acestep_core
from acestep_core import replay
from acestep_core.builtin import tiny
from acestep_core.commands.main import main
from acestep_core.declared import options_of
from acestep_core.host.graph.context import Folders, hosting
from acestep_core.host.graph.packs import Pack, load_pack
from acestep_core.io.audio import read_audio
from acestep_core.models.handles import Models
from acestep_core.options import RENDER_GROUPS, TASKS, Decode, Finish, Guidance, Sampling, Start
from acestep_core.pipeline.opening import open_models
from acestep_core.pipeline.steps import source_tasks
from acestep_core.records.song_record import SongRecord
from acestep_core.render.start import mask_of
from tests.making import write_lora

ROOT = Path(__file__).parents[2]
RATE = 48_000
COMBINATIONS, PARTS = 200, 20
DOORS = ("library", "command", "canvas")
STEMS = ("add_track", "extract", "complete")
Given = dict[str, Any]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Folders:
    """Recordings, an adapter, and models whose VAE is narrower still: hundreds of songs are decoded here."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(tiny.VAE, "decoder_channels", 2)
        models = tiny.build_tiny(tmp_path_factory.mktemp("narrow") / "models", 0, ("turbo", "base"), (), 2)
    folders = Folders.under(tmp_path_factory.mktemp("remake"), models=models)
    t = np.arange(int(2.3 * RATE)) / RATE
    for name, pitch in (("source", 700), ("timbre", 410)):
        wave = np.stack([np.sin(pitch * t), np.sin(1.3 * pitch * t)], 1) * 0.3
        soundfile.write(folders.input / f"{name}.wav", wave, RATE, subtype="FLOAT")
    write_lora(folders.input / "voice", models / "acestep-v15-turbo", 3)
    return folders


@pytest.fixture(scope="module")
def pack() -> Pack:
    return load_pack(ROOT)


def drawn(rng: random.Random) -> Given:
    """One combination: what to do, with which settings, how many songs, and with which model."""
    call = rng.choice([*TASKS, "generate", "generate"])
    base = call in (*STEMS, "morph") or rng.random() < 0.3
    some = lambda value: value if rng.random() < 0.4 else None  # noqa: E731
    told = {
        "steps": rng.randint(1, 3), "shift": some(rng.uniform(0.5, 5)), "method": rng.choice(("euler", "heun", "sde")),
        "velocity_clamp": some(rng.uniform(0.1, 4)), "velocity_ema": some(rng.uniform(0, 0.9)),
        "wavelet": rng.choice(("off", "off", "double", "low", "high", "pix")), "wavelet_low": some(rng.uniform(-1, 1)),
        "wavelet_high": some(rng.uniform(-1, 1)), "retake_variance": some(rng.uniform(0, 1)),
        "retake_seed": some(rng.randrange(2**40)), "latent_shift": some(rng.uniform(-0.5, 0.5)),
        "latent_rescale": some(rng.uniform(0.5, 1.5)), "tile": some(rng.choice((32, 50, 128))),
        "peak_db": some(rng.uniform(-20, 0)), "fade_in": some(rng.uniform(0, 1)), "fade_out": some(rng.uniform(0, 1)),
    }  # fmt: skip
    if rng.random() < 0.2:
        told |= {"steps": None, "shift": None, "timesteps": (1.0, rng.uniform(0.5, 0.9), rng.uniform(0.1, 0.4))}
    if base:
        told |= {
            "guidance": some(rng.uniform(1, 9)),
            "guidance_mode": rng.choice(("apg", "adg", "adg_w_norm", "cfg", "none")),
            "guidance_start": some(rng.uniform(0, 0.4)), "guidance_end": some(rng.uniform(0.5, 1)),
            "guidance_momentum": some(rng.uniform(-1, 1)), "guidance_eta": some(rng.uniform(0, 1)),
            "guidance_norm_threshold": some(rng.uniform(0, 5)),
        }  # fmt: skip
    latent = None
    if call in ("generate", "repaint", "cover") and rng.random() < 0.4:
        latent = {"noise_mask": rng.choice((None, "0.2-1, 1.5-2"))}
        told |= {"denoise": some(rng.uniform(0.3, 1)), "end_step": some(rng.randint(2, 3)), "steps": 3}
        told |= {"add_noise": rng.random() < 0.8, "leave_noise": rng.random() < 0.2}
    if call == "morph":  # whose state is a recording, not noise
        told |= {"method": rng.choice(("euler", "heun")), "retake_variance": None, "retake_seed": None}
    region = {
        "start": rng.uniform(0, 1),
        "end": some(rng.uniform(1.2, 3)),
        "mode": rng.choice(("balanced", "aggressive")),
        "bars": rng.choice(("", "", "1 at 120 bpm in 2/4")),
    }
    arguments: dict[str, Given] = {
        "generate": {"codes_strength": rng.choice((0.5, 1.0))},
        "cover": {
            "strength": rng.random(),
            "noise_strength": 0.0 if latent else rng.choice((0.0, 0.4)),
            "fsq": rng.random() < 0.7,
        },
        "repaint": {**region, "strength": rng.random(), "keep_outside": rng.random() < 0.7},
        "extend": {"after": rng.uniform(0.2, 1), "before": rng.choice((0.0, 0.5))},
        "add_track": {**region, "track": "drums", "chunk_mask": rng.choice(("ones", "window", "twos"))},
        "extract": {"track": rng.choice(("vocals", "bass"))},
        "complete": {"tracks": ("drums", "bass")[: rng.randint(1, 2)]},
        "morph": {"source_caption": "a flute", "start": rng.choice((0.0, 0.3)), "average": rng.randint(1, 2)},
    }
    return {
        "door": rng.choice(DOORS), "call": call, "arguments": arguments[call], "base": base,
        "settings": {name: value for name, value in told.items() if value is not None},
        "seed": rng.randrange(2**32), "batch": rng.choice((1, 1, 1, 2, 3)),
        "codes": [tuple(rng.randrange(64_000) for _ in range(9)) for _ in range(rng.choice((0, 1, 1)))],
        "timbre": rng.random() < 0.3, "latent": latent, "lora": None if base else some(round(rng.uniform(-1, 1.5), 2)),
        "song": {"caption": "calm", "lyrics": "la la", "bpm": some(90)},
    }  # fmt: skip


def library(given: Given, models: Models, place: Folders, pack: Pack) -> tuple[Tensor, SongRecord]:
    common = {**given["settings"], **given["song"], "seed": given["seed"], "batch": given["batch"], "models": models}
    if given["timbre"]:
        common |= {"references": place.input / "timbre.wav", "reference_seed": 4}
    if given["latent"]:
        common |= {"latent": begin_of(given, place), "noise_mask": given["latent"]["noise_mask"]}
    if given["call"] == "generate":
        length = {"codes": given["codes"][0]} if given["codes"] else {"duration": 10}
        made = acestep_core.generate(**length, **given["arguments"], **common)
    else:
        made = getattr(acestep_core, given["call"])(place.input / "source.wav", **given["arguments"], **common)
    item = len(made.seeds) - 1
    return made.audio[item], SongRecord.from_json(made.record(item).to_json())


def command(given: Given, models: Models, place: Folders, pack: Pack) -> tuple[Tensor, SongRecord]:
    flags = ["--seed", given["seed"], "--batch", given["batch"], "--models", place.models]
    flags += ["--variant", "base" if given["base"] else "turbo", "--task"]
    flags += ["text2music" if given["call"] == "generate" else given["call"].replace("_", "-")]
    if given["timbre"]:
        flags += ["--reference", place.input / "timbre.wav", "--reference-seed", 4]
    if given["lora"] is not None:
        flags += ["--lora", f"{place.input / 'voice'}={given['lora']}"]
    if given["call"] != "generate":
        flags += ["--source", place.input / "source.wav"]
    elif given["codes"]:
        (place.temp / "codes.txt").write_text("".join(f"<|audio_code_{code}|>" for code in given["codes"][0]))
        flags += ["--codes", place.temp / "codes.txt"]
    else:
        flags += ["--duration", 10]
    if given["latent"]:
        save_file({"latent_tensor": begin_of(given, place).mT.contiguous()}, place.input / "begin.latent")
        flags += ["--latent", place.input / "begin.latent"]
        if given["latent"]["noise_mask"]:
            flags += ["--noise-mask", given["latent"]["noise_mask"]]
    (place.temp / "lyrics.txt").write_text(given["song"]["lyrics"])
    told = {**given["settings"], **given["arguments"], "lyrics": place.temp / "lyrics.txt", "bpm": given["song"]["bpm"]}
    for name, value in told.items():
        flag = "--" + name.replace("_", "-")
        if name == "tracks":
            flags += [part for track in value for part in ("--track", track)]
        elif isinstance(value, bool):
            flags.append(flag if value else flag.replace("--", "--no-", 1))
        elif value is not None:
            flags += [flag, ",".join(map(repr, value)) if isinstance(value, tuple) else value]
    folder = place.output / str(given["seed"])
    written = ["-o", folder / "song.wav", "--format", "wav32"]
    assert main(["song", given["song"]["caption"], *(f"{flag}" for flag in flags + written)]) == 0
    path = sorted(folder.glob("*.wav"))[-1]
    return read_audio(path)[0], SongRecord.load(path.with_suffix(".json"))


def canvas(given: Given, models: Models, place: Folders, pack: Pack) -> tuple[Tensor, SongRecord]:
    call = caller(pack)
    settings = given["settings"]

    def widgets(group: type) -> Given:
        return {o.widget: o.to_widget(settings[o.flat]) for o in options_of(group) if o.flat in settings}

    (song,) = call("ACEStepSong", **given["song"] | {"bpm": given["song"]["bpm"] or 0, "duration": 10.0})
    if given["call"] == "generate":
        (task,) = call("ACEStepTextToMusic", song=song, codes=tuple(given["codes"]), **given["arguments"])
    else:
        kind = {"add_track": "Lego"}.get(given["call"], given["call"].capitalize())
        told = {o.widget: o.to_widget(given["arguments"][o.name]) for o in options_of(TASKS[given["call"]])
                if o.name in given["arguments"]}  # fmt: skip
        task = call(f"ACEStep{kind}", vae=models.vae, audio=recording(place, "source"), **told)[0]
        task = task[0] if isinstance(task, list) else task
    if given["timbre"]:
        reference = {"vae": models.vae, "task": task, "audio": recording(place, "timbre"), "clip_seed": 4}
        (task,) = call("ACEStepReferenceAudio", **reference)
    (conditioning,) = call("ACEStepConditioning", model=models.model, song=song, task=task)
    (sigmas,) = call("ACEStepSchedule", model=models.model, **widgets(RENDER_GROUPS["schedule"]))
    (guidance,) = call("ACEStepGuidance", **widgets(Guidance)) if given["base"] else (None,)
    wires = {"model": models.model, "conditioning": conditioning, "sigmas": sigmas, "guidance": guidance}
    if given["latent"]:
        wires["latent"] = native(given, place)
    told = {**wires, **widgets(Sampling), **widgets(Start)}
    (latent,) = call("ACEStepSampler", seed=given["seed"], batch_size=given["batch"], **told)
    (audio,) = call("ACEStepDecode", vae=models.vae, latent=latent, **widgets(Finish), **widgets(Decode))
    made = audio["acestep"].made
    item = len(made.seeds) - 1
    return audio["waveform"][item], SongRecord.from_json(made.record(item).to_json())


def caller(pack: Pack) -> Callable[..., Any]:
    def call(node_id: str, **inputs: Any) -> Any:
        node = pack.classes[node_id]()
        found = getattr(node, node.FUNCTION)(**inputs)
        return found["result"] if isinstance(found, dict) else found

    return call


def begin_of(given: Given, place: Folders) -> Tensor:
    """Latents as long as the song that is made, one row for all songs or one for each."""
    if given["call"] == "generate":
        frames = 45 if given["codes"] else 250
    else:
        told = TASKS[given["call"]](**given["arguments"])
        frames = source_tasks(open_models(place.models).vae, place.input / "source.wav", (told,))[0].frames
    rows = given["batch"] if given["seed"] % 2 else 1
    return torch.randn(rows, frames, 64, generator=torch.Generator().manual_seed(given["seed"]))


def native(given: Given, place: Folders) -> Given:
    """The same as ComfyUI's LATENT."""
    latents, mask = begin_of(given, place), given["latent"]["noise_mask"]
    rows = {} if mask is None else {"noise_mask": mask_of(mask, latents.shape[1])[:, None]}
    return {"samples": latents.mT, "type": "audio"} | rows


def recording(place: Folders, name: str) -> Given:
    waveform, rate = read_audio(place.input / f"{name}.wav")
    return {"waveform": waveform[None], "sample_rate": rate}


def by_graph(given: Given, record: SongRecord, models: Models, place: Folders, pack: Pack) -> Tensor:
    """As the workflow `regenerate` does it."""
    call = caller(pack)
    wired = {"record": json.dumps(record.to_dict()), "vae": models.vae}
    if any(file.role == "source" for file in record.files):
        wired["audio"] = recording(place, "source")
    if any(file.role == "reference" for file in record.files):
        wired["reference"] = recording(place, "timbre")
    if given["latent"] and given["door"] != "command":
        wired["latent"] = native(given, place)
    song, _, _, seed, _, _, task, settings, album, begin = call("ACEStepLoadRecord", **wired)
    told = {"model": models.model, "song": song, "task": task, "album_caption": album}
    (conditioning,) = call("ACEStepConditioning", **told)
    wires = {"model": models.model, "conditioning": conditioning, "settings": settings, "latent": begin}
    (latent,) = call("ACEStepSampler", seed=seed, batch_size=1, sampler="euler", **wires)
    (audio,) = call("ACEStepDecode", vae=models.vae, latent=latent, settings=settings)
    return audio["waveform"][0]


@pytest.mark.parametrize("part", range(PARTS))
def test_every_combination_is_made_again(part: int, place: Folders, pack: Pack, monkeypatch: Any) -> None:
    monkeypatch.chdir(place.input)
    for number in range(part, COMBINATIONS, PARTS):
        given = drawn(random.Random(number))
        models = open_models(place.models, "base" if given["base"] else "turbo")
        if given["lora"] is not None:
            models = models.with_adapter(place.input / "voice", given["lora"])
        with hosting(place):
            made, record = globals()[given["door"]](given, models, place, pack)
            sources = [place.input / "source.wav"] if given["call"] != "generate" else [None]
            heard = [place.input / "timbre.wav"] if given["timbre"] else None
            begin = begin_of(given, place) if given["latent"] and given["door"] != "command" else None
            again = replay(record, models, source=sources[0], references=heard, latent=begin)
            assert torch.equal(again.audio[0], made), (number, given)
            assert torch.equal(by_graph(given, record, models, place, pack), made), (number, given)
