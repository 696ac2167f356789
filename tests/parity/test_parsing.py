"""Reading the language model's output and filtering its logits, against the reference data."""

import re

import pytest
import torch

from acestep_core.options import LMSampling
from acestep_core.planner.metas import parse_output
from acestep_core.planner.plan import Plan
from acestep_core.planner.sampling import choose, draw_keys, guide, keep_top_k
from acestep_core.planner.sampling import penalize_repetition as penalize
from tests.golden_data import case, case_ids, load_tensors, rows, tolerance
from tests.parity.deviations_planner import lyrics, parsed_value, words
from tests.parity.upstream_planner import keep_top_p

PARSING = "H_parsing/lm_output_parsing"
FILTERS = [
    (case_id, name) for case_id in case_ids("H_parsing/lm_sampling_filters") for name in case(case_id)["outputs"]
]


def same(got, value, written):
    """We read what upstream reads in `written`, byte for byte, or what a deviation makes of it."""
    want = parsed_value(value, written)
    return (got if want == value else words(got)) == want


@pytest.mark.parametrize("row", rows(PARSING), ids=lambda row: repr(row["output"])[:60])
def test_output(row):
    output = parse_output(row["output"])
    assert output.metas.keys() == row["metadata"].keys()
    for name, value in row["metadata"].items():
        assert same(output.metas[name], value, row["output"]), name
    assert list(output.codes) == row["code_ints"]
    assert output.lyrics == lyrics(row["lyrics_after_think"])


@pytest.mark.parametrize("row", rows(PARSING, "postprocess_caption"), ids=lambda row: repr(row["value"]))
def test_caption(row):
    caption = parse_output(f"<think>\ncaption:{row['value']}\n</think>").metas.get("caption", "")
    assert same(caption, row["result"], row["value"])


def test_block_captions_keep_their_lines():
    assert parse_output("<think>\ncaption: |-\n  a\n\n  b\n</think>").metas["caption"] == "a\n\nb"
    assert parse_output("<think>\ncaption: >-\n  a\n  b\n</think>").metas["caption"] == "a b"


@pytest.mark.parametrize("row", rows(PARSING, "result_objects"), ids=lambda row: repr(row["metadata"])[:60])
def test_result_fields(row):
    plan = Plan.from_metas(row["metadata"])
    for mode in ("understand", "create", "format"):
        for name in ("caption", "bpm", "duration", "keyscale", "language", "timesignature"):
            assert getattr(plan, name) == row[mode][name]


def filtered(name, tensors):
    """What our function of this name makes of the logits: `top_k_5`, `top_p_0_5`, `top_k_5_then_top_p_0_5`, …"""
    got = logits = tensors["logits"]
    for part in name.split("_then_"):
        kind, *digits = re.fullmatch(r"([a-z_]*[a-z])_?(\d+)?_?(\d+)?", part).groups("")
        number = float(".".join(filter(None, digits)) or 0)
        match kind:
            case "top_k":
                got = keep_top_k(got, int(number))
            case "top_p":
                got = keep_top_p(got, number)
            case "cfg":
                got = guide(got[:1], got[1:2], number)
            case "argmax":
                got = choose(got, draw_keys(range(len(got)), 1)[:, 0], LMSampling(temperature=0))
            case "repetition_penalty":
                seen = torch.zeros_like(logits, dtype=torch.bool).scatter(1, tensors["input_ids"], True)
                got = penalize(got, seen, number)
            case _:
                raise AssertionError(f"unknown filter {name}")
    return got


@pytest.mark.parametrize(("case_id", "name"), FILTERS)
def test_filter(case_id, name):
    tensors = load_tensors(case(case_id)["file"])
    torch.testing.assert_close(filtered(name, tensors), tensors[name], **tolerance(case(case_id)))
