"""The benchmark compares like with like. That all write the same is in `test_decode.py`."""

import argparse
import json

import pytest

from acestep_core.commands.benches import lm_bench
from acestep_core.commands.benches.lm_bench import BATCHED, OURS, UNBATCHED, add_arguments, measure
from acestep_core.commands.main import main
from acestep_core.errors import InvalidInput


def options(*arguments):
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    return parser.parse_args(["--device", "cpu", *arguments])


def test_the_loop_and_both_ways_of_generate_are_measured(tmp_path, capsys, monkeypatch):
    file = tmp_path / "lm.json"
    arguments = ["bench", "lm", "--device", "cpu", "--tokens", "2", "--prompt", "8", "--rounds", "1", "--json"]
    assert main([*arguments, str(file)]) == 0
    assert "ms/token" in capsys.readouterr().out
    result = json.loads(file.read_text())
    assert result["settings"]["tokens"] == 2
    assert set(result["seconds_per_token"]) == {OURS, BATCHED, UNBATCHED}
    best = {name: seconds["best"] for name, seconds in result["seconds_per_token"].items()}
    assert result["speedup"] == {name: best[name] / best[OURS] for name in (BATCHED, UNBATCHED)}

    monkeypatch.setattr(lm_bench, "measure", lambda options: result)
    assert main([*arguments, "-"]) == 0
    assert json.loads(capsys.readouterr().out) == result, "nothing else is printed"


def test_settings_are_checked():
    with pytest.raises(InvalidInput, match="at least 1"):
        measure(options("--tokens", "0"))
