"""Finishing of audio and latents equals the reference data."""

import pytest
import torch

from acestep_core.errors import GenerationError
from acestep_core.render.post import check_latents, fade, limit_peak, normalize_peak, shift_rescale
from acestep_core.render.vae import tiles
from tests.golden_data import case, case_ids, load_json, load_tensors, tolerance

NORMALIZE, CLIP, SHIFT, TILING = (
    f"J_audio_post/{name}" for name in ("normalize_and_fade", "anti_clip", "latent_shift_rescale", "tiling")
)


def close(got: torch.Tensor, want: torch.Tensor, case_id: str) -> None:
    torch.testing.assert_close(got, want, **tolerance(case(case_id)))


def outputs(prefix: str) -> list[str]:
    return [name for name in case(NORMALIZE)["outputs"] if name.startswith(prefix)] if _has(NORMALIZE) else []


def _has(case_id: str) -> bool:
    return case_id in case_ids("J_audio_post/")


def decode_rows() -> list[dict]:
    rows = load_json(case(TILING)["file"])["decode"] if _has(TILING) else []
    return [row for row in rows if "windows" in row]  # the others are too small to tile


@pytest.mark.skipif(not _has(NORMALIZE), reason="the reference folder has no such case")
@pytest.mark.parametrize("name", outputs("normalized_"))
def test_peak_normalisation(name: str) -> None:
    tensors = load_tensors(case(NORMALIZE)["file"])
    decibel = float(name.removeprefix("normalized_").replace("m", "-").replace("_", "."))
    close(normalize_peak(tensors["audio"][None], decibel)[0], tensors[name], NORMALIZE)


@pytest.mark.skipif(not _has(NORMALIZE), reason="the reference folder has no such case")
def test_peak_normalisation_of_loud_and_silent_audio() -> None:
    tensors = load_tensors(case(NORMALIZE)["file"])
    close(normalize_peak(tensors["loud"][None], -1.0)[0], tensors["loud_normalized_m1"], NORMALIZE)
    got = normalize_peak(tensors["near_silence"][None], -1.0)[0]
    assert torch.equal(got, tensors["near_silence_normalized"])


@pytest.mark.skipif(not _has(NORMALIZE), reason="the reference folder has no such case")
@pytest.mark.parametrize("name", outputs("fade_"))
def test_fades(name: str) -> None:
    tensors = load_tensors(case(NORMALIZE)["file"])
    fade_in, fade_out = (int(part) for part in name.split("_")[1:])
    close(fade(tensors["audio"], fade_in, fade_out), tensors[name], NORMALIZE)


@pytest.mark.skipif(not _has(CLIP), reason="the reference folder has no such case")
def test_limiter() -> None:
    tensors = load_tensors(case(CLIP)["file"])
    close(limit_peak(tensors["decoded"]), tensors["result"], CLIP)


@pytest.mark.skipif(not _has(SHIFT), reason="the reference folder has no such case")
def test_latent_shift_and_rescale() -> None:
    tensors = load_tensors(case(SHIFT)["file"])
    rows = case(SHIFT)["settings"]["rows_shift_rescale"]
    got = torch.stack([shift_rescale(tensors["latents"], shift, rescale) for shift, rescale in rows])
    close(got, tensors["result"], SHIFT)


@pytest.mark.skipif(not _has(SHIFT), reason="the reference folder has no such case")
@pytest.mark.parametrize(
    "kind", [kind for kind, _ in case(SHIFT)["settings"]["rejected_latents"]] if _has(SHIFT) else []
)
def test_latents_that_upstream_rejects_are_rejected(kind: str) -> None:
    latents = load_tensors(case(SHIFT)["file"])["latents"].clone()
    check_latents(latents)
    if kind == "zero":
        latents.zero_()
    else:
        latents[0, 3, 5] = float(kind)
    with pytest.raises(GenerationError):
        check_latents(latents)


@pytest.mark.skipif(not _has(TILING), reason="the reference folder has no such case")
@pytest.mark.parametrize("row", decode_rows(), ids=str)
def test_windows_of_tiled_decoding(row: dict) -> None:
    """Ours are upstream's at upstream's overlap, apart from what needs no tiles; 9 frames give the same audio."""
    overlap = row["overlap"]
    while row["chunk_size"] - 2 * overlap <= 0 and overlap > 4:
        overlap //= 2
    length, tile = row["latent_frames"], row["chunk_size"] - 2 * overlap
    if length > row["chunk_size"]:
        assert [list(window[:2]) for window in tiles(length, tile, overlap)] == row["windows"]
    assert [tiles(length, tile)[0][2], tiles(length, tile)[-1][3]] == [0, row["output_frames"]]
