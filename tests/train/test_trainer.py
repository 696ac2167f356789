"""A run from its first step to its adapter: it learns, stops, goes on, and leaves everything else alone."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from acestep_core.errors import Cancelled, DatasetError, InvalidInput, OutOfMemory, StorageError, TrainingError
from acestep_core.models.manager import manager
from acestep_core.monitor import Monitor
from acestep_core.options import TextToMusic
from acestep_core.pipeline.generation import make
from acestep_core.pipeline.learning import record_line
from acestep_core.pipeline.request import Request
from acestep_core.song.description import Song
from acestep_core.train import loop
from acestep_core.train.checkpoints import HEAR, OPTIMIZER, STOP, WEIGHTS, RunFolder
from acestep_core.train.network import LiveNetwork
from acestep_core.train.objective import Drawing, Times, judge, order, window_of
from acestep_core.train.optimizers import PACKAGES
from acestep_core.train.settings import TrainSettings
from acestep_core.train.trainer import Trainer
from acestep_core.train.trainset import Trainset
from tests.capabilities import needs_kills
from tests.train.making_trainsets import write_trainset

ROOT = Path(__file__).parents[2]
SHORT = {"rank": 4, "epochs": 4, "log_every": 1, "save_minutes": 0, "save_every": 10_000}


@pytest.fixture(scope="module")
def songs(tmp_path_factory):
    return write_trainset(tmp_path_factory.mktemp("set") / "waves")


def train(songs, models, folder, monitor=None, hear=None, changed_data=False, **flat):
    trainer = Trainer(
        songs, models.model, folder, TrainSettings.of(**{**SHORT, **flat}),
        hear=hear, changed_data=changed_data, monitor=monitor or Monitor(),
    )  # fmt: skip
    return list(trainer.records())


def losses(records):
    keys = ("step", "loss", "smooth", "grad_norm", "lr", "buckets", "samples")
    return [[record[key] for key in keys] for record in records if record["kind"] == "step"]


def content(run: RunFolder, step: int):
    folder = run.checkpoints / str(step)
    return {name: (folder / name).read_bytes() for name in (WEIGHTS, OPTIMIZER)}


class StopAfter:
    """Cancels once so many steps are done; counts single batches, so that it can hit in the midst of a step."""

    def __init__(self, calls: int) -> None:
        self.left = calls

    def __call__(self) -> bool:
        self.left -= 1
        return self.left < 0


# --- it learns ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("variant", ["base", "turbo"])
def test_two_hundred_steps_bring_the_loss_down_and_leave_the_model_alone(variant, tiny_base, tiny_models, tmp_path):
    models = tiny_base if variant == "base" else tiny_models
    frames, length = ((256, 256), "window") if variant == "base" else ((128, 128), "full")
    songs = write_trainset(tmp_path / "set", frames, length=length)
    request = Request(Song("a song", duration=10), models, 5)
    before = make(request, TextToMusic()).audio
    settings = TrainSettings.of(
        rank=16, targets="attention+mlp", learning_rate=5e-3, dropout=0.0, max_steps=200, log_every=50, memory="none"
    )
    found = grid_losses(songs, models, settings, tmp_path)
    assert found[1] < 0.7 * found[0], found
    after = make(request, TextToMusic()).audio
    assert torch.equal(before, after)


def grid_losses(songs, models, settings, folder):
    """Before and after a run."""
    records = list(Trainer(songs, models.model, folder / "run", settings).records())
    assert records[-1]["kind"] == "done" and "exactly" in records[-1]["text"]
    settings = settings.resolved(models.model.info.is_turbo)
    with manager.private(models.model) as model:
        network = LiveNetwork(model, settings.adapter, settings.fine.seed, 0)
        times = Times.of("model", model.config, models.model.preset)
        windowed = songs.manifest.length == "window"
        drawing, found = Drawing(songs, times, settings.fine, network.null, windowed), []
        for state in (None, RunFolder(folder / "run").latest().tensors(WEIGHTS)):
            if state is not None:
                network.load(state)
            with network.listening():
                found.append(judge(drawing, range(len(songs)), network, network.device))
    return found


@pytest.mark.parametrize("end", [Cancelled("no more"), RuntimeError("from a device")])
def test_a_run_that_was_cut_off_leaves_the_model_alone(end, songs, tiny_base, tmp_path):
    request = Request(Song("a song", duration=10), tiny_base, 5)
    before = make(request, TextToMusic()).audio

    def cut(stage, done, total, preview):
        if done == 2:
            raise end

    with pytest.raises(type(end)):
        train(songs, tiny_base, tmp_path / "run", Monitor(cut), learning_rate=1e-2)
    assert torch.equal(make(request, TextToMusic()).audio, before)


# --- it goes on -----------------------------------------------------------------------------------------------------

WAYS = {
    "lora": {"batch": 1, "accumulation": 2},
    "dora": {"kind": "dora", "ema": 0.9, "validation": 0.34, "validate_every": 1},
    "lokr": {"kind": "lokr", "length": "window", "batch": 2},
    "rslora": {"kind": "rslora", "memory": "none", "lyric_drop": 0.5, "deterministic": True, "log_every": 3},
    "adamw8bit": {"optimizer": "adamw8bit", "rank": 64},  # smaller tensors keep 32 bits
    "prodigy": {"optimizer": "prodigy"},
}


@pytest.mark.parametrize("way", WAYS)
def test_a_run_that_was_stopped_anywhere_is_the_run_that_was_not(way, tiny_base, tmp_path):
    if (package := PACKAGES.get(WAYS[way].get("optimizer", ""))) is not None:
        pytest.importorskip(package)
    songs = write_trainset(tmp_path / "set", (150, 300, 150), length="auto", repeats=(1, 2, 1))
    whole = train(songs, tiny_base, tmp_path / "whole", **WAYS[way])
    last, heard = whole[-1]["step"], []
    for calls in (0, 5, 7):
        with pytest.raises(Cancelled):
            train(songs, tiny_base, tmp_path / "parts", Monitor(cancelled=StopAfter(calls)), **WAYS[way])
        heard += RunFolder(tmp_path / "parts").records()
    parts = train(songs, tiny_base, tmp_path / "parts", **WAYS[way])
    assert parts[0]["step"] > 0 and parts[-1]["kind"] == "done"
    one, two = RunFolder(tmp_path / "whole"), RunFolder(tmp_path / "parts")
    assert content(one, last) == content(two, last)
    assert losses(one.records()) == losses(two.records()) and len(losses(one.records())) > 1
    for kind in ("validation", "epoch"):
        looks = [[(r["epoch"], r["loss"]) for r in run.records() if r["kind"] == kind] for run in (one, two)]
        assert looks[0] == looks[1]
    assert (one.adapter / WEIGHTS).read_bytes() == (two.adapter / WEIGHTS).read_bytes()
    if "ema" in WAYS[way]:
        assert (one.adapter / WEIGHTS).read_bytes() != (one.checkpoints / str(last) / WEIGHTS).read_bytes()


def test_the_checkpoint_of_a_better_validation_knows_of_it(songs, tiny_base, tmp_path):
    """Who goes on from there does not listen to the songs held out again."""
    run, kinds = RunFolder(tmp_path / "run"), []
    settings = TrainSettings.of(**SHORT, validation=0.34, validate_every=1)
    records = Trainer(songs, tiny_base.model, run.folder, settings).records()
    while kinds[-2:] != ["validation", "checkpoint"]:
        kinds.append(next(records)["kind"])
    records.close()
    assert run.latest().state["epochs_ended"] == kinds.count("validation") == 1


@pytest.mark.parametrize("optimizer", PACKAGES)
def test_optimizers_of_other_packages_learn(optimizer, songs, tiny_base, tmp_path):
    pytest.importorskip(PACKAGES[optimizer])
    flat = {"rank": 64, "max_steps": 60, "log_every": 60, "dropout": 0.0, "memory": "none", "drop": 0.0}
    rate = None if optimizer == "prodigy" else 2e-3
    settings = TrainSettings.of(**flat, optimizer=optimizer, learning_rate=rate)
    before, after = grid_losses(songs, tiny_base, settings, tmp_path)
    assert after < 0.9 * before
    parts = RunFolder(tmp_path / "run").latest().tensors(OPTIMIZER)
    assert (torch.uint8 in {tensor.dtype for tensor in parts.values()}) is (optimizer == "adamw8bit")


def test_neither_reports_nor_test_songs_nor_checkpoints_change_a_run(songs, tiny_base, tmp_path):
    made = []

    def hear(adapter, step):
        torch.randn(3)  # whatever it draws
        made.append((adapter.name, (adapter / WEIGHTS).is_file(), step))
        return [adapter / "song.flac"]

    train(songs, tiny_base, tmp_path / "plain")
    records = train(songs, tiny_base, tmp_path / "busy", hear=hear, test_every=2, log_every=5, save_every=1)
    assert made == [("6", True, 6), ("12", True, 12)]
    assert [r["step"] for r in records if r["kind"] == "sample"] == [6, 12]
    one, two = RunFolder(tmp_path / "plain"), RunFolder(tmp_path / "busy")
    assert content(one, 12) == content(two, 12)


def test_a_finished_run_returns_at_once_and_more_epochs_go_on(songs, tiny_base, tmp_path):
    first = train(songs, tiny_base, tmp_path / "run", epochs=2, lr_schedule="constant", warmup=0)
    again = train(songs, tiny_base, tmp_path / "run", epochs=2, lr_schedule="constant", warmup=0)
    assert [r["kind"] for r in again] == ["done"] and again[0]["adapter"] == first[-1]["adapter"]
    train(songs, tiny_base, tmp_path / "run", epochs=4, lr_schedule="constant", warmup=0)
    train(songs, tiny_base, tmp_path / "long", epochs=4, lr_schedule="constant", warmup=0)
    assert content(RunFolder(tmp_path / "run"), 12) == content(RunFolder(tmp_path / "long"), 12)


def test_fewer_steps_than_were_made_end_a_run_where_it_is(songs, tiny_base, tmp_path):
    with pytest.raises(Cancelled):
        train(songs, tiny_base, tmp_path / "run", monitor=Monitor(cancelled=StopAfter(10)))
    first, second = (train(songs, tiny_base, tmp_path / "run", max_steps=2) for _ in range(2))
    assert record_line(first[0]).startswith("Going on at step 5: 5 steps, 2 epochs. ")
    assert "Step 5 is reached already and only 2 were asked for" in first[1]["text"]
    assert [r["kind"] for r in second] == ["done"]
    assert all("adapter  5 of 5 steps. " in record_line(told[-1]) for told in (first, second))
    assert RunFolder(tmp_path / "run").about()["trained"]["steps"] == 5


def test_more_steps_than_the_epochs_have_count_more_epochs(songs, tiny_base, tmp_path):
    told = train(songs, tiny_base, tmp_path / "run", epochs=1, max_steps=5)
    assert [(r["epoch"], r["epochs"]) for r in told if r["kind"] == "step"] == [(1, 2)] * 3 + [(2, 2)] * 2


SCRIPT = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from tests.train.making_trainsets import write_trainset
from acestep_core.pipeline.opening import open_models
from acestep_core.train.optimizers import PACKAGES
from acestep_core.train.settings import TrainSettings
from acestep_core.train.trainer import Trainer
from acestep_core.train.trainset import Trainset
songs, models = Trainset.open(sys.argv[2]), open_models(sys.argv[3], "base")
settings = TrainSettings.of(rank=4, epochs=8, log_every=1, save_minutes=0.0001, keep=3)
for record in Trainer(songs, models.model, sys.argv[4], settings).records():
    print(record["kind"], record.get("step"), flush=True)
"""


@needs_kills
def test_killed_at_any_moment_it_goes_on(songs, tiny_base, tiny_root, tmp_path):
    """SIGKILL after some of its lines, so that it hits steps, checkpoints, and what lies between."""
    arguments = [sys.executable, "-c", SCRIPT, str(ROOT), str(songs.folder), str(tiny_root), str(tmp_path / "killed")]
    for lines in (4, 9, 16):
        with subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True, cwd=ROOT, env=os.environ) as process:
            assert process.stdout is not None
            for _ in range(lines):
                process.stdout.readline()
            process.send_signal(signal.SIGKILL)
    run = RunFolder(tmp_path / "killed")
    reached = run.latest()
    assert reached is not None and reached.step >= 3
    settings = {"epochs": 8, "save_minutes": 0.0001, "keep": 3}
    records = train(songs, tiny_base, tmp_path / "killed", **settings)
    assert records[0]["step"] == reached.step and records[-1]["kind"] == "done"
    train(songs, tiny_base, tmp_path / "whole", **settings)
    whole = RunFolder(tmp_path / "whole")
    assert content(run, 24) == content(whole, 24)
    assert losses(run.records()) == losses(whole.records())
    assert not list(run.folder.rglob("*.tmp"))


def test_every_epoch_is_told_once_with_its_mean_loss_when_a_report_is_due(songs, tiny_base, tmp_path):
    train(songs, tiny_base, tmp_path / "each")
    run = RunFolder(tmp_path / "each")
    told = [r for r in run.records() if r["kind"] == "epoch"]
    steps = [r["loss"] for r in run.records() if r["kind"] == "step"]
    assert [(r["epoch"], r["epochs"], r["step"]) for r in told] == [(1, 4, 3), (2, 4, 6), (3, 4, 9), (4, 4, 12)]
    means = [sum(steps[at : at + 3]) / 3 for at in range(0, 12, 3)]  # the songs are of one length
    assert [r["loss"] for r in told] == pytest.approx(means, rel=1e-6)
    for part in (4, 11, 12):  # ends between reports, after epochs that were not told of yet
        train(songs, tiny_base, tmp_path / "rare", log_every=5, max_steps=part, lr_schedule="constant", warmup=0)
    train(songs, tiny_base, tmp_path / "once", log_every=5, max_steps=12, lr_schedule="constant", warmup=0)
    rare, once = (
        [(r["epoch"], r["loss"]) for r in RunFolder(tmp_path / name).records() if r["kind"] == "epoch"]
        for name in ("rare", "once")
    )
    assert rare == once and [epoch for epoch, _ in once] == [1, 2, 3, 4]


@pytest.mark.parametrize("named, held", [("00000001", [1]), ("SONG2, song0.wav", [0, 2])])
def test_songs_are_held_out_by_id_or_name(named, held, songs, tiny_base, tmp_path):
    trainer = Trainer(songs, tiny_base.model, tmp_path / "run", TrainSettings.of(**SHORT, held_out=named))
    assert trainer.held_out == held and sorted(trainer.learned + held) == [0, 1, 2]
    records = train(songs, tiny_base, tmp_path / "run", held_out=named, validate_every=2)
    seen = {id for r in records if r["kind"] == "step" for id in r["samples"]}
    assert seen == {f"{song:08x}" for song in trainer.learned}
    assert [r["epoch"] for r in records if r["kind"] == "validation"] == [2, 4]
    with pytest.raises(InvalidInput, match="has held_out"):
        train(songs, tiny_base, tmp_path / "run", held_out="song0.wav, 00000001", epochs=9)


def test_who_holds_out_songs_that_are_not_there_or_all_of_them_hears_so(songs, tiny_base, tmp_path):
    twins = replace(songs.manifest, samples=tuple(replace(e, name="same.wav") for e in songs.manifest.samples))
    twins.save(songs.folder)
    try:
        for named, message in (("nobody.wav", "no song is called"), ("same.wav", "several songs are called")):
            with pytest.raises(InvalidInput, match=f"{message} .*by their ids, such as same.wav"):
                train(Trainset.open(songs.folder), tiny_base, tmp_path / "run", held_out=named)
    finally:
        songs.manifest.save(songs.folder)
    with pytest.raises(DatasetError, match="No song is left"):
        train(songs, tiny_base, tmp_path / "run", held_out="song0.wav,song1.wav,song2.wav")


def test_a_run_of_before_an_option_was_there_goes_on(songs, tiny_base, tmp_path):
    train(songs, tiny_base, tmp_path / "run", max_steps=2)
    run = RunFolder(tmp_path / "run")
    told = run.settings()
    del told["settings"]["held_out"]
    run.begin(told)
    assert train(songs, tiny_base, run.folder, max_steps=4)[-1]["step"] == 4


# --- it ends --------------------------------------------------------------------------------------------------------


def test_stop_and_keep_is_a_success_that_can_go_on(songs, tiny_base, tmp_path):
    run = RunFolder(tmp_path / "run")

    def stop(stage, done, total, preview):
        if done == 5:
            run.ask(STOP)

    records = train(songs, tiny_base, run.folder, Monitor(stop))
    assert (records[-1]["kind"], records[-1]["step"]) == ("stopped", 5)
    assert run.about()["stopped"] and not run.finished and not run.asked(STOP)
    assert train(songs, tiny_base, run.folder)[-1]["kind"] == "done" and run.finished
    assert run.about()["trained"] == {"steps": 12, "epochs": 4, "seconds": 18.0, "samples": 3}
    assert run.about()["proposed"] == {"steps": 50, "shift": 3.0, "guidance": 7.0} and run.about()["tag"] == "wavy"


def test_a_test_song_can_be_asked_for(songs, tiny_base, tmp_path):
    run, made = RunFolder(tmp_path / "run"), []

    def ask(stage, done, total, preview):
        if done == 5:
            run.ask(HEAR)

    def hear(adapter, step):
        made.append((adapter.name, (adapter / WEIGHTS).is_file(), step))
        return [adapter / "song.flac"]

    records = train(songs, tiny_base, run.folder, Monitor(ask), hear)
    assert made == [("5", True, 5), ("adapter", True, 12)] and not run.asked(HEAR)
    assert [r["step"] for r in records if r["kind"] == "sample"] == [5, 12]
    assert [r["hears"] for r in records if r["kind"] == "start"] == [True]
    train(songs, tiny_base, tmp_path / "plain")
    assert content(run, 12) == content(RunFolder(tmp_path / "plain"), 12)
    run = RunFolder(tmp_path / "mute")
    told = train(songs, tiny_base, run.folder, Monitor(ask))
    assert told[-1]["kind"] == "done" and any("No test song" in r.get("text", "") for r in told)


def test_a_new_run_begins_with_a_checkpoint_of_another(songs, tiny_base, tmp_path):
    train(songs, tiny_base, tmp_path / "old", save_every=1, keep=100)
    old = RunFolder(tmp_path / "old")
    before = {path: path.read_bytes() for path in old.folder.rglob("*") if path.is_file()}
    origin = old.at("6")
    trainer = Trainer(songs, tiny_base.model, tmp_path / "new", TrainSettings.of(**SHORT), origin=origin)
    records, new = list(trainer.records()), RunFolder(tmp_path / "new")
    assert records[0]["kind"] == "start" and records[0]["step"] == 6 and records[0]["run"] == "new"
    assert content(new, 12) == content(old, 12) and losses(new.records()) == losses(old.records())
    assert {path: path.read_bytes() for path in old.folder.rglob("*") if path.is_file()} == before
    other = Trainer(songs, tiny_base.model, tmp_path / "other", TrainSettings.of(**SHORT, seed=1), origin=origin)
    with pytest.raises(InvalidInput, match="seed"):
        list(other.records())
    assert not (tmp_path / "other" / "run.json").exists()


def test_checkpoints_that_do_not_fit_on_the_disk_are_refused_before_the_first_step(
    songs, tiny_base, tmp_path, monkeypatch
):
    usage = type("Usage", (), {"free": 1 << 20})()
    monkeypatch.setattr("acestep_core.train.trainer.shutil.disk_usage", lambda path: usage)
    with pytest.raises(StorageError, match=r"checkpoints take about .* and 1 MiB are free .* save less often\."):
        train(songs, tiny_base, tmp_path / "run", rank=256)
    assert not (tmp_path / "run" / "checkpoints").exists()
    train(songs, tiny_base, tmp_path / "run", rank=1)  # a few hundred kB


@pytest.mark.parametrize("error", [KeyboardInterrupt, GeneratorExit, RuntimeError("from a host")])
def test_whatever_ends_it_is_passed_on_after_a_checkpoint(error, songs, tiny_base, tmp_path):
    def end(stage, done, total, preview):
        if done == 3:
            raise error

    with pytest.raises(error if isinstance(error, type) else RuntimeError):
        train(songs, tiny_base, tmp_path / "run", Monitor(end))
    run = RunFolder(tmp_path / "run")
    assert run.latest().step == 3 and not run.about()
    assert run.records()[-1]["kind"] == ("failed" if isinstance(error, RuntimeError) else "stopped")


def test_the_caller_may_leave_at_any_record(songs, tiny_base, tmp_path):
    records = Trainer(songs, tiny_base.model, tmp_path / "run", TrainSettings.of(**SHORT)).records()
    for record in records:
        if record["kind"] == "step" and record["step"] == 2:
            break
    records.close()
    assert RunFolder(tmp_path / "run").latest().step == 2


def test_a_host_in_inference_mode_sees_no_other_mode(songs, tiny_base, tmp_path):
    with torch.inference_mode():
        for _ in Trainer(songs, tiny_base.model, tmp_path / "run", TrainSettings.of(**SHORT, max_steps=2)).records():
            assert torch.is_inference_mode_enabled() and not torch.is_grad_enabled()


def broken(songs, folder, frames=(150,)):
    """A trainset whose first song holds a number that is none."""
    from acestep_core.io.tensor_file import read_tensors
    from acestep_core.train.trainset import Trainset, write_tensors

    made = write_trainset(folder, frames)
    entry = made.manifest.samples[0]
    sound = read_tensors(folder / entry.latents)
    sound["mean"][3, 3] = float("nan")
    digest = write_tensors(folder / entry.latents, sound, {})
    text = (folder / "manifest.json").read_text().replace(entry.sha256[0], digest)
    (folder / "manifest.json").write_text(text)
    return Trainset.open(folder)


def test_steps_without_a_finite_gradient_are_left_out(songs, tiny_base, tmp_path):
    records = train(broken(songs, tmp_path / "set", (150, 150, 150)), tiny_base, tmp_path / "run")
    last = [r for r in records if r["kind"] == "step"][-1]
    assert last["skipped"] == 4 and last["smooth"] is not None
    bad = [r for r in records if r["kind"] == "step" and r["loss"] is None]
    assert {name for r in bad for name in r["samples"]} == {"00000000"}
    assert all(torch.isfinite(t).all() for t in RunFolder(tmp_path / "run").latest().tensors(WEIGHTS).values())
    json.loads((tmp_path / "run/log.jsonl").read_text().splitlines()[3])


@pytest.mark.parametrize("log_every", [1, 4])
def test_too_many_of_them_end_the_run_and_name_the_song(log_every, songs, tiny_base, tmp_path):
    with pytest.raises(TrainingError, match="00000000"):
        train(broken(songs, tmp_path / "set"), tiny_base, tmp_path / "run", epochs=100, log_every=log_every)
    assert RunFolder(tmp_path / "run").latest().step in (10, 12)


# --- it refuses -----------------------------------------------------------------------------------------------------


def test_a_run_goes_on_only_as_what_it_is(songs, tiny_base, tiny_models, tmp_path):
    train(songs, tiny_base, tmp_path / "run", max_steps=1)
    for other, message in (({"rank": 8}, "rank 4"), ({"kind": "dora"}, "kind lora"), ({"seed": 1}, "seed 42")):
        with pytest.raises(InvalidInput, match=message):
            train(songs, tiny_base, tmp_path / "run", **other)
    with pytest.raises(InvalidInput, match="trains base"):
        train(songs, tiny_models, tmp_path / "run")
    changed = write_trainset(tmp_path / "other", seed=9)
    with pytest.raises(InvalidInput, match="songs"):
        train(changed, tiny_base, tmp_path / "run")
    said = train(changed, tiny_base, tmp_path / "run", changed_data=True, max_steps=2, learning_rate=1e-5)
    texts = [r["text"] for r in said if r["kind"] == "warning"]
    assert len(texts) == 2 and "changed" in texts[0] and "learning_rate" in texts[1]


@pytest.mark.parametrize("optimizer, package", [("adamw8bit", "bitsandbytes"), ("prodigy", "prodigyopt")])
def test_an_optimizer_that_is_not_installed_is_named(optimizer, package, songs, tiny_base, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(InvalidInput, match=f"-m pip install {package}"):
        train(songs, tiny_base, tmp_path / "run", optimizer=optimizer)


def test_without_peft_it_says_how_to_get_it(songs, tiny_base, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "peft", None)
    with pytest.raises(InvalidInput, match=r"PEFT; install it with `.+ -m pip install --upgrade peft"):
        train(songs, tiny_base, tmp_path / "run")


def test_other_refusals(songs, tiny_base, tiny_models, tmp_path, monkeypatch):
    with pytest.raises(DatasetError, match="length full"):
        train(songs, tiny_base, tmp_path / "run", length="window")
    empty = write_trainset(tmp_path / "none", repeats=(0, 0, 0))
    with pytest.raises(DatasetError, match="No song"):
        train(empty, tiny_base, tmp_path / "run")
    with pytest.raises(InvalidInput, match="batchsize"):
        train(songs, tiny_base, tmp_path / "run", batchsize=2)
    monkeypatch.setattr("acestep_core.devices.free_memory", lambda device: 1 << 20)
    with pytest.raises(OutOfMemory, match="Training takes about"):
        train(songs, tiny_base, tmp_path / "run")
    assert not (tmp_path / "run" / "checkpoints").exists()
    assert any("degrad" in r["text"] or "Turbo" in r["text"] for r in remarks_of_turbo(songs, tiny_models, tmp_path))


def remarks_of_turbo(songs, models, folder):
    from acestep_core.train.settings import remarks

    return [{"text": text} for text in remarks(TrainSettings().resolved(True), "turbo")]


def test_one_process_trains_at_a_time(songs, tiny_base, tmp_path):
    run = RunFolder(tmp_path / "run")
    with run.held(), pytest.raises(StorageError, match="Another process"):
        train(songs, tiny_base, run.folder)


def test_memory_that_runs_out_switches_checkpointing_on_once(songs, tiny_base, tmp_path, monkeypatch):
    real, calls = loop.squared_errors, []

    def scarce(network, batch, device):
        calls.append(network.every)
        if network.every == 0:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return real(network, batch, device)

    train(songs, tiny_base, tmp_path / "plain")
    monkeypatch.setattr(loop, "squared_errors", scarce)
    records = train(songs, tiny_base, tmp_path / "scarce")
    assert calls[:2] == [0, 1] and 0 not in calls[1:]
    assert [r for r in records if r["kind"] == "warning" and "ran out of memory" in r["text"]]
    assert content(RunFolder(tmp_path / "plain"), 12) == content(RunFolder(tmp_path / "scarce"), 12)


def test_memory_that_runs_out_before_anything_is_learned_takes_windows(tiny_base, tmp_path, monkeypatch):
    songs = write_trainset(tmp_path / "set", (300, 300), length="auto")
    real, lengths = loop.squared_errors, []

    def scarce(network, batch, device):
        lengths.append(batch[0].frames)
        if batch[0].frames > 150:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return real(network, batch, device)

    monkeypatch.setattr(loop, "squared_errors", scarce)
    records = train(songs, tiny_base, tmp_path / "scarce")
    said = [r["text"] for r in records if r["kind"] == "warning"]
    assert [("checkpointing" in text, "windows of 5.2 seconds" in text) for text in said] == [(1, 0), (0, 1)]
    assert lengths[:3] == [300, 300, 130] and set(lengths[2:]) == {130}
    run = RunFolder(tmp_path / "scarce")
    assert run.settings()["plan"]["windowed"]  # so that it goes on in the same way
    monkeypatch.undo()
    train(songs, tiny_base, tmp_path / "plain", length="window")
    assert content(run, 8) == content(RunFolder(tmp_path / "plain"), 8)


@pytest.mark.parametrize("length, fails_at", [("full", 1), ("auto", 4)])
def test_memory_that_runs_out_with_nothing_left_to_save_ends_the_run_saved(
    length, fails_at, tiny_base, tmp_path, monkeypatch
):
    songs = write_trainset(tmp_path / "set", (300, 300), length=length)
    real, calls = loop.squared_errors, []

    def scarce(network, batch, device):
        calls.append(network.every)
        if len(calls) >= fails_at:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return real(network, batch, device)

    monkeypatch.setattr(loop, "squared_errors", scarce)
    kept = "; what was learned is saved;" if fails_at > 1 else ";"
    message = (
        rf"Step {fails_at} did not fit into the memory of cpu, of which .* GiB are free{kept} close .*windows of 60"
    )
    with pytest.raises(OutOfMemory, match=message):
        train(songs, tiny_base, tmp_path / "run", memory="checkpoint")
    run = RunFolder(tmp_path / "run")
    assert (run.latest().step if run.latest() else 0) == fails_at - 1
    assert run.records()[-1]["kind"] == "failed"
    monkeypatch.undo()
    train(songs, tiny_base, tmp_path / "run", memory="checkpoint")
    train(songs, tiny_base, tmp_path / "plain", memory="checkpoint")
    assert content(run, 8) == content(RunFolder(tmp_path / "plain"), 8)


# --- small print ----------------------------------------------------------------------------------------------------


class Syncs(TorchDispatchMode):
    """Counts what would wait for a device."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        name = str(func)
        if "_local_scalar_dense" in name or "nonzero" in name:
            self.found.append(name)
        return func(*args, **(kwargs or {}))


def test_between_reports_nothing_waits_for_the_device(songs, tiny_base, tmp_path, monkeypatch):
    """What reads a number of a tensor on the CPU, such as the drawn times, is not counted: only the step itself."""
    counted = []
    for name in ("_gradients", "_move"):
        real = getattr(loop.Loop, name)

        def watched(self, *what, real=real, name=name):
            with Syncs() as syncs:
                result = real(self, *what)
            counted.append((name, syncs.found))
            return result

        monkeypatch.setattr(loop.Loop, name, watched)
    train(songs, tiny_base, tmp_path / "run", log_every=100, dropout=0.0)
    assert len(counted) == 24 and not [entry for entry in counted if entry[1]]


def test_every_song_and_every_window_comes_equally_often():
    drawn = [entry for epoch in range(3) for entry in order(7, epoch, (1, 0, 2))]
    assert sorted(drawn) == sorted([(0, 0), (2, 0), (2, 1)] * 3)
    assert order(7, 0, [1] * 9) != order(7, 1, [1] * 9) and order(7, 0, [1] * 9) == order(7, 0, [1] * 9)
    seen = [window_of(7, "id", visit, 4) for visit in range(12)]
    assert [sorted(seen[n : n + 4]) for n in (0, 4, 8)] == [[0, 1, 2, 3]] * 3


def test_the_last_step_of_an_epoch_may_be_smaller(songs, tiny_base, tmp_path):
    trainer = Trainer(songs, tiny_base.model, tmp_path, TrainSettings.of(epochs=2, batch=2))
    assert (trainer.epoch_steps, trainer.steps) == (2, 4)
    records = train(songs, tiny_base, tmp_path / "run", epochs=2, batch=2)
    assert [len(r["samples"]) for r in records if r["kind"] == "step"] == [2, 1, 2, 1]


def test_checkpoints_are_kept_as_asked(songs, tiny_base, tmp_path):
    train(songs, tiny_base, tmp_path / "run", save_minutes=1e-6, keep=2, save_every=2, warmup=0)
    steps = {checkpoint.step for checkpoint in RunFolder(tmp_path / "run").all()}
    best = RunFolder(tmp_path / "run").at("best").step
    assert steps == {6, 11, 12} | {best}
    with pytest.raises(InvalidInput, match="has no checkpoint '5'"):
        RunFolder(tmp_path / "run").at("5")


def test_a_damaged_checkpoint_is_passed_over(songs, tiny_base, tmp_path):
    train(songs, tiny_base, tmp_path / "run", save_minutes=1e-6)
    file = tmp_path / "run/checkpoints/12" / WEIGHTS
    file.write_bytes(file.read_bytes()[:-7])
    (tmp_path / "run/adapter/adapter.json").unlink()
    assert RunFolder(tmp_path / "run").latest().step == 11
    assert train(songs, tiny_base, tmp_path / "run")[0]["step"] == 11


def test_the_manager_keeps_nothing_of_a_private_model(tiny_base):
    with manager.resident(tiny_base.model):
        before = manager.loaded()
        with manager.private(tiny_base.model) as model:
            assert manager.loaded() == before and not hasattr(model, "encoder")
    assert manager.loaded() == before
