"""Songs made again from their records: every task, on the tiny checkpoint, bit for bit."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import soundfile
import torch

from acestep_core import devices, generate
from acestep_core.errors import AceStepError, AdapterError, AudioError, CheckpointError, InvalidInput
from acestep_core.io.audio import read_audio
from acestep_core.options import RenderSettings
from acestep_core.pipeline import editing
from acestep_core.pipeline import opening as finding
from acestep_core.pipeline.replay import replay
from acestep_core.planner.planning import PlanSettings
from acestep_core.planner.think import Thinking
from acestep_core.records.song_record import SongRecord
from acestep_core.render.tasks import text2music
from acestep_core.song.description import Song
from tests.capabilities import link
from tests.making import render

QUICK = RenderSettings.of(steps=2)
RATE = 48000


@pytest.fixture
def recording(tmp_path):
    t = np.arange(RATE * 3) / RATE
    path = tmp_path / "source.wav"
    soundfile.write(path, np.stack([np.sin(700 * t), np.sin(900 * t)], 1) * 0.3, RATE)
    return path


@pytest.fixture
def adapter(tmp_path, tiny_models):
    """A LoRA on every layer's first attention, of random numbers."""
    from safetensors.torch import save_file

    from acestep_core.models.manager import manager

    with manager.resident(tiny_models.model) as model:
        shapes = {
            name: part.weight.shape for name, part in model.decoder.named_modules() if name.endswith("self_attn.q_proj")
        }
    random = torch.Generator().manual_seed(3)
    tensors = {}
    for name, (out, inside) in shapes.items():
        tensors[f"base_model.model.{name}.lora_A.weight"] = torch.randn(4, inside, generator=random)
        tensors[f"base_model.model.{name}.lora_B.weight"] = torch.randn(out, 4, generator=random) * 0.1
    folder = tmp_path / "voice"
    folder.mkdir()
    save_file(tensors, folder / "adapter_model.safetensors")
    (folder / "adapter_config.json").write_text(json.dumps({"r": 4, "lora_alpha": 4, "peft_type": "LORA"}))
    return folder


def same(a, b):
    return torch.equal(a.audio.contiguous().view(torch.int32), b.audio.contiguous().view(torch.int32))


def saved(made, folder, item=0):
    """The record of an item, as somebody finds it on disk."""
    made.save(folder / "kept" / "song.wav", "wav32")
    return sorted((folder / "kept").glob("*.json"))[item]


def test_text_to_music(tiny_root, tiny_models, tmp_path):
    made = generate("a", lyrics="[Verse]\nla", duration=10, seed=2**64 - 1, models=tiny_models, fade_out=0.5)
    path = saved(made, tmp_path)
    again = replay(path, tiny_root)
    assert same(again, made)
    torch.testing.assert_close(read_audio(path.with_suffix(".wav"))[0], again.audio[0], rtol=0, atol=0)
    assert replay(again.record(), tiny_models).record().task == made.record().task


def test_every_setting_is_kept(tiny_models, tmp_path):
    settings = RenderSettings.of(
        timesteps=[1.0, 0.7, 0.2],
        method="sde",
        velocity_clamp=2.0,
        velocity_ema=0.1,
        wavelet="low",
        wavelet_low=0.03,
        wavelet_high=0.0,
        retake_variance=0.3,
        latent_shift=0.01,
        latent_rescale=0.98,
        tile=12,
    )
    made = generate("a", duration=10, models=tiny_models, settings=settings, peak_db=None, fade_in=1.0)
    record = made.record()
    assert record.seeds == {"noise": made.seeds[0], "retake": made.settings.sampling.retake_seed}
    assert record.settings["tile"] == 12 and None not in (made.settings.guidance.start, made.settings.guidance.end)
    assert same(replay(SongRecord.from_json(record.to_json()), tiny_models), made)


def test_number_formats_are_kept(tiny_root, tiny_models):
    half = replace(
        tiny_models, model=replace(tiny_models.model, dtype="bf16"), vae=replace(tiny_models.vae, dtype="bf16")
    )
    made = generate("a", duration=10, models=half, settings=QUICK)
    again = replay(SongRecord.from_json(made.record().to_json()), tiny_root)
    assert same(again, made) and again.record().machine["dit"] == "bf16"


def test_base_with_guidance(tiny_root, tiny_base, tmp_path):
    made = generate("a", duration=10, seed=1, models=tiny_base, settings=RenderSettings.of(steps=3, guidance_start=0.2))
    path = saved(made, tmp_path)
    settings = SongRecord.load(path).settings
    assert (settings["guidance"], settings["guidance_end"], settings["steps"]) == (7.0, 1.0, 3)
    again = replay(path, tiny_root)
    assert again.models.model.variant == "base" and same(again, made)


def test_an_item_of_a_batch(tiny_models, tmp_path):
    made = generate("a", duration=10, seed=5, batch=3, models=tiny_models, settings=QUICK)
    for item in (1, 2):
        path = saved(made, tmp_path / str(item), item)
        again = replay(path, tiny_models)
        assert again.seeds == (5 + item,) and again.audio.shape[0] == 1
        assert same(again, made.select([item]))
        assert again.record().task == made.record(item).task
        alone = replay(path, tiny_models, alone=True)
        torch.testing.assert_close(alone.audio, again.audio, rtol=1e-3, atol=1e-4)
    assert alone.origin.seeds == (5 + item,)


def test_thinking_is_not_repeated(tiny_models, tmp_path, monkeypatch):
    thinking = Thinking(PlanSettings(caption_tokens=8))
    made = generate("a", duration=10, seed=5, batch=2, think=thinking, models=tiny_models, settings=QUICK)
    path = saved(made, tmp_path, 1)
    record = SongRecord.load(path)
    assert record.codes == made.tasks[1].codes and len(record.codes) == 50
    assert record.seeds == {"noise": 6, "plan": 5} and record.task["think"]["plan"]["caption_tokens"] == 8
    monkeypatch.setattr("acestep_core.planner.think.think", None)
    again = replay(path, replace(tiny_models, lm=None))
    assert same(again, made.select([1])) and again.plan == made.plan
    assert again.record().to_dict() | {"seconds": {}} == made.record(1).to_dict() | {"seconds": {}}


def test_codes_can_be_edited_in_the_record(tiny_models):
    made = generate("a", codes=[[1] * 9, [2] * 9], seed=1, models=tiny_models, settings=QUICK)
    edited = replace(made.record(1), codes=(3,) * 9)
    again = replay(edited, tiny_models)
    assert again.tasks[0].codes == (3,) * 9 and not same(again, made.select([1]))


CALLS = {
    "cover": lambda file, **o: editing.cover(file, "a", strength=0.5, noise_strength=0.2, **o),
    "cover_nofsq": lambda file, **o: editing.cover(file, "a", fsq=False, batch=2, **o),
    "repaint": lambda file, **o: editing.repaint(file, 1, 2.5, "a", mode="aggressive", keep_outside=False, **o),
    "extend": lambda file, **o: editing.extend(file, 1.0, 0.5, "a", **o),
    "references": lambda file, **o: generate("a", duration=10, references=[file], reference_seed=4, **o),
    "add_track": lambda file, **o: editing.add_track(file, "sax", start=1, **o),
    "extract": lambda file, **o: editing.extract(file, "vocals", **o),
    "complete": lambda file, **o: editing.complete(file, ["drums", "bass"], "a", **o),
    "morph": lambda file, **o: editing.morph(file, "a", "b", source_lyrics="la", start=0.1, average=2, **o),
}


@pytest.mark.parametrize("name", CALLS)
def test_what_starts_from_a_file(recording, tiny_base, tmp_path, name):
    made = CALLS[name](recording, seed=1, models=tiny_base, settings=RenderSettings.of(steps=2, guidance=1.0))
    path = saved(made, tmp_path)
    with pytest.raises(AudioError, match=r"source\.wav is missing; put it into .*kept"):
        replay(path, tiny_base)
    recording.rename(path.parent / "source.wav")
    assert same(replay(path, tiny_base), made.select([0]))


def test_a_file_in_the_working_folder_and_one_given(recording, tiny_models, tmp_path, monkeypatch):
    made = editing.cover(recording, "a", seed=1, models=tiny_models, settings=QUICK)
    path = saved(made, tmp_path)
    assert same(replay(path, tiny_models, source=recording), made)
    monkeypatch.chdir(tmp_path)
    assert same(replay(path, tiny_models), made)
    assert same(replay(made.record(), tiny_models), made)


def test_a_changed_file_is_told_and_the_right_one_preferred(recording, tiny_models, tmp_path, caplog, monkeypatch):
    made = editing.cover(recording, "a", seed=1, models=tiny_models, settings=QUICK)
    path = saved(made, tmp_path)
    assert same(replay(path, tiny_models, source=recording), made) and not caplog.records
    soundfile.write(path.parent / "source.wav", 0.1 * np.random.default_rng(1).normal(size=(RATE * 3, 2)), RATE)
    assert not same(replay(path, tiny_models), made)
    assert "The source source.wav is another file than source.wav was." in caplog.messages
    monkeypatch.chdir(tmp_path)
    assert same(replay(path, tiny_models), made)


def test_waveforms_must_be_given_again(recording, tiny_models):
    wave = read_audio(recording)
    made = editing.cover(wave, "a", seed=1, models=tiny_models, settings=QUICK)
    with pytest.raises(AudioError, match="waveform and no file; give it as source"):
        replay(made.record(), tiny_models)
    assert same(replay(made.record(), tiny_models, source=wave), made)


def test_adapters(adapter, tiny_root, tiny_models, tmp_path, monkeypatch):
    plain = generate("a", duration=10, seed=1, models=tiny_models, settings=QUICK)
    made = generate("a", duration=10, seed=1, models=tiny_models.with_adapter(adapter, 0.7), settings=QUICK)
    assert not same(plain, made)
    path = saved(made, tmp_path)
    with pytest.raises(AdapterError, match="adapter voice is missing"):
        replay(path, tiny_root)
    monkeypatch.chdir(tmp_path)
    again = replay(path, tiny_root)
    assert again.models.model.adapters[0].strength == 0.7 and same(again, made)
    adapter.rename(path.parent / "voice")
    monkeypatch.chdir(tmp_path.parent)
    assert same(replay(path, tiny_root), made)


def test_another_checkpoint_is_told_or_refused(tiny_models, tmp_path, caplog, monkeypatch):
    made = generate("a", duration=10, seed=1, models=tiny_models, settings=QUICK)
    record = made.record()
    other = [replace(file, sha256="0" * 64) if file.role == "dit" else file for file in record.files]
    record = replace(record, files=tuple(other), versions={**record.versions, "torch": "1.0"})
    assert same(replay(record, tiny_models), made)
    assert [text.split(" is ")[0] for text in caplog.messages[:1]] == ["The dit acestep-v15-turbo"]
    assert "torch was 1.0" in caplog.messages[1]
    monkeypatch.setattr(finding, "search_roots", lambda: [])
    monkeypatch.setattr("acestep_core.pipeline.replay.search_roots", lambda: [])
    monkeypatch.setattr(finding, "tiny_folder", lambda: tiny_models.model.path.parent)
    with pytest.raises(CheckpointError, match="checkpoint acestep-v15-turbo of this song is not here"):
        replay(record)
    assert same(replay(made.record()), made)


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        ({"task": {}}, "does not say how"),
        ({"task": {}, "graph": {"1": {}}}, "acestep run"),
        ({"task": {"call": "os.system"}}, "does not say how"),
        ({"task": {"call": "generate", "arguments": {"think": True}}}, "arguments.think"),
        ({"task": {"call": "cover", "arguments": {"strength": "much"}}}, "arguments.strength"),
        ({"task": {"call": "cover", "arguments": {"options": 1}}}, "arguments.options"),
        ({"task": {"call": "cover"}}, "names no source"),
        ({"task": {"call": "extract"}}, "lack track"),
        ({"task": {"call": "generate", "arguments": 3}}, "must be a table"),
        ({"task": {"call": "generate", "seeds": [4, 5], "index": 1}}, "do not fit its seed"),
        ({"task": {"call": "generate", "seeds": [1, 9], "index": 0}}, "do not fit its seed"),
        ({"task": {"call": "generate", "seeds": [1], "index": 4}}, "do not fit its seed"),
        ({"task": {"call": "generate", "seeds": [1], "index": 0, "codes": [3]}}, "one list of codes"),
        ({"settings": {"steps": "many"}}, "settings.steps must be a whole number"),
        ({"settings": {"wavelet": 3}}, "settings.wavelet must be one of"),
        ({"settings": {"tile": 0}}, "settings.tile must be a whole number from 1"),
        ({"finish": {"peak_db": "loud"}}, "finish.peak_db"),
    ],
)
def test_damaged_records_are_refused_in_a_sentence(tiny_models, damage, says):
    values = {"format": "acestep-song", "song": {"caption": "a", "duration": 10}, "seeds": {"noise": 1}}
    values |= {"task": {"call": "generate"}, **damage}
    with pytest.raises(AceStepError) as caught:
        replay(SongRecord.from_dict(values), tiny_models)
    assert says in str(caught.value) and str(caught.value).endswith(".")


def test_what_later_versions_add_is_told(tiny_models, caplog):
    made = generate("a", duration=10, seed=1, models=tiny_models, settings=QUICK)
    record = made.record()
    later = replace(record, settings={**record.settings, "warp": 9})
    assert same(replay(later, tiny_models), made)
    assert "settings.warp is not known to this version and has no effect." in caplog.messages


def test_tasks_made_by_hand_have_a_record_but_no_replay(tiny_models):
    made = render(Song(caption="a"), [text2music(10.0)], seed=1, models=tiny_models, settings=QUICK)
    record = made.record()
    assert record.seeds == {"noise": 1} and record.task["name"] == "text2music"
    with pytest.raises(InvalidInput, match="does not say how"):
        replay(record, tiny_models)


def test_the_record_holds_no_folders(recording, adapter, tiny_models, tmp_path):
    models = tiny_models.with_adapter(adapter, 0.5)
    made = editing.cover(recording, "a", references=[recording], seed=1, models=models, settings=QUICK)
    text = saved(made, tmp_path).read_text()
    assert str(tmp_path) not in text and str(tiny_models.model.path.parent) not in text
    roles = [(file.role, file.name, len(file.sha256), file.strength) for file in SongRecord.from_json(text).files]
    assert [role for role, *_ in roles] == ["dit", "text_encoder", "vae", "adapter", "source", "reference"]
    assert all(length == 64 for *_, length, _ in roles) and roles[3] == ("adapter", "voice", 64, 0.5)


def test_selecting_keeps_the_places(tiny_models):
    made = generate("a", codes=[[1] * 9, [2] * 9, [3] * 9], seed=1, models=tiny_models, settings=QUICK)
    part = made.select([2, 0])
    assert (part.seeds, part.places, [task.codes[0] for task in part.tasks]) == ((3, 1), (2, 0), [3, 1])
    assert torch.equal(part.audio[0], made.audio[2])
    again = part.select([1])
    assert again.places == (0,) and same(replay(part.record(0), tiny_models), made.select([2]))


def run(tmp_path, *arguments):
    from acestep_core.commands.main import main

    return main(["run", *map(str, arguments), "--output", str(tmp_path / "again"), "--base-directory", str(tmp_path)])


def test_the_command_makes_the_same_file_again(tiny_root, tiny_models, recording, tmp_path, capsys, monkeypatch):
    made = editing.cover(recording, "a", seed=3, batch=2, models=tiny_models, settings=QUICK)
    first, second = made.save(tmp_path / "song.mp3", bitrate=96)
    for models in (("--models-directory", tiny_root), ()):
        if not models:
            link(tmp_path / "models", tiny_root)
        assert run(tmp_path, second.with_suffix(".json"), *models, "--json") == 0
        [path] = json.loads(capsys.readouterr().out)["files"]["song"]
        assert open(path, "rb").read() == second.read_bytes() != first.read_bytes()  # noqa: PTH123, SIM115
    names = sorted(path.name for path in (tmp_path / "again").iterdir())
    assert names == [f"song_00002{n}.{end}" for n in ("", "_00001") for end in ("json", "mp3")]
    again = SongRecord.load(tmp_path / "again" / "song_00002.json")
    assert again.to_dict() | {"seconds": 0} == SongRecord.load(second.with_suffix(".json")).to_dict() | {"seconds": 0}


def test_the_command_refuses_what_it_cannot_do(tiny_root, tiny_models, tmp_path, capsys):
    made = generate("a", duration=10, seed=3, models=tiny_models, settings=QUICK)
    [path] = made.save(tmp_path / "song.flac")
    assert run(tmp_path, path.with_suffix(".json"), "--set", "x.y=1") == 1
    assert "without --set" in capsys.readouterr().err
    path.with_suffix(".json").write_text('{"format": "acestep-song"}')
    assert run(tmp_path, path.with_suffix(".json")) == 1
    assert capsys.readouterr().err.startswith("acestep: ")
    assert not (tmp_path / "again").exists()


def test_the_command_runs_the_graph_of_a_record(tmp_path, capsys):
    graph = {
        "1": {"class_type": "PrimitiveString", "inputs": {"value": "x"}, "_meta": {"title": "Say"}},
        "2": {"class_type": "PreviewAny", "inputs": {"source": ["1", 0]}},
    }
    record = SongRecord(song={"caption": "a"}, seeds={"noise": 1}, graph=graph)
    record.save(tmp_path / "song.json")
    assert run(tmp_path, tmp_path / "song.json", "--set", "say.value=hello", "--json") == 0
    assert json.loads(capsys.readouterr().out)["texts"] == {"2": ["hello"]}


def test_a_song_made_in_bf16_is_made_in_it_again(tiny_models, tiny_root, monkeypatch):
    """Where a processor takes bf16 for large models, and a record comes to one that would take fp32."""
    with monkeypatch.context() as changed:
        changed.setattr(devices, "supports_bf16", lambda device: True)
        changed.setattr(devices, "WORTH_BF16", 0)
        made = generate("x", duration=10, seed=4, models=tiny_models, settings=QUICK)
        record = made.record()
    assert (record.machine["dit"], record.machine["text_encoder"], record.machine["vae"]) == ("bf16", "bf16", "fp32")
    again = replay(record, tiny_root)
    assert same(again, made)
    assert not same(generate("x", duration=10, seed=4, models=tiny_models, settings=QUICK), made)
