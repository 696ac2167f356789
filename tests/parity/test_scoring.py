"""Lyric alignment and scores: our results equal upstream's, except where `deviations_judge` says why not."""

from __future__ import annotations

import re
from itertools import chain

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from torch.testing import assert_close

from acestep_core.checkpoints.qwen_tokenizer import token_bytes
from acestep_core.errors import AlignmentError, InvalidInput
from acestep_core.judge.alignment import align, alignment_score, combine_heads, dtw, median_filter, token_frames
from acestep_core.judge.attention import capture
from acestep_core.judge.lm_score import (
    WEIGHTS,
    descriptions,
    pmi_score,
    score_descriptions,
    token_scores,
    weighted_mean,
)
from acestep_core.judge.lyric_timing import listen, timed_lyrics
from acestep_core.judge.lyric_tokens import is_sung, lyric_span
from acestep_core.judge.subtitles import write_lrc
from acestep_core.seeds import noise
from tests.golden_data import case, case_ids, cases, load_tensors, rows, tables, tolerance
from tests.parity import deviations_judge as deviations
from tests.parity.reference_models import reference_model

MATRIX_CASES = [c for c in cases("I_scoring/alignment") if c["file"].endswith(".safetensors")]
MATRIX_ATOL = max((float(c["checks"]["suggested_atol"]) for c in MATRIX_CASES), default=0.0)
TABLE_CASES = [c for c in cases("I_scoring/alignment") if c not in MATRIX_CASES]
ALIGNED_ATOL = max((float(c["checks"]["suggested_atol"]) for c in TABLE_CASES), default=0.0)
PIECES = {
    row["name"]: [bytes.fromhex(table["tokenizer"]["pieces_hex"][token]) for token in row["token_ids"]]
    for table in tables("I_scoring/alignment")
    for row in table["rows"]
}
ROWS = {row["name"]: row for row in rows("I_scoring/alignment")}
ALIGNED = [name for name, row in ROWS.items() if "alignment_error" not in row]


def matrices():
    return dict(chain.from_iterable(load_tensors(c["file"]).items() for c in MATRIX_CASES))


def chosen_heads(row):
    """The heads `[tokens, frames]` that upstream picks: those of the map that exist."""
    attention = matrices()[f"{row['name']}.attention"]
    layers, heads = attention.shape[:2]
    wanted = [(int(layer), head) for layer, found in row["layers_config"].items() for head in found]
    return [attention[layer, head] for layer, head in wanted if layer < layers and head < heads]


def maps_of(row):
    return combine_heads(chosen_heads(row), median_width=row["medfilt_width"], sharpened=True)


@pytest.mark.parametrize("name", ALIGNED)
def test_matrices(name):
    want, maps = matrices(), maps_of(ROWS[name])
    close = {"rtol": 0.0, "atol": MATRIX_ATOL}
    assert_close(torch.from_numpy(maps.standard), want[f"{name}.align.calc_matrix"], **close)
    assert_close(torch.from_numpy(maps.sharp), want[f"{name}.align.energy_matrix"], **close)
    assert_close(torch.from_numpy(maps.mean), want[f"{name}.align.vis_matrix"], **close)
    assert_close(torch.from_numpy(maps.energy), want[f"{name}.score.energy_matrix"], **close)


@pytest.mark.parametrize("name", ALIGNED)
def test_paths(name):
    """On upstream's matrix and on ours."""
    row, want = ROWS[name], matrices()
    maps = maps_of(row)
    for standard in (want[f"{name}.align.calc_matrix"].numpy(), maps.standard):
        assert dtw(-standard).tolist() == row["alignment_path"]
    for energy in (want[f"{name}.score.energy_matrix"].numpy(), maps.energy):
        assert dtw(-(energy**2)).tolist() == row["score_path"]


@pytest.mark.parametrize("name", ALIGNED)
def test_token_frames(name):
    row, maps = ROWS[name], maps_of(ROWS[name])
    seconds = row["duration_seconds"] / maps.standard.shape[1]
    times = token_frames(dtw(-maps.standard), maps.standard.shape[0]) * seconds
    want = [[token["start"], token["end"]] for token in row["token_timestamps"]]
    assert np.allclose(times[: len(want)], want, rtol=0, atol=ALIGNED_ATOL)


@pytest.mark.parametrize("name", ALIGNED)
def test_scores(name):
    row, energy = ROWS[name], maps_of(ROWS[name]).energy
    path = dtw(-(energy**2))
    sung = is_sung(PIECES[name])
    if len(sung) == len(energy):
        assert [int(x) for x in sung] == row["type_mask"]
    sung = [bool(x) for x in row["type_mask"]]
    score = alignment_score(energy, path, sung)
    got = [score.coverage, score.monotonicity, score.confidence]
    want = [row["coverage"], row["monotonicity"], row["path_confidence"]]
    assert np.allclose(got, want, rtol=0, atol=ALIGNED_ATOL)
    options = {
        "overlap_0": {"overlap_frames": 0.0},
        "tags_ignored": {"tag_weight": 0.0},
        "time_weight_half": {"centred_above": 0.5},
    }
    assert round(score.total, 4) == row["final"]
    for option, total in row["final_options"].items():
        assert round(alignment_score(energy, path, sung, **options[option]).total, 4) == total


@pytest.mark.parametrize("name", sorted(set(ROWS) - set(ALIGNED)))
def test_what_upstream_cannot_align_is_an_error(name):
    """Upstream refuses a row only where none of the heads of its map exists."""
    with pytest.raises(AlignmentError, match="at least one"):
        maps_of(ROWS[name])


def byte_pieces(ids):
    """The end-to-end cases use UTF-8 bytes as tokens."""
    return [bytes([token]) if token < 256 else b"<|endoftext|>" for token in ids]


@pytest.fixture(params=[c["id"] for c in cases("I_scoring/end_to_end")])
def whole(request):
    """An end-to-end case as arguments of `listen`, with everything upstream's result was made of."""
    c = case(request.param)
    t, s = load_tensors(c["file"]), c["settings"]
    heads = {int(layer): tuple(chosen) for layer, chosen in s["layers_config"].items()}
    assert torch.equal(t["noise"], noise([s["seed"]], t["noise"].shape[1]))
    inputs = (t["pred_latent"], t["context_latents"], t["encoder_hidden_states"])
    pieces = byte_pieces(t["lyric_token_ids"][0].tolist())
    return c, (reference_model(s["weights"]).decoder, *inputs, pieces, heads)


def test_whole_scores(whole):
    """Of the song, and of pure noise: what the decoder sings that knows only the codes."""
    c, arguments = whole
    found = listen(*arguments, steps=c["settings"]["inference_steps"])
    want = c["settings"]["result"]
    assert found.score.total == pytest.approx(want["dit_score"], abs=1e-3)
    decoder, _, context, states, pieces, heads = arguments
    span, start = lyric_span(pieces), load_tensors(c["file"])["noise"]
    maps = combine_heads(capture(decoder, start, 1.0, context, states, heads, span))
    from_noise = align(maps, is_sung(pieces[span])).score
    assert from_noise.total == pytest.approx(want["lm_score"], abs=1e-3)


def test_whole_timestamps(whole):
    """Starts equal upstream's with its method; ends differ by design, see `deviations_judge`."""
    c, arguments = whole
    found = listen(*arguments, method="sharpened").lyrics
    want = c["settings"]["result"]["sentence_timestamps"]
    stretch = c["settings"]["total_duration_seconds"] / found.duration
    assert [line.text for line in found.lines] == [line["text"] for line in want]
    assert np.allclose([line.start * stretch for line in found.lines], [line["start"] for line in want], atol=1e-2)


@pytest.mark.parametrize("case_id", [c["id"] for c in cases("C_decoder/") if "cross_attention" in c["tensors"]])
def test_captured_attention(case_id):
    c = case(case_id)
    t = load_tensors(c["file"])
    decoder, want = reference_model(c["settings"]["weights"]).decoder, t["cross_attention"]
    layers, batch, heads = want.shape[:3]
    for item in range(batch):
        row = slice(item, item + 1)
        captured = capture(
            decoder,
            t["hidden_states"][row],
            t["timestep"][item].item(),
            t["context_latents"][row],
            t["encoder_hidden_states"][row],
            {layer: tuple(range(heads)) for layer in range(layers)},
        )
        got = torch.stack(list(captured)).unflatten(0, (layers, heads)).transpose(-1, -2)
        assert_close(got, want[:, item], **tolerance(c))


class StandInModel(torch.nn.Module):
    """The linear model of the score cases, cut where a transformer has its hidden states."""

    def __init__(self):
        super().__init__()
        t = load_tensors(cases("I_scoring/lm_stub_model")[0]["file"])
        self.tokens, self.head = t["U"], torch.cat([t["W"], t["P"]])

    def forward(self, ids):
        places = torch.eye(32)[torch.arange(ids.shape[1]) % 32].expand(len(ids), -1, -1)
        return torch.cat([self.tokens[ids], places], dim=-1)

    def logits(self, hidden):
        return hidden @ self.head


def byte_tokenizer():
    """A byte-level tokenizer whose ids are the bytes themselves."""
    level = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    names = sorted(pre_tokenizers.ByteLevel.alphabet())

    def with_ids(ids):
        made = Tokenizer(models.BPE(dict(zip(names, ids)), []))
        made.pre_tokenizer = level
        return made

    first = with_ids(range(256))
    return with_ids(token_bytes(first, [i])[0][0] for i in range(256))


class StandInLM:
    """UTF-8 bytes are its tokens."""

    device = torch.device("cpu")

    def __init__(self):
        self.tokenizer = byte_tokenizer()
        self.model = StandInModel()

    def encode(self, text):
        return self.tokenizer.encode(text).ids


SCORES = "I_scoring/lm_score"
SCORE_ATOL = max((float(c["checks"]["suggested_atol"]) for c in cases(SCORES)), default=0.0)
PROMPTS = "P[<|audio_code_1|>]", "P[NO USER INPUT]"


@pytest.fixture(scope="module")
def lm():
    return StandInLM()


@pytest.mark.parametrize("row", rows(SCORES, "recall_and_log_prob"), ids=lambda row: row["target"])
def test_token_scores(lm, row):
    (found,) = token_scores(lm, row["prompt"], [row["target"]])
    assert lm.encode(row["target"]) == row["target_ids"] and len(found.ranks) == len(row["target_ids"])
    assert found.mean_log_prob == pytest.approx(float(row["mean_log_prob"]), abs=SCORE_ATOL)
    assert found.recall(row["topk"]) == pytest.approx(row["average_recall"], abs=SCORE_ATOL)
    for k, share in row["recall_per_k"].items():
        assert (found.ranks <= int(k)).double().mean() == pytest.approx(share, abs=SCORE_ATOL)


@pytest.mark.parametrize("row", rows(SCORES, "pmi_to_score"))
def test_pmi_scores(row):
    assert pmi_score(row["pmi"], row["scale"]) == pytest.approx(row["score"], rel=1e-9)


@pytest.mark.parametrize("row", rows(SCORES, "reward"))
def test_totals(row):
    parts = {name: score for name, score in row["scores"].items() if name in ("caption", "lyrics")}
    recalls = [score for name, score in row["scores"].items() if name not in parts]
    if recalls:
        parts["metas"] = sum(recalls) / len(recalls)
    weights = row.get("weights")
    named = WEIGHTS if weights is None else {name.replace("metadata", "metas"): w for name, w in weights.items()}
    assert weighted_mean(parts, named)[0] == pytest.approx(row["reward"], abs=1e-12)


@pytest.mark.parametrize("row", rows(SCORES, "per_condition"), ids=lambda row: row["caption"] or "no caption")
def test_scores_by_field(lm, row):
    fields = {name: value for name, value in row["metadata"].items() if value is not None}
    described = descriptions({**fields, "caption": row["caption"]}, row["lyrics"], "fields")
    got = score_descriptions(lm, PROMPTS, described, scale=0.1, top_k=row["topk"])
    scores = {**got.fields, "caption": got.caption, "lyrics": got.lyrics}
    want = row["scores"]
    differing = quoted_fields(fields)
    assert {name for name, score in scores.items() if score is not None} == want.keys()
    for name in want.keys() - differing:
        assert scores[name] == pytest.approx(want[name], abs=SCORE_ATOL)
    for name in differing:
        (quoted,) = token_scores(lm, PROMPTS[0], [f"<think>\n{name}: '{fields[name]}'\n</think>\n"])
        assert quoted.recall(row["topk"]) == pytest.approx(want[name], abs=SCORE_ATOL)
    if not differing:
        assert got.total == pytest.approx(row["global_score"], abs=SCORE_ATOL)


def quoted_fields(fields):
    """Those to which `deviations.FIELD_VALUES` applies."""
    return {name for name in deviations.FIELD_VALUES if isinstance(fields.get(name), str)}


def test_quoted_fields_score_otherwise(lm):
    """On one of many rows both scores may meet by chance."""
    differ = []
    for row in rows(SCORES, "per_condition"):
        fields = {name: value for name, value in row["metadata"].items() if value is not None}
        described = descriptions({**fields, "caption": row["caption"]}, row["lyrics"], "fields")
        found = score_descriptions(lm, PROMPTS, described, scale=0.1, top_k=row["topk"]).fields
        differ += [abs(found[name] - row["scores"][name]) > SCORE_ATOL for name in quoted_fields(fields)]
    if not differ:
        pytest.skip("no row of this folder has such a field")
    assert any(differ)


@pytest.mark.parametrize("name", ALIGNED)
def test_lines(name):
    """Texts and starts of lines, and the LRC made of them."""
    row, maps, pieces = ROWS[name], maps_of(ROWS[name]), PIECES[name]
    if len(pieces) != len(maps.mean):
        with pytest.raises(InvalidInput, match=f"{len(pieces)} lyric tokens for {len(maps.mean)} rows"):
            align(maps, is_sung(pieces), "sharpened")
        return
    seconds = row["duration_seconds"] / maps.mean.shape[1]
    lyrics = timed_lyrics(align(maps, is_sung(pieces), "sharpened"), pieces, seconds)
    got = [(line.text, line.start) for line in lyrics.lines]
    want = [(line["text"], line["start"]) for line in row["sentence_timestamps"]]
    if deviations.lines_differ(pieces):
        assert got != want, deviations.SPLIT_TOKENS
        assert "".join(text for text, _ in got) == "".join(text for text, _ in want).replace("\n", "")
        return
    assert got == want
    written = write_lrc(lyrics, words=False, digits=2).splitlines()
    assert [line for line in written if not re.fullmatch(r"\[\d+:[\d.]+\]", line)] == row["lrc_text"].splitlines()


def test_every_case_is_checked():
    kinds = ("alignment", "dtw_and_median", "lm_score", "lm_stub_model", "end_to_end")
    assert all(case_id.removeprefix("I_scoring/").startswith(kinds) for case_id in case_ids("I_scoring/"))


PATHS = [
    (c["file"], name.removeprefix("path_"))
    for c in cases("I_scoring/dtw_and_median")
    for name in c["tensors"]
    if name.startswith("path_")
]


@pytest.mark.parametrize(("file", "name"), PATHS)
def test_dtw(file, name):
    tensors = load_tensors(file)
    assert dtw(tensors[f"cost_{name}"].double().numpy()).tolist() == tensors[f"path_{name}"].tolist()


@pytest.mark.parametrize("case_id", case_ids("I_scoring/dtw_and_median"))
def test_median_filter(case_id):
    tensors = load_tensors(case(case_id)["file"])
    x = tensors["median_input"]
    for name in (name for name in tensors if re.fullmatch(r"median_\d+", name)):
        assert_close(median_filter(x, int(name.removeprefix("median_"))), tensors[name], rtol=0, atol=1e-6)
    assert_close(median_filter(x[0], 3), tensors["median_2d_3"], rtol=0, atol=1e-6)
    assert_close(median_filter(x[..., :2], 7), tensors["median_too_wide"], rtol=0, atol=1e-6)
