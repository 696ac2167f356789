"""A decoder of the reference data learns four clips by heart, with the loop and the optimizer of a run."""

from __future__ import annotations

import pytest

from acestep_core.models.handles import ModelHandle
from acestep_core.train.loop import Loop
from acestep_core.train.network import LiveNetwork
from acestep_core.train.objective import judge
from acestep_core.train.settings import TrainSettings
from acestep_core.train.trainer import Trainer
from tests.golden_data import manifest
from tests.parity.reference_models import of_its_own, reference_model
from tests.train.making_trainsets import write_trainset


def test_four_clips_are_learned_by_heart(tmp_path):
    pytest.importorskip("peft")
    model = reference_model(next(entry["file"] for entry in manifest()["weights"] if entry["config"]["is_turbo"]))
    songs = write_trainset(tmp_path / "set", (128,) * 4, width=model.config.encoder_dim)
    settings = TrainSettings.of(
        rank=16,
        alpha=32,
        targets="attention+mlp",
        learning_rate=4e-3,
        dropout=0.0,
        max_steps=60,
        log_every=60,
        drop=0.0,
    )
    trainer = Trainer(songs, ModelHandle(tmp_path, variant="turbo"), tmp_path / "run", settings)
    trainer.run.begin({"base": {"variant": "turbo", "sha256": ""}})
    network = LiveNetwork(of_its_own(model), trainer.settings.adapter, trainer.settings.fine.seed, 0)
    loop, losses = Loop(trainer, network, model.config, None, False), []
    for work in (tuple, loop.records):
        list(work())
        with network.listening():
            losses.append(judge(loop.drawing, range(4), network, network.device))
    assert losses[0] > 4 and losses[1] < 2.5, losses
