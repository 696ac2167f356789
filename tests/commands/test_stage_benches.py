"""Benchmarks of stages: that they measure the same work, and that their figures add up. None of them is a bound."""

from __future__ import annotations

import json
import re
import shutil
from xml.etree import ElementTree

import pytest
import torch

from acestep_core.commands.benches import peers, runner, sizes, song_bench
from acestep_core.commands.benches.chart import chart
from acestep_core.commands.benches.dit_bench import step_of
from acestep_core.commands.benches.vae_bench import decoding
from acestep_core.commands.main import main

CPU, QUICK = torch.device("cpu"), ["--device", "cpu", "--rounds", "2"]


@pytest.fixture(autouse=True)
def a_known_machine(monkeypatch):
    """Measuring the machine takes longer than the tests."""
    monkeypatch.setattr(runner.Roofline, "of", lambda device, dtype: runner.Roofline(1e11, 1e10))


def bench(tmp_path, *words):
    file = tmp_path / "result.json"
    assert main(["bench", *words, "--json", str(file)]) == 0
    return json.loads(file.read_text(encoding="utf-8"))


@pytest.mark.parametrize(
    ("words", "names"),
    [
        (["dit", "--seconds", "1", "--alone", "--guided"], [("tiny", 1.0)]),
        (["vae", "--seconds", "1", "2", "--alone"], [("tiny", 1.0), ("tiny", 2.0)]),
        (["vae", "--seconds", "1", "--alone", "--encode"], [("tiny", 1.0)]),
        (["save", "--seconds", "1", "--size", "flac", "mp3"], [("flac", 1.0)] * 2 + [("mp3", 1.0)] * 2),
        (["load"], [("tiny", 0), ("tiny", 0)]),
    ],
)
def test_every_length_gets_a_row(words, names, tmp_path, capsys):
    result = bench(tmp_path, *words, *QUICK)
    assert [(row["size"], row["seconds"]) for row in result["rows"]] == names
    for row in result["rows"]:
        assert 0 < row["best"] <= row["median"] and row["peak_bytes"] >= 0
        if row["seconds"]:
            assert row["realtime"] == pytest.approx(row["seconds"] / row["best"])
    assert all(row["size"] in capsys.readouterr().out for row in result["rows"][:1])


def test_eight_bits_and_operations_of_a_step(tmp_path, capsys):
    ours, int8 = bench(tmp_path, "dit", "--seconds", "1", "--alone", "--int8", "--profile", *QUICK)["rows"]
    assert sum(ours["operations"].values()) == pytest.approx(1) and "mm" in ours["operations"]
    assert list(ours["operations"].values()) == sorted(ours["operations"].values(), reverse=True)
    assert int8["who"].endswith("int8") and 0 < int8["error"] < 0.02 and "operations" not in int8
    told = capsys.readouterr().out
    assert f"{next(iter(ours['operations']))} " in told and "its velocity differs by" in told


def test_cost_is_set_against_length(tmp_path):
    picture = tmp_path / "dit.svg"
    result = bench(tmp_path, "dit", "--seconds", "1", "4", "--alone", "--plot", str(picture), *QUICK)
    (step,), (short, long) = result["growth"], result["rows"]
    assert 4 ** step["exponent"] == pytest.approx(long["best"] / short["best"])
    assert long["flops"] > 3 * short["flops"] > 0
    assert len(ElementTree.fromstring(picture.read_text(encoding="utf-8")).findall(".//{*}circle")) == 2


def test_a_picture_holds_any_name():
    assert "a &lt;b&gt;" in chart("t", [("a <b>", [(30.0, 0.5), (60.0, 1.0)])])


def test_peers_compute_the_same():
    model, draws = sizes.random_model("tiny", CPU, torch.float32), torch.manual_seed
    draws(0)
    with torch.inference_mode():
        found = [doer() for doer in step_of(model, peers.diffusers_dit(model), 300, 1, True).values()]
    torch.testing.assert_close(found[0], found[1].sample, rtol=1e-3, atol=1e-5)


def test_in_bf16_the_dit_of_diffusers_computes_in_fp32_too():
    model = sizes.random_model("tiny", CPU, torch.bfloat16)
    torch.manual_seed(0)
    with torch.inference_mode():
        doers = step_of(model, peers.diffusers_dit(model), 300, 1, False)
        ours, same, exact = (doer() for doer in doers.values())
    assert list(doers) == ["acestep", "diffusers", "diffusers, fp32"]
    assert (ours.dtype, same.sample.dtype, exact.sample.dtype) == (torch.bfloat16, torch.bfloat16, torch.float32)
    torch.testing.assert_close(ours.float(), exact.sample, rtol=0.05, atol=0.05)


def test_the_vae_of_diffusers_computes_the_same():
    vae = sizes.random_vae("tiny", CPU, torch.float32)
    with torch.inference_mode():
        ours, theirs, _ = (doer() for doer in decoding(vae, peers.diffusers_vae(vae), 1, 8).values())
    torch.testing.assert_close(ours, theirs[1].sample, rtol=1e-3, atol=1e-5)


def test_the_text_encoder_of_transformers_computes_the_same():
    qwen, ids = sizes.random_qwen("tiny", 500, CPU, torch.float32), torch.arange(40)[None]
    with torch.inference_mode():
        theirs = peers.transformers_qwen(qwen)(ids).last_hidden_state
        torch.testing.assert_close(qwen(ids), theirs, rtol=1e-3, atol=1e-4)


def test_doers_take_turns_and_the_first_is_ours():
    order = []
    case = runner.Case("x", 2, 3, {name: lambda name=name: order.append(name) for name in "ab"}, reads=1)
    rows = runner.rows_of(case, 4, CPU, runner.Roofline(1.0, 1.0))
    assert order[3:] == list("abbaabba"), "after counting and warming up"
    assert [row["who"] for row in rows] == ["a", "b"] and rows[0]["ours_is"] == 1


def test_a_song_tells_its_stages_and_what_is_outside(tmp_path, tiny_root, monkeypatch):
    monkeypatch.setattr(
        song_bench, "build", lambda folder, size: shutil.copytree(tiny_root, folder, dirs_exist_ok=True)
    )
    monkeypatch.setattr(runner, "peak_bytes", lambda song, device: 0)  # which would make one more
    (row,) = bench(tmp_path, "song", "--seconds", "10", "--device", "cpu", "--rounds", "1")["rows"]
    assert {"sample", "decode"} <= row["stages"].keys() and 0 < row["outside"] < 1


def test_a_plan_is_set_beside_its_own_forwards(tmp_path):
    found = bench(tmp_path, "plan", "--tokens", "20", *QUICK)
    ours, forwards = (row for row in found["rows"] if row["size"] == "tiny plan")
    assert [row["size"] for row in found["rows"]] == ["tokenizer", "grammar", "tiny plan", "tiny plan"]
    assert (ours["who"], forwards["who"]) == ("acestep", "its forwards alone")
    told = re.fullmatch(r"(\d+) tokens in (\d+) forwards", ours["note"])
    assert told and 20 > int(told[1]) > int(told[2]) > 1, "what the grammar forces goes through at once"


def test_floors_are_those_of_the_real_sizes(tmp_path):
    rows = bench(tmp_path, "floors", "--device", "cpu", "--seconds", "30", "--size", "2b", "vae", "1.7b")["rows"]
    turbo, guided, vae, lm = rows
    assert turbo["flops"] == pytest.approx(9.1e12, rel=0.05)
    assert guided["flops"] / turbo["flops"] == pytest.approx(2 * 50 / 8, rel=0.01)
    assert vae["flops"] == pytest.approx(121.9e9 * 30, rel=0.02)
    assert lm["reads"] == pytest.approx(1037e9 * 2, rel=0.1), "fp32: twice the bytes of bf16"
    assert turbo["floor"] == pytest.approx(turbo["flops"] / 1e11)


def test_a_comparison_finds_what_became_worse(tmp_path, capsys):
    def result(name, **ratios):
        path = tmp_path / name
        path.write_text(json.dumps({"benchmark": "dit", "ratios": ratios}), encoding="utf-8")
        return str(path)

    old = result("old", fast=2.0, near=0.8, gone=1.0)
    assert main(["bench", "compare", old, result("same", fast=1.9, near=0.9)]) == 0
    assert main(["bench", "compare", old, result("worse", fast=1.8, near=0.8)]) == 1
    out = capsys.readouterr().out
    assert "worse" in out and "gone" in out
    assert main(["bench", "compare", old, result("allowed", fast=1.8, near=0.8), "--allow", "15"]) == 0


NO_RESULTS = (
    "",
    "{}",
    "[]",
    '{"benchmark": "dit", "ratios": {"a": "b"}}',
    '{"benchmark": "lm", "ratios": {"a": 1}}',
    '{"benchmark": "dit", "ratios": {"b": 1}}',
)


@pytest.mark.parametrize("text", NO_RESULTS)
def test_what_is_no_result_of_the_same_is_refused(text, tmp_path, capsys):
    old, new = tmp_path / "old", tmp_path / "new"
    old.write_text('{"benchmark": "dit", "ratios": {"a": 1}}', encoding="utf-8")
    new.write_text(text, encoding="utf-8")
    assert main(["bench", "compare", str(old), str(new)]) == 1
    assert capsys.readouterr().err.strip().endswith(".")


def test_settings_are_checked(capsys):
    assert main(["bench", "dit", "--rounds", "0"]) == 1
    assert main(["bench", "host", "--device", "cpu", "--plot", "x.svg", "--threads", "0"]) == 1
