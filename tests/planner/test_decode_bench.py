"""The benchmark compares like with like, and the loop is far ahead of `transformers.generate`."""

import argparse
import json

import pytest

from acestep_core.commands.main import main
from acestep_core.errors import InvalidInput
from acestep_core.planner.decode_bench import BATCHED, OURS, UNBATCHED, add_arguments, measure


def options(*arguments):
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    return parser.parse_args(["--device", "cpu", *arguments])


def test_the_loop_is_much_faster_than_generate():
    """With the real vocabulary. The full measurement gives about 6x for both; this bound holds on a busy machine."""
    result = measure(options("--tokens", "8", "--prompt", "64", "--rounds", "2"))
    assert set(result["seconds_per_token"]) == {OURS, BATCHED, UNBATCHED}
    assert result["speedup"][BATCHED] > 2.5
    assert result["speedup"][UNBATCHED] > 2.5


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
