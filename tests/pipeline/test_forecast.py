"""What a song takes is told before it is made, and is what the manager then does."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from acestep_core import devices, generate
from acestep_core.errors import InvalidInput
from acestep_core.models.acestep import AceStepModel
from acestep_core.models.entry import Entry
from acestep_core.models.fits import BASE_CONFIG, XL_CONFIG
from acestep_core.models.handles import Handle, LMHandle, ModelHandle, Models, TextHandle, VAEHandle
from acestep_core.models.loading import How, load_model, load_qwen, load_vae, outline
from acestep_core.models.manager import manager
from acestep_core.models.oobleck import OobleckConfig, OobleckVAE
from acestep_core.models.qwen3 import Qwen3, Qwen3Config
from acestep_core.models.streaming import Streaming, nbytes
from acestep_core.options import RenderSettings
from acestep_core.pipeline import forecast as forecasting
from acestep_core.pipeline.forecast import forecast, shortages
from acestep_core.pipeline.takes import judge_takes
from acestep_core.planner.think import Thinking

GIB = 1 << 30
CPU = torch.device("cpu")


@pytest.fixture
def released(monkeypatch: pytest.MonkeyPatch) -> Models:
    """Models of the released sizes, which are never there."""

    def built(handle: Handle, how: How) -> torch.nn.Module:
        config = XL_CONFIG if getattr(handle, "variant", "").startswith("xl") else BASE_CONFIG
        with torch.device("meta"):
            made = {
                "dit": lambda: AceStepModel(config),
                "vae": lambda: OobleckVAE(OobleckConfig()),
                "text": lambda: Qwen3(Qwen3Config(151669, 1024, 3072, 28, 16, 8)),
                "lm": lambda: Qwen3(Qwen3Config(217204, 2048, 6144, 28, 16, 8)),
            }
            return made[handle.role]().to(how.dtype)

    monkeypatch.setattr(forecasting, "outline", built)
    text = TextHandle(Path("text"))
    return Models(ModelHandle(Path("dit"), text=text), VAEHandle(Path("vae")), LMHandle(Path("lm")))


def test_a_song_of_four_minutes_on_cards_of_all_sizes(released: Models) -> None:
    """Every card makes it; the language model of 1.7B wants more than 4 GB, and what is small enough stays whole."""
    for card in (3, 4, 6, 8, 12, 24):
        stages = {stage.name: stage for stage in forecast(released, 240, think=True, card=card * GIB)}
        assert list(stages) == ["think", "text", "condition", "sample", "decode"]
        assert stages["think"].fits == (card > 4)
        assert all(stage.fits for name, stage in stages.items() if name != "think")
        assert (stages["sample"].home > 0) == (card < 6)
        assert all(stage.total <= card * GIB for stage in stages.values() if stage.fits)


def test_xl_on_eight_gigabytes(released: Models) -> None:
    """Guided, ten minutes: some layers come by turns."""
    model = replace(released.model, variant="xl-base")
    (sample,) = (s for s in forecast(replace(released, model=model), 600, card=8 * GIB) if s.name == "sample")
    assert sample.fits and 0 < sample.home < sample.weights == pytest.approx(9.29 * GIB, rel=0.01)
    assert "of it stay in main memory" in str(sample) and "too much" not in str(sample)
    whole = forecast(replace(released, model=model), 600, card=16 * GIB)
    assert not any(stage.home for stage in whole)


def test_batches_are_split_first(released: Models) -> None:
    for card, at_once in ((24, 8), (8, 2)):
        (sample,) = (s for s in forecast(released, 600, 8, guided=True, card=card * GIB) if s.name == "sample")
        assert (sample.at_once, sample.home) == (at_once, 0)


def test_what_does_not_fit_is_said(released: Models) -> None:
    (think,) = (s for s in forecast(released, 240, think=True, card=2 * GIB) if s.name == "think")
    assert not think.fits and "too much for 2.0 GiB" in str(think)


def test_it_is_what_the_manager_does(released: Models, monkeypatch: pytest.MonkeyPatch) -> None:
    """Which layers stay, for the work that was forecast."""
    for card in (3, 4, 8):
        (sample,) = (s for s in forecast(released, 240, card=card * GIB) if s.name == "sample")
        module = forecasting.outline(released.model, How(torch.bfloat16, CPU, True))
        entry = Entry(("dit",), module, devices.SOME_CARD, streams=True)
        working = sample.work - sample_passing(module, sample.home)
        monkeypatch.setattr(devices, "free_memory", lambda device, card=card: card * GIB)
        monkeypatch.setattr(Entry, "placed", False)
        entry.settle(manager.placement.room(entry, working) - working - forecasting.RESERVE)
        assert entry.streaming.staying == sample.home
        assert entry.going + entry.passing + working == sample.total


def sample_passing(module: torch.nn.Module, home: int) -> int:
    return Streaming(module).coming if home else 0


@pytest.mark.parametrize("dtype", ["fp32", "bf16", "int8"])
@pytest.mark.parametrize("part", ["model", "vae", "lm", "text"])
def test_an_outline_is_what_is_loaded(tiny_models, part: str, dtype: str) -> None:
    models = {"model": tiny_models.model, "vae": tiny_models.vae, "lm": tiny_models.lm, "text": tiny_models.model.text}
    handle = replace(models[part], dtype=dtype)
    how = How(handle.format_on(CPU), CPU, True, handle.eight_bits)
    load = {"model": load_model, "vae": load_vae}.get(part, load_qwen)
    module, told = load(handle, how)[0], outline(handle, how)
    silence = module.silence_latent.nbytes if part == "model" else 0
    assert nbytes([*told.modules()]) == nbytes([*module.modules()]) - silence
    assert Streaming(told).unpacking == Streaming(module).unpacking
    assert all(tensor.is_meta for tensor in told.parameters())


def test_an_outline_of_gguf(gguf_root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    handle = ModelHandle(gguf_root / "acestep-v15-turbo-Q8_0.gguf")
    hows = [How(torch.float32, place, True, memory=80 * GIB) for place in (CPU, devices.SOME_CARD)]
    sizes = [nbytes([*outline(handle, how).modules()]) for how in hows]
    assert sizes[1] < sizes[0], "a card keeps them packed"


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    """The most that the manager is asked for, weights and work, by the kind of model."""
    found: dict[str, int] = {}
    make_room = manager.make_room

    def noted(device: torch.device, needed: int, keep: Entry) -> bool:
        key = str(keep.key[0])
        found[key] = max(found.get(key, 0), needed + keep.there)
        return make_room(device, needed, keep)

    manager.unload()
    monkeypatch.setattr(manager, "make_room", noted)
    return found


def test_a_song_takes_what_was_told(tiny_models, asked: dict[str, int]) -> None:
    """What each stage of a real song asks the manager for is at most what was told, and near it."""
    lyrics = "[verse]\n" + "\n".join(["rain upon the empty road tonight"] * 40)
    generate(
        "calm piano", lyrics=lyrics, duration=15, seed=1,
        batch=2, models=tiny_models, think=Thinking(),
        settings=RenderSettings.of(steps=1),
    )  # fmt: skip
    told = {stage.name: stage.total for stage in forecast(tiny_models, 15, 2, think=True)}
    with manager.resident(tiny_models.model) as model:
        told["dit"] = max(told["condition"], told["sample"]) + model.silence_latent.nbytes  # which no header tells
    stage = {"dit": "dit", "text": "text", "vae": "decode", "lm": "think"}
    for name, bytes_asked in asked.items():
        assert 0.5 < bytes_asked / told[stage[name]] <= 1.05, (name, asked, told)


def test_judging_and_morphing_take_what_was_told(tiny_models, asked: dict[str, int]) -> None:
    made = generate("calm piano", lyrics="[verse]\nrain upon the road", duration=15, seed=1, models=tiny_models)
    with manager.resident(tiny_models.model) as model:
        silence = model.silence_latent.nbytes  # which no header tells

    def totals(**what: bool) -> dict[str, int]:
        manager.unload()
        asked.clear()
        return {stage.name: stage.total for stage in forecast(tiny_models, 15, **what)}

    told = totals(times=True, scores=True)
    judge_takes(made)
    assert 0.5 < asked["lm"] / told["scores"] <= 1.05
    assert 0.5 < asked["dit"] / (silence + max(told[name] for name in ("condition", "times", "codes"))) <= 1.05
    assert "scores" not in {stage.name for stage in forecast(replace(tiny_models, lm=None), 15, scores=True)}

    told = totals(draws=1)
    made.morph(source_caption="calm piano", caption="rock", seed=1)
    assert 0.5 < asked["dit"] / (silence + max(told["condition"], told["sample"])) <= 1.05
    assert told["sample"] > totals()["sample"]


@pytest.mark.parametrize(
    ("variant", "card", "said"),
    [
        ("turbo", 4, ["lm takes about 3.9 GiB for a song of 4 min, and cuda:0 has 4.0 GiB", "dit is slower here"]),
        ("turbo", 8, []),
        ("xl-turbo", 8, ["dit is slower here, because a part of it stays in main memory: cuda:0 has 8.0 GiB."]),
    ],
)
def test_a_card_that_is_too_small_is_said(
    released: Models, monkeypatch, variant: str, card: int, said: list[str]
) -> None:
    released = replace(released, model=replace(released.model, variant=variant))
    assert shortages(released) == ()
    monkeypatch.setattr(devices, "pick_device", lambda name: devices.SOME_CARD)
    monkeypatch.setattr(devices, "total_memory", lambda device: card * GIB)
    found = shortages(released)
    assert len(found) == len(said) and all(text.startswith(begin) for text, begin in zip(found, said, strict=True))


def test_int8_is_advised_where_it_helps(tiny_models, monkeypatch) -> None:
    """Not for what is held so already, nor for a VAE."""
    monkeypatch.setattr(devices, "pick_device", lambda name: devices.SOME_CARD)
    monkeypatch.setattr(devices, "total_memory", lambda device: 1 << 20)
    packed = replace(tiny_models, lm=replace(tiny_models.lm, dtype="int8"))
    ends = [text.partition("; choose ")[2] for text in shortages(packed)]
    smaller = "a smaller model."
    assert ends == [smaller, *["a smaller model or the number format int8."] * 2, smaller]


def test_models_that_a_host_holds_are_its_own_matter(tiny_models) -> None:
    lent = replace(tiny_models, model=replace(tiny_models.model, lent=object()))
    with pytest.raises(InvalidInput, match="memory management"):
        forecast(lent, 60)
