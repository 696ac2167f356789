"""Songs on devices that cannot do everything: the same songs, made without what they cannot do."""

from __future__ import annotations

import torch

from acestep_core import devices, generate, repaint
from tests.pretended_mps import pretended_mps

LYRICS = "[Verse]\nla la la\nstars above the sea"


def test_a_thinking_song_on_a_mac_before_15_1(tiny_models):
    wanted = {"lyrics": LYRICS, "duration": 20, "seed": 1, "batch": 2, "think": True, "models": tiny_models}
    expected = generate("calm", **wanted)
    with pretended_mps(devices.MPS_BEFORE_15_1) as seen:
        found = generate("calm", **wanted)
        edited = repaint(found.select([0]), start=4, end=8, caption="calm", seed=2, models=tiny_models)
    assert {"conv1d", "fused attention", "softmax"} <= {name.strip("_") for name in seen.seen}
    assert [task.codes for task in found.tasks] == [task.codes for task in expected.tasks]
    torch.testing.assert_close(found.latents, expected.latents, atol=1e-3, rtol=1e-3)
    assert edited.audio.isfinite().all()
