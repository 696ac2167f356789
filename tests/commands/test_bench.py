from __future__ import annotations

import json

import pytest

from acestep_core.commands.main import main


def test_lrc_benchmark_prints_a_table_and_writes_json(tmp_path, capsys):
    target = tmp_path / "lrc.json"
    assert main(["bench", "lrc", "--songs", "1", "--json", str(target)]) == 0
    lines = capsys.readouterr().out.splitlines()
    scenes = json.loads(target.read_text(encoding="utf-8"))["scenes"]
    assert len(lines) == len(scenes) + 2
    assert all(0 <= scene["within"] <= 1 for scene in scenes)
    assert scenes[0]["scene"] == "clean"
    assert scenes[0]["within"] > 0.9


def test_training_benchmark_splits_a_step_and_counts_its_memory(tmp_path, capsys):
    pytest.importorskip("peft")
    target = tmp_path / "train.json"
    flags = ["--seconds", "6", "--rank", "4", "--steps", "1", "--rounds", "1", "--whole", "2", "--device", "cpu"]
    assert main(["bench", "train", *flags, "--json", str(target)]) == 0
    found = json.loads(target.read_text(encoding="utf-8"))
    said = capsys.readouterr().out
    assert "The decoder is" in said and "Steps are" in said and found["settings"]["rank"] == 4
    assert 0 < found["steps_of_run"] < 1
    assert 0 < found["decoder_share"] <= 1 and found["decoder_seconds"]["best"] > 0
    assert 1 <= found["estimate_over_peak"] <= 2, "what is said before is held"
    assert main(["bench", "train", "--steps", "0"]) == 1
