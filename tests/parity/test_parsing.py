"""Reading the language model's output and filtering its logits, against the reference data."""

import pytest
import torch

from acestep_core.options import LMSampling
from acestep_core.planner.metas import parse_output
from acestep_core.planner.plan import Plan
from acestep_core.planner.sampling import choose, draw_keys, guide, keep_top_k, keep_top_p
from acestep_core.planner.sampling import penalize_repetition as penalize
from tests.golden_data import case, load_json, load_tensors
from tests.parity.deviations_planner import lyrics, parsed_value, words

PARSING = load_json("H_parsing/lm_output_parsing.json")
FILTERS = load_tensors("H_parsing/lm_sampling_filters.safetensors")


@pytest.mark.parametrize("row", PARSING["rows"], ids=lambda row: repr(row["output"])[:60])
def test_output(row):
    output = parse_output(row["output"])
    got = {name: words(value) for name, value in output.metas.items()}
    assert got == {name: parsed_value(value) for name, value in row["metadata"].items()}
    assert list(output.codes) == row["code_ints"]
    assert output.lyrics == lyrics(row["lyrics_after_think"])


def test_most_outputs_are_read_exactly_as_upstream_reads_them():
    same = [parse_output(row["output"]).metas == row["metadata"] for row in PARSING["rows"]]
    assert sum(same) > 0.8 * len(same)


@pytest.mark.parametrize("row", PARSING["postprocess_caption"], ids=lambda row: repr(row["value"]))
def test_caption(row):
    caption = parse_output(f"<think>\ncaption:{row['value']}\n</think>").metas.get("caption", "")
    assert words(caption) == parsed_value(row["result"])


def test_block_captions_keep_their_lines():
    assert parse_output("<think>\ncaption: |-\n  a\n\n  b\n</think>").metas["caption"] == "a\n\nb"
    assert parse_output("<think>\ncaption: >-\n  a\n  b\n</think>").metas["caption"] == "a b"


@pytest.mark.parametrize("row", PARSING["result_objects"], ids=lambda row: repr(row["metadata"])[:60])
def test_result_fields(row):
    plan = Plan.from_metas(row["metadata"])
    for mode in ("understand", "create", "format"):
        for name in ("caption", "bpm", "duration", "keyscale", "language", "timesignature"):
            assert getattr(plan, name) == row[mode][name]


def filters_tolerance():
    return {"rtol": 0, "atol": float(case("H_parsing/lm_sampling_filters")["checks"]["suggested_atol"])}


@pytest.mark.parametrize("name", sorted(set(FILTERS) - {"logits", "input_ids"}))
def test_filter(name):
    logits = FILTERS["logits"]
    if name.startswith("top_k_5_then_top_p"):
        got = keep_top_p(keep_top_k(logits, 5), 0.5)
    elif name.startswith("top_k_"):
        got = keep_top_k(logits, int(name.removeprefix("top_k_")))
    elif name.startswith("top_p_"):
        got = keep_top_p(logits, float(name.removeprefix("top_p_").replace("_", ".")))
    elif name == "cfg_2":
        got = guide(logits[:1], logits[1:2], 2.0)
    elif name == "argmax":
        got = choose(logits, draw_keys([0, 1, 2], 1)[:, 0], LMSampling(temperature=0))
    else:
        seen = torch.zeros_like(logits, dtype=torch.bool).scatter(1, FILTERS["input_ids"], True)
        got = penalize(logits, seen, 1.3)
    torch.testing.assert_close(got, FILTERS[name], **filters_tolerance())
