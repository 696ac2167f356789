"""Language-model prompts, plan text and merging against the reference data, byte for byte."""

import re

import pytest

from acestep_core.planner.lm_prompts import (
    chat,
    codes_prompt,
    codes_prompt_unconditional,
    create_prompt,
    format_prompt,
    plan_prompt,
    understand_prompt,
)
from acestep_core.planner.metas import parse_output, serialize_cot
from acestep_core.planner.plan import Plan, merge
from acestep_core.song.description import Song
from acestep_core.vocabulary import LM_INSTRUCTIONS, NO_USER_INPUT
from tests.golden_data import rows, tables
from tests.parity.deviations_planner import lyrics, merged
from tests.parity.upstream_planner import plan_prompt_unconditional, text_prompt_unconditional

PROMPTS, FLOWS = rows("G_prompts/lm_prompts"), rows("G_prompts/lm_flows")
MERGES = [(row, table) for table in tables("G_prompts/request_merge") for row in table["rows"]]


def cot_of(row):
    """The plan that a recorded prompt holds."""
    return re.search("<think>.*?</think>", row["messages"][-1]["content"], re.DOTALL)[0]


def prompt(row):
    caption, lyrics = row["caption"], row["lyrics"]
    negative = NO_USER_INPUT if row["negative_prompt"] is None else row["negative_prompt"]
    match row["mode"]:
        case "cot_conditional":
            return plan_prompt(caption, lyrics)
        case "cot_unconditional":
            return plan_prompt_unconditional(lyrics, negative)
        case "codes_conditional":
            return codes_prompt(caption, lyrics, cot_of(row), "legacy")
        case "codes_unconditional":
            return codes_prompt_unconditional(caption, lyrics, negative, "legacy")
        case "codes_phase_fallback_unconditional":
            return chat("generate", caption)
        case "understand_conditional":
            return understand_prompt(row["messages"][-1]["content"])
        case "understand_unconditional":
            return text_prompt_unconditional("understand", negative)
        case "inspire_conditional" | "inspire_instrumental":
            return create_prompt(caption, instrumental=row["mode"] == "inspire_instrumental")
        case "inspire_unconditional":
            return text_prompt_unconditional("create", negative)
        case "format_conditional":
            return format_prompt(caption, lyrics)
        case "format_unconditional":
            return text_prompt_unconditional("format", negative)
    raise AssertionError(f"unknown mode {row['mode']}")


@pytest.mark.parametrize("row", PROMPTS, ids=lambda row: f"{row['mode']}-{row['input']}")
def test_prompt(row):
    assert prompt(row) == row["rendered_qwen3_style"]


@pytest.mark.parametrize("row", PROMPTS, ids=lambda row: f"{row['mode']}-{row['input']}")
def test_corrected_codes_prompt_leaves_the_turn_open(row):
    """The corrected form is the legacy one without the closed turn, and unconditionally without the song."""
    if row["mode"] == "codes_conditional":
        assert codes_prompt(row["caption"], row["lyrics"], cot_of(row)) + "<|im_end|>\n" == row["rendered_qwen3_style"]
    elif row["mode"] == "codes_unconditional":
        negative = row["negative_prompt"].strip() or NO_USER_INPUT
        want = chat("generate", negative) + "<think>\n\n</think>\n\n"
        assert codes_prompt_unconditional(row["caption"], row["lyrics"], row["negative_prompt"]) == want


@pytest.mark.parametrize("entry", rows("G_prompts/lm_prompts", "cot_formatting"), ids=lambda entry: entry["name"])
def test_cot_text(entry):
    assert serialize_cot(entry["metadata"]) == entry["cot_text"]


def flow_prompt(call):
    """The prompt our modes build for a recorded call."""
    task = next(name for name, text in LM_INSTRUCTIONS.items() if text in call["messages"][0]["content"])
    user = call["messages"][1]["content"]
    if task == "understand":
        return understand_prompt(user)
    if task == "create":
        query, instrumental = re.fullmatch(r"(.*)\n\ninstrumental: (true|false)", user, re.DOTALL).groups()
        return create_prompt(query, instrumental=instrumental == "true")
    if task == "format":
        return format_prompt(*re.fullmatch(r"# Caption\n(.*)\n\n# Lyric\n(.*)", user, re.DOTALL).groups())
    config = call["cfg"]
    if config["generation_phase"] == "cot":
        return plan_prompt(config["caption"], config["lyrics"])
    cot = Plan.from_metas(parse_output(config["cot_text"]).metas).to_cot()
    return codes_prompt(config["caption"], config["lyrics"], cot, "legacy")


@pytest.mark.parametrize("flow", FLOWS, ids=lambda flow: flow["name"])
def test_flow_messages(flow):
    """Each call of a recorded flow says what our prompt for it says."""
    for call in flow["calls"]:
        ours = flow_prompt(call)
        for message in call["messages"]:
            assert f"<|im_start|>{message['role']}\n{message['content']}" in ours


@pytest.mark.parametrize("flow", FLOWS, ids=lambda flow: flow["name"])
def test_flow_result(flow):
    result, fed = flow["result"], flow["lm_outputs_fed"]
    metas = dict(result["metadata"] if isinstance(result, dict) else result[0])
    output = parse_output(fed[0] if fed else "")
    text, _ = metas.pop("lyrics", ""), metas.pop("instrumental", None)
    if output.metas:
        assert output.metas == metas
        assert output.lyrics in ("", lyrics(text))


@pytest.mark.parametrize(("row", "table"), MERGES, ids=[row["name"] for row, _ in MERGES])
def test_merge(row, table):
    """What reaches the DiT: fields the user left open come from the model, the caption if it was asked for."""
    params = table["defaults"] | row["params"]
    given = {name: params[name] for name in ("caption", "lyrics", "bpm", "keyscale", "timesignature")}
    given["bpm"] = given["bpm"] or None
    given["duration"] = params["duration"] if (params["duration"] or 0) > 0 else None
    song = Song(language=params["vocal_language"], **given)
    use_language = params["use_cot_language"] and row["language_model_call"] is not None
    plan = Plan()
    if row["language_model_call"] is not None:
        plan = Plan.of_song(song).or_else(Plan.from_metas(table["lm_metadata_returned"]))
    got = merge(song, plan, caption=params["use_cot_caption"], language=use_language)
    want = merged(row["dit_call"], song, plan, use_language)
    assert (got.caption, got.lyrics) == (want["captions"], want["lyrics"])
    assert (got.bpm, got.keyscale, got.timesignature) == (want["bpm"], want["key_scale"], want["time_signature"])
    assert got.language == want["vocal_language"]
    if want["audio_duration"] is not None:
        assert (got.duration or -1.0) == want["audio_duration"]
