"""The benchmark compares like with like. That all write the same is in `test_decode.py`."""

import argparse
import json

import pytest

from acestep_core.commands.benches.lm_bench import BATCHED, OURS, UNBATCHED, add_arguments, measure
from acestep_core.commands.main import main
from acestep_core.errors import InvalidInput


def options(*arguments):
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    return parser.parse_args(["--device", "cpu", *arguments])


def test_the_loop_and_both_ways_of_generate_are_measured():
    result = measure(options("--tokens", "2", "--prompt", "8", "--rounds", "1"))
    assert set(result["seconds_per_token"]) == {OURS, BATCHED, UNBATCHED}
    best = {name: seconds["best"] for name, seconds in result["seconds_per_token"].items()}
    assert result["speedup"] == {name: best[name] / best[OURS] for name in (BATCHED, UNBATCHED)}


def test_the_command_writes_a_table_and_json(tmp_path, capsys):
    file = tmp_path / "lm.json"
    arguments = ["bench", "lm", "--device", "cpu", "--alone", "--tokens", "2", "--prompt", "8", "--rounds", "1"]
    assert main([*arguments, "--json", str(file)]) == 0
    assert "ms/token" in capsys.readouterr().out
    assert json.loads(file.read_text())["settings"]["tokens"] == 2
    assert main([*arguments, "--json", "-"]) == 0
    assert json.loads(capsys.readouterr().out)["speedup"] == {}


def test_settings_are_checked():
    with pytest.raises(InvalidInput, match="at least 1"):
        measure(options("--tokens", "0"))
