"""Prints how far our results are from upstream's, group by group: `python -m tests.parity.report`."""

from __future__ import annotations

import sys
from collections import defaultdict

import torch
from torch import Tensor

from tests.golden_data import cases, load_tensors
from tests.parity.padded import encode_padded
from tests.parity.reference_models import reference_model
from tests.parity.test_generate import CASES, run
from tests.parity.test_models import DECODER_CASES, ENCODER_CASES, TOKENIZER_CASES


def results():
    """Yields `(group, case id, ours, upstream's)`."""
    by_id = {c["id"]: c for c in cases("")}
    for case_id in ENCODER_CASES:
        c, t = by_id[case_id], load_tensors(by_id[case_id]["file"])
        states, _ = encode_padded(
            reference_model(c["settings"]["weights"]).encoder, t["text_hidden_states"], t["text_attention_mask"],
            t["lyric_hidden_states"], t["lyric_attention_mask"],
            t["refer_audio_acoustic_hidden_states_packed"], t["refer_audio_order_mask"],
        )  # fmt: skip
        yield "condition encoder", case_id, states, t["encoder_hidden_states"]
    for case_id in DECODER_CASES:
        c, t = by_id[case_id], load_tensors(by_id[case_id]["file"])
        arguments = (
            t[k] for k in ("hidden_states", "timestep", "context_latents", "encoder_hidden_states", "timestep_r")
        )
        yield "decoder", case_id, reference_model(c["settings"]["weights"]).decoder(*arguments), t["velocity"]
    for case_id in TOKENIZER_CASES:
        c, t = by_id[case_id], load_tensors(by_id[case_id]["file"])
        model = reference_model(c["settings"]["weights"])
        codes = model.tokenizer.encode(t["latents"], t["silence_latent"])
        yield "audio tokenizer, codes", case_id, codes.float(), t["indices"].squeeze(-1).float()
        yield "audio tokenizer, hints", case_id, model.hints(codes), t["hints_25hz"]
    for case_id in CASES:
        latents, _, _, t, reason = run(by_id[case_id])
        if reason is None:
            yield "complete runs", case_id, latents, t["target_latents"]


def relative(ours: Tensor, theirs: Tensor) -> float:
    return float((ours - theirs).abs().max() / theirs.abs().max())


@torch.inference_mode()
def main() -> None:
    groups: dict[str, list[float]] = defaultdict(list)
    for group, _, ours, theirs in results():
        groups[group].append(relative(ours, theirs))
    rows = [f"| {g} | {len(v)} | {max(v):.1e} |" for g, v in groups.items()]
    sys.stdout.write("\n".join(["| group | cases | largest difference / largest value |", "|---|---|---|", *rows, ""]))


if __name__ == "__main__":
    main()
