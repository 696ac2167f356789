"""From recordings to an adapter, in every form that it is given away in."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import soundfile
import torch

from acestep_core.models.adapters import applied
from acestep_core.models.handles import AdapterHandle
from acestep_core.models.manager import manager
from acestep_core.options import TextToMusic
from acestep_core.pipeline.generation import make
from acestep_core.pipeline.request import Request
from acestep_core.song.description import Song
from acestep_core.train.checkpoints import WEIGHTS, RunFolder
from acestep_core.train.dataset_options import Preprocessing, Scanning
from acestep_core.train.export import export
from acestep_core.train.network import LiveNetwork
from acestep_core.train.objective import Drawing, Times, judge
from acestep_core.train.preprocess import preprocess
from acestep_core.train.scan import scan
from acestep_core.train.settings import TrainSettings
from acestep_core.train.trainer import Trainer
from tests.capabilities import needs_rusage
from tests.train.hostile import hostile

RATE = 48_000


def synthesise(folder, count=8, seconds=20.0):
    """Songs of one style: a chord on a pulse, each in another key and tempo."""
    time = np.arange(round(seconds * RATE)) / RATE
    for number in range(count):
        root, beat = 110 * 2 ** (number / 12), 60 / (90 + 5 * number)
        chord = sum(np.sin(2 * np.pi * root * ratio * time) for ratio in (1, 1.25, 1.5))
        tone = 0.2 * chord * np.exp(-(time % beat) * 5)
        soundfile.write(folder / f"song {number}.flac", np.stack([tone, np.roll(tone, 480)], axis=1), RATE)
        (folder / f"song {number}.caption.txt").write_text(f"plucked chords, number {number}")


def test_eight_songs_become_an_adapter_that_is_what_was_trained(tiny_base, tmp_path):
    models = tiny_base
    (tmp_path / "songs").mkdir()
    synthesise(tmp_path / "songs")
    request = Request(Song("a song", duration=10), models, 5)
    before = make(request, TextToMusic()).audio
    dataset = scan(tmp_path / "songs", Scanning(custom_tag="plucky"))
    songs = preprocess(dataset, models.model, models.vae, tmp_path / "set", Preprocessing())
    assert len(songs) == 8 and all(entry.frames == 500 for entry in songs.manifest.samples)
    settings = TrainSettings.of(
        rank=16, alpha=32, targets="attention+mlp", learning_rate=3e-3, dropout=0.0, max_steps=200, memory="none"
    )
    records = list(Trainer(songs, models.model, tmp_path / "run", settings).records())
    assert records[-1]["kind"] == "done" and "exactly" in records[-1]["text"]
    run, settings = RunFolder(tmp_path / "run"), settings.resolved(False)
    files = [run.adapter] + [
        export(run.adapter, tmp_path / f"{format}{'' if format == 'peft' else '.safetensors'}", format).path
        for format in ("peft", "single", "kohya")
    ]
    with manager.private(models.model) as model:
        network = LiveNetwork(model, settings.adapter, settings.fine.seed, 0)
        drawing = Drawing(
            songs, Times.of("model", model.config, models.model.preset), settings.fine, network.null, False
        )
        item = drawing.judged(3, 0.5)
        x, t, context = item.noisy[None], item.t[None], item.context[None]
        with network.listening():
            losses = [judge(drawing, range(8), network, network.device)]
            network.load(run.latest().tensors(WEIGHTS))
            losses.append(judge(drawing, range(8), network, network.device))
            live = network(x, t, context, [item.states])
            for file in files:
                with network.plain() as decoder, applied(decoder, [AdapterHandle(file)]):
                    assert torch.equal(decoder(x, t, context, item.states), live), file
    assert losses[1] <= 0.7 * losses[0], losses
    assert torch.equal(make(request, TextToMusic()).audio, before)
    trained = replace(models, model=replace(models.model, adapters=(AdapterHandle(run.adapter),)))
    for number in (0, 5):
        without, learned = (likeness(with_, songs.sample(number), number) for with_ in (models, trained))
        assert learned > without + 0.04, (without, learned)


def likeness(models, sample, number):
    """The cosine between a song that a model makes and the recording of that caption."""
    made = make(Request(Song(f"plucky, plucked chords, number {number}", duration=20), models, 5), TextToMusic())
    return float(torch.cosine_similarity(made.latents[0].flatten(), sample.latents.flatten(), dim=0))


@needs_rusage
def test_of_a_hostile_folder_the_rest_trains(tiny_base, tmp_path):
    import resource

    good, bad = hostile(tmp_path)
    dataset = scan(tmp_path / "set")
    told = "\n".join(dataset.problems)
    assert all(name in told for name in bad)
    before, used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, len(dataset.used)
    songs = preprocess(
        dataset, tiny_base.model, tiny_base.vae, tmp_path / "trainset", Preprocessing(max_seconds=5), prune=True
    )
    kilobytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert kilobytes < 400_000  # three hours, decoded, are four gigabytes
    assert len(songs) == used == len(good) and not songs.manifest.problems
    assert max(entry.frames for entry in songs.manifest.samples) <= 125
    settings = TrainSettings.of(rank=2, epochs=1, batch=8, log_every=5)
    records = list(Trainer(songs, tiny_base.model, tmp_path / "run", settings).records())
    seen = [record for record in records if record["kind"] == "step"][-1]
    assert records[-1]["kind"] == "done" and seen["skipped"] == 0
    assert not (tmp_path / "ran").exists()
