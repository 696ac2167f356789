"""Line starts on attention with known timing: within 80 ms for at least 95 % of the lines of every scene."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from acestep_core.judge.alignment_bench import FRAME, SCENES, TOLERANCE, Scene, measure, sing, start_errors, table


@pytest.mark.parametrize("scene", SCENES, ids=lambda scene: scene.name)
def test_line_starts(scene):
    rng = np.random.default_rng(1)
    errors = np.abs(np.concatenate([start_errors(sing(scene, rng)) for _ in range(3)]))
    assert len(errors) == 72
    assert (errors <= TOLERANCE + 1e-9).mean() >= 0.95


def test_scenes_are_what_they_say():
    rng = np.random.default_rng(0)
    plain, pauses = sing(Scene("a"), rng), sing(Scene("b", pauses=5), rng)
    silent = (torch.stack(plain.heads).sum((0, 1)) == 0).float().mean()
    assert (torch.stack(pauses.heads).sum((0, 1)) == 0).float().mean() > silent + 0.2
    chorus = b"".join(sing(Scene("c", repeats=0.5), rng).pieces).split(b"\n")
    assert chorus[4:8] == chorus[12:16] == chorus[20:24] and chorus[:4] != chorus[8:12]
    for singing in (plain, pauses):
        heads = torch.stack(singing.heads)
        assert heads.min() >= 0 and heads.sum(1).max() <= 1 + 1e-5
        row = next(i for i, piece in enumerate(singing.pieces) if piece != b"\n")
        first_heard = int(heads[0, row].nonzero()[0]) * FRAME
        assert first_heard <= singing.starts[0] < first_heard + FRAME


def test_measuring_is_repeatable_and_shows_a_table():
    scenes = SCENES[:2]
    results = measure(songs=1, scenes=scenes)
    assert results == measure(songs=1, scenes=scenes)
    rows = table(results).splitlines()
    assert len(rows) == 4 and rows[2].startswith("| clean | 24 | ") and rows[3].startswith("| noise | 24 | ")


def test_a_wrong_answer_is_noticed():
    singing = sing(Scene("a"), np.random.default_rng(0))
    late = start_errors(singing.__class__(singing.heads, singing.pieces, singing.starts - 1))
    assert (np.abs(late) > 0.5).all()
