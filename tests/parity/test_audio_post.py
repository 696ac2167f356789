"""Finishing of audio and latents equals the reference data."""

import pytest
import torch

from acestep_core.errors import GenerationError
from acestep_core.render.post import check_latents, fade, limit_peak, normalize_peak, shift_rescale
from acestep_core.render.vae import tiles
from tests.golden_data import case, case_ids, cases, load_tensors, rows, tolerance

NORMALIZE, CLIP, SHIFT, TILING = (
    f"J_audio_post/{name}" for name in ("normalize_and_fade", "anti_clip", "latent_shift_rescale", "tiling")
)


def close(got: torch.Tensor, want: torch.Tensor, case_id: str) -> None:
    torch.testing.assert_close(got, want, **tolerance(case(case_id)))


def outputs(prefix: str) -> list[tuple[str, str]]:
    return [(c["id"], name) for c in cases(NORMALIZE) for name in c["outputs"] if name.startswith(prefix)]


@pytest.mark.parametrize(("case_id", "name"), outputs("normalized_"))
def test_peak_normalisation(case_id: str, name: str) -> None:
    tensors = load_tensors(case(case_id)["file"])
    decibel = float(name.removeprefix("normalized_").replace("m", "-").replace("_", "."))
    close(normalize_peak(tensors["audio"][None], decibel)[0], tensors[name], case_id)


@pytest.mark.parametrize("case_id", case_ids(NORMALIZE))
def test_peak_normalisation_of_loud_and_silent_audio(case_id: str) -> None:
    tensors = load_tensors(case(case_id)["file"])
    close(normalize_peak(tensors["loud"][None], -1.0)[0], tensors["loud_normalized_m1"], case_id)
    got = normalize_peak(tensors["near_silence"][None], -1.0)[0]
    assert torch.equal(got, tensors["near_silence_normalized"])


@pytest.mark.parametrize(("case_id", "name"), outputs("fade_"))
def test_fades(case_id: str, name: str) -> None:
    tensors = load_tensors(case(case_id)["file"])
    fade_in, fade_out = (int(part) for part in name.split("_")[1:])
    close(fade(tensors["audio"], fade_in, fade_out), tensors[name], case_id)


@pytest.mark.parametrize("case_id", case_ids(CLIP))
def test_limiter(case_id: str) -> None:
    tensors = load_tensors(case(case_id)["file"])
    close(limit_peak(tensors["decoded"]), tensors["result"], case_id)


@pytest.mark.parametrize("case_id", case_ids(SHIFT))
def test_latent_shift_and_rescale(case_id: str) -> None:
    tensors = load_tensors(case(case_id)["file"])
    pairs = case(case_id)["settings"]["rows_shift_rescale"]
    got = torch.stack([shift_rescale(tensors["latents"], shift, rescale) for shift, rescale in pairs])
    close(got, tensors["result"], case_id)


@pytest.mark.parametrize(
    ("case_id", "kind"), [(c["id"], kind) for c in cases(SHIFT) for kind, _ in c["settings"]["rejected_latents"]]
)
def test_latents_that_upstream_rejects_are_rejected(case_id: str, kind: str) -> None:
    latents = load_tensors(case(case_id)["file"])["latents"].clone()
    check_latents(latents)
    if kind == "zero":
        latents.zero_()
    else:
        latents[0, 3, 5] = float(kind)
    with pytest.raises(GenerationError):
        check_latents(latents)


# rows without windows are too small to tile
@pytest.mark.parametrize("row", [row for row in rows(TILING, "decode") if "windows" in row], ids=str)
def test_windows_of_tiled_decoding(row: dict) -> None:
    """Ours are upstream's at upstream's overlap, apart from what needs no tiles; 9 frames give the same audio."""
    overlap = row["overlap"]
    while row["chunk_size"] - 2 * overlap <= 0 and overlap > 4:
        overlap //= 2
    length, tile = row["latent_frames"], row["chunk_size"] - 2 * overlap
    if length > row["chunk_size"]:
        assert [list(window[:2]) for window in tiles(length, tile, overlap)] == row["windows"]
    assert [tiles(length, tile, overlap)[0][2], tiles(length, tile, overlap)[-1][3]] == [0, row["output_frames"]]
