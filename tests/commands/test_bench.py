from __future__ import annotations

import json

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
