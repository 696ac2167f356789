"""What of the built-in DiT is laid out by hand works exactly, whatever the noise."""

import random

import pytest
import torch

from acestep_core.builtin import circuits, player, timbre
from acestep_core.builtin.clock import clock
from acestep_core.builtin.reader import READOUT, WIDTH
from acestep_core.builtin.rolls import (
    CHANNELS,
    FIRST_CHORD,
    FIRST_LEAD,
    PHRASE,
    PLACES,
    STRIKE,
    STYLE_NAMES,
    STYLES,
    Score,
    compose,
    draw_score,
    onset,
)
from acestep_core.checkpoints import shapes
from acestep_core.models.acestep import AceStepModel

FRAMES = 220


@pytest.fixture(scope="module")
def model() -> AceStepModel:
    return player.build(torch.eye(READOUT, WIDTH))


def stream(model: AceStepModel, score: Score, t: float, layers: int = 2) -> torch.Tensor:
    """The stream `[FRAMES / 2, HIDDEN]` behind the first layers, with other tokens in front of the prompt's end."""
    decoder, generator = model.decoder, torch.Generator().manual_seed(0)
    others = torch.randn(1, 40, circuits.HIDDEN, generator=generator)
    others[..., [circuits.END, timbre.HEARD]] = 0
    prepared = decoder.prepare(torch.cat([others, player.conditions([score], generator)], 1), FRAMES)
    noise = torch.randn(1, FRAMES, 64, generator=generator)
    x = t * noise + (1 - t) * compose(score, FRAMES, random.Random(0))[None]
    _, modulation = decoder.embed_time(torch.tensor([t]), None, prepared)
    h = decoder.embed(x, torch.cat([clock(FRAMES), torch.ones(FRAMES, 64)], 1)[None])
    for number in range(layers):
        h = decoder.blocks[number](h, modulation, prepared, number, prepared.band)
    return h[0]


@torch.inference_mode()
@pytest.mark.parametrize(("tempo", "style", "t"), [(0, "rock", 1.0), (31, "jazz", 0.5), (13, "ambient", 0.02)])
def test_the_first_layers_know_scale_beat_bar_and_pattern(
    model: AceStepModel, tempo: int, style: str, t: float
) -> None:
    score = Score(tempo, 3, "minor", style, True, False)
    h = stream(model, score, t)
    scale = h[:, circuits.SCALE_AT : circuits.TONIC_AT].mean(0) > 0
    assert {note for note in range(12) if scale[note]} == score.scale

    places = torch.zeros(FRAMES, PLACES)
    for n in range(PLACES * (int(FRAMES / score.bar) + 1)):
        if onset(n, score.bar) < FRAMES:
            places[onset(n, score.bar), n % PLACES] = 1
    found = h[:, circuits.PLACE_AT : circuits.PATTERN_AT].reshape(FRAMES, PLACES)
    assert found[places > 0].min() > 1
    assert found[places == 0].abs().max() < 0.3

    bars = torch.zeros(FRAMES // 2, PHRASE)
    for n in range(PLACES * (int(FRAMES / score.bar) + 1)):
        if onset(n, score.bar) < FRAMES:
            bars[onset(n, score.bar) // 2, n // PLACES % PHRASE] = 1
    heard = h[:, circuits.BAR_AT : circuits.BAR_AT + PHRASE]
    assert heard[bars > 0].min() > 0.9
    assert heard[bars == 0].abs().max() < 0.1

    pattern = h[:, circuits.PATTERN_AT : circuits.FREE].reshape(FRAMES, circuits.PATTERN)
    kicks = places[:, list(STYLES[style].kick)].any(1)
    assert (pattern[:, 0] > 1).equal(kicks)
    assert (pattern[:, 4] > 1).equal(places[:, list(STYLES[style].chords)].any(1))


@torch.inference_mode()
def test_what_stands_before_the_end_of_a_prompt_does_not_count(model: AceStepModel) -> None:
    ends = player.conditions([Score(4, 0, "major", "pop", True, True)])
    others = torch.randn(1, 300, circuits.HIDDEN, generator=torch.Generator().manual_seed(1))
    others[..., [circuits.END, timbre.HEARD]] = 0
    x, t = torch.randn(1, 60, 64, generator=torch.Generator().manual_seed(2)), torch.tensor([0.7])
    context = torch.cat([clock(60), torch.ones(60, 64)], 1)[None]
    alone, behind = (model.decoder(x, t, context, c) for c in (ends, torch.cat([others, ends], 1)))
    assert torch.allclose(alone, behind, atol=1e-4)


def test_training_leaves_the_circuits_alone() -> None:
    course = player.course(0, steps=10)
    before = {name: p.detach().clone() for name, p in course.module.named_parameters()}
    optimiser = torch.optim.SGD([p for p in course.module.parameters() if p.requires_grad], lr=0.1)
    loss = course.loss(random.Random(0), torch.Generator().manual_seed(0))
    loss.backward()
    optimiser.step()
    course.kept.restore()
    after = dict(course.module.named_parameters())
    assert not torch.equal(after["layers.3.mlp.up_proj.weight"], before["layers.3.mlp.up_proj.weight"])
    for name in ("layers.0.cross_attn.k_proj.weight", "layers.2.cross_attn.v_proj.weight"):
        assert torch.equal(after[name], before[name])
    for layer in (0, 1):
        writes = f"layers.{layer}.self_attn.o_proj.weight"
        assert torch.equal(after[writes][circuits.LATER_OUT], before[writes][circuits.LATER_OUT])


def test_the_files_have_upstreams_names_and_shapes(model: AceStepModel) -> None:
    wanted = shapes.dit_shapes(player.config())
    assert {name: tuple(t.shape) for name, t in model.state_dict().items()} == wanted


def test_scores_of_every_style_are_drawn() -> None:
    rng = random.Random(0)
    assert {draw_score(rng).style for _ in range(200)} == set(STYLE_NAMES)


def test_a_bars_strikes_are_alike_until_one_is_changed() -> None:
    rng = random.Random(2)
    for style in STYLE_NAMES:
        score = Score(rng.randrange(32), 2, "minor", style, True, True)
        start = 2 * rng.randrange(100)
        song = compose(score, start + player.FRAMES, rng)[start:]
        bass, chords = player.aside(score, start)
        assert (bass @ song[:, :FIRST_CHORD]).abs().max() < 1e-5
        assert (chords @ song[:, FIRST_CHORD:FIRST_LEAD]).abs().max() < 1e-5
        if style == "rock":
            song[song[:, FIRST_CHORD:FIRST_LEAD].any(1).nonzero()[1], FIRST_CHORD] = STRIKE
            assert (chords @ song[:, FIRST_CHORD:FIRST_LEAD]).abs().max() > 1


def test_examples_give_nothing_a_part_or_all() -> None:
    rng, kinds = random.Random(0), set()
    for _ in range(60):
        score = draw_score(rng)
        song, context, _ = player.example(score, rng)
        source, mask = context.split(CHANNELS, 1)
        given = (source > 1).any(1) & (song > 1).any(1)
        share = given.sum() / (song > 1).any(1).sum()
        kinds.add("nothing" if share == 0 else "part" if share < 0.9 else "all")
        assert set(mask.unique().tolist()) <= {0.0, 1.0}
    assert kinds == {"nothing", "part", "all"}
