"""ComfyUI's own latent nodes, as the embedded host has them. Right values are those of ComfyUI 0.20.1."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from acestep_core.errors import InvalidInput
from acestep_core.host.graph.stock_latents import LATENT_EDITS


def latent(*songs: list[list[float]], **more: Any) -> dict[str, Any]:
    """`[B, C, T]`."""
    return {"samples": torch.tensor(songs), "type": "audio", **more}


def edited(name: str, *arguments: Any) -> tuple[list[Any], dict[str, Any]]:
    """The samples, to three decimals, and the other keys."""
    (made,) = LATENT_EDITS[name]().run(*arguments)
    samples = made.pop("samples")
    assert samples.ndim == 3 and samples.dtype == torch.float32
    return [[[round(value, 3) for value in channel] for channel in song] for song in samples.tolist()], made


ONE = latent([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]], kept="x")
OTHER = latent([[0.5, 0.0, 1.0], [0.0, 2.0, 0.0]])


@pytest.mark.parametrize(
    ("name", "arguments", "right"),
    [
        ("LatentAdd", (), [[[1.5, 2.0, 4.0], [4.0, 7.0, 6.0]]]),
        ("LatentSubtract", (), [[[0.5, 2.0, 2.0], [4.0, 3.0, 6.0]]]),
        ("LatentBlend", (0.25,), [[[0.625, 0.5, 1.5], [1.0, 2.75, 1.5]]]),
        ("LatentInterpolate", (1.0,), [[[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]]),
        ("LatentInterpolate", (0.5,), [[[1.822, 0.698, 3.278], [1.423, 3.626, 2.026]]]),
        ("LatentConcat", ("x",), [[[1.0, 2.0, 3.0, 0.5, 0.0, 1.0], [4.0, 5.0, 6.0, 0.0, 2.0, 0.0]]]),
        ("LatentConcat", ("-x",), [[[0.5, 0.0, 1.0, 1.0, 2.0, 3.0], [0.0, 2.0, 0.0, 4.0, 5.0, 6.0]]]),
        ("LatentConcat", ("y",), [[[1.0, 2.0, 3.0], [4.0, 5.0, 6.0], [0.5, 0.0, 1.0], [0.0, 2.0, 0.0]]]),
        ("LatentConcat", ("t",), [[[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]], [[0.5, 0.0, 1.0], [0.0, 2.0, 0.0]]]),
        ("LatentBatch", (), [[[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]], [[0.5, 0.0, 1.0], [0.0, 2.0, 0.0]]]),
    ],
)
def test_two_latents_become_one(name: str, arguments: tuple[Any, ...], right: list[Any]) -> None:
    samples, rest = edited(name, ONE, OTHER, *arguments)
    assert samples == right
    assert rest["type"] == "audio" and rest["kept"] == "x"
    assert ONE["samples"].tolist() == [[[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]]


@pytest.mark.parametrize(
    ("dim", "index", "amount", "right"),
    [
        ("x", 1, 1, [[[2.0], [5.0]]]),
        ("x", 1, 9, [[[2.0, 3.0], [5.0, 6.0]]]),
        ("x", 9, 9, [[[3.0], [6.0]]]),
        ("x", -2, 1, [[[2.0], [5.0]]]),
        ("x", -9, 2, [[[1.0, 2.0], [4.0, 5.0]]]),
        ("y", 1, 1, [[[4.0, 5.0, 6.0]]]),
        ("t", 0, 5, [[[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]]),
    ],
)
def test_a_part_is_kept(dim: str, index: int, amount: int, right: list[Any]) -> None:
    assert edited("LatentCut", ONE, dim, index, amount)[0] == right


def test_a_long_song_becomes_a_batch() -> None:
    long = latent([[1.0, 2.0, 3.0, 4.0, 5.0]])
    assert edited("LatentCutToBatch", long, "x", 2)[0] == [[[1.0, 2.0]], [[3.0, 4.0]]]
    assert edited("LatentCutToBatch", long, "x", 9)[0] == [[[1.0, 2.0, 3.0, 4.0, 5.0]]]
    assert edited("LatentCutToBatch", long, "y", 1)[0] == [[[1.0, 2.0, 3.0, 4.0, 5.0]]]


def test_batches_remember_their_noise() -> None:
    pair = latent([[1.0]], [[2.0]])
    samples, rest = edited("LatentBatch", pair, latent([[3.0]], batch_index=[7]))
    assert samples == [[[1.0]], [[2.0]], [[3.0]]] and rest["batch_index"] == [0, 1, 7]
    samples, rest = edited("LatentFromBatch", latent([[1.0]], [[2.0]], [[3.0]]), 1, 9)
    assert samples == [[[2.0]], [[3.0]]] and rest["batch_index"] == [1, 2]
    for place, first in ((-1, 2), (-3, 0), (-9, 0)):  # counted from the end
        assert edited("LatentFromBatch", latent([[1.0]], [[2.0]], [[3.0]]), place, 1)[1]["batch_index"] == [first]
    samples, rest = edited("RepeatLatentBatch", latent([[1.0]], [[2.0]], batch_index=[2, 4]), 2)
    assert samples == [[[1.0]], [[2.0]]] * 2 and rest["batch_index"] == [2, 4, 5, 7]
    assert "batch_index" not in edited("RepeatLatentBatch", pair, 2)[1]
    assert edited("LatentBatchSeedBehavior", latent([[1.0]], [[2.0]], batch_index=[3, 4]), "fixed")[1][
        "batch_index"
    ] == [3, 3]
    assert "batch_index" not in edited("LatentBatchSeedBehavior", latent([[1.0]], batch_index=[3]), "random")[1]


def test_masks_go_with_their_songs() -> None:
    masks = torch.tensor([0.0, 1.0]).reshape(2, 1, 1, 1)
    three = latent([[1.0]], [[2.0]], [[3.0]], noise_mask=masks)
    assert edited("LatentFromBatch", three, 1, 2)[1]["noise_mask"].flatten().tolist() == [1.0, 0.0]
    assert edited("RepeatLatentBatch", three, 2)[1]["noise_mask"].flatten().tolist() == [0.0, 1.0, 0.0, 1.0]


def test_fewer_songs_are_used_again() -> None:
    samples, _ = edited("LatentAdd", latent([[1.0]], [[2.0]], [[3.0]]), latent([[10.0]], [[20.0]]))
    assert samples == [[[11.0]], [[22.0]], [[13.0]]]
    assert edited("LatentMultiply", ONE, -2.0)[0] == [[[-2.0, -4.0, -6.0], [-8.0, -10.0, -12.0]]]


@pytest.mark.parametrize("name", ["LatentAdd", "LatentSubtract", "LatentBatch", "LatentBlend", "LatentInterpolate"])
def test_songs_of_unequal_length_are_refused_in_a_sentence(name: str) -> None:
    more = [0.5] if name in ("LatentBlend", "LatentInterpolate") else []
    with pytest.raises(InvalidInput, match=r"1 frames.*3 frames|3 frames.*1 frames.*\.$"):
        LATENT_EDITS[name]().run(ONE, latent([[1.0], [2.0]]), *more)


def test_what_cannot_be_joined_is_refused_in_a_sentence() -> None:
    with pytest.raises(InvalidInput, match=r"along y.*\.$"):
        LATENT_EDITS["LatentConcat"]().run(ONE, latent([[1.0], [2.0]]), "y")
