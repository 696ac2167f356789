"""The command line as a whole: no mistake ends in a traceback, one JSON for all, help that works."""

from __future__ import annotations

import argparse
import json
import os
import random
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from acestep_core.commands import main as main_module
from acestep_core.commands import packages, serve
from acestep_core.commands.main import COMMANDS, build, main
from acestep_core.errors import AceStepError

ROOT = Path(__file__).parents[2]
VALUES = (
    "", " ", "-", "-1", "0", "7", "99999999999999999999999", "1e999", "nan", "none", "random", "..", "/", "/dev/null/x",
    "x" * 5000, "ü노", "\udcff", "=", ".", "a.b=c", "[", "{}", "~", "http://[", "http://a:b", "song.flac", "base",
    "3:20", "1,0.5", "%", "$HOME",
)  # fmt: skip
NEEDED = {
    "song": ["calm", "--duration=10"],
    "run": ["text2music"],
    "queue": ["text2music"],
    "serve": [],
    "workflows": [],
    "import": ["nowhere.json"],
    "completion": ["bash"],
}


@pytest.fixture(scope="module")
def parser() -> argparse.ArgumentParser:
    return build()[0]


def commands(parser: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    return next(a.choices for a in parser._actions if isinstance(a, argparse._SubParsersAction))


@pytest.fixture
def nothing_heavy(monkeypatch, tmp_path, tiny_root):
    """What would compute, serve or ask a server says no instead."""
    from acestep_core.host.client import client, local
    from acestep_core.pipeline import generation

    def refuse(*_, **__):
        raise AceStepError("Enough.")

    monkeypatch.setattr(generation, "make", refuse)
    monkeypatch.setattr(local.LocalRunner, "run", refuse)
    monkeypatch.setattr(client, "_RETRIES", 1)
    monkeypatch.setattr(serve, "_serve", refuse)
    monkeypatch.setenv("ACESTEP_CHECKPOINTS", str(tiny_root))
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("command", NEEDED)
def test_no_value_of_any_option_ends_in_a_traceback(command, parser, nothing_heavy, monkeypatch, capsys):
    draw = random.Random(command)
    built = build()
    monkeypatch.setattr(main_module, "build", lambda: built)
    flags = [a for a in commands(parser)[command]._actions if a.option_strings and a.dest not in ("help", "version")]
    for action in flags:
        flag = action.option_strings[-1]
        texts = [flag] if action.nargs == 0 else [f"{flag}={value}" for value in draw.sample(VALUES, 3)]
        for text in texts:
            try:
                status = main([command, *NEEDED[command], text])
            except SystemExit as refused:  # by argparse, with the usage
                status = refused.code
            said = capsys.readouterr()
            assert status in (0, 1, 2), text
            assert "Traceback" not in said.err and (status == 0 or said.err.strip()), text


@pytest.mark.parametrize("value", VALUES)
def test_no_file_ends_in_a_traceback(value, nothing_heavy, capsys):
    for command in (["run", value], ["models", "check", value], ["queue", value], ["models", "list", value]):
        try:
            status = main(command)
        except SystemExit as refused:
            status = refused.code
        assert status in (0, 1, 2) and "Traceback" not in capsys.readouterr().err


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[" * 200_000, b"\xff\xfe\x00", b"fLaC", b"ID3\x04\x00", b"{}", b"[1]", b"null"]
)
@pytest.mark.parametrize("name", ["a.json", "a.flac"])
def test_no_content_of_a_file_ends_in_a_traceback(content, name, nothing_heavy, tmp_path, capsys):
    (tmp_path / name).write_bytes(content)
    assert main(["run", name]) == 1
    assert main(["song", "a", "--duration=10", "--source", name, "--task=cover", "--lyrics", name]) == 1
    said = capsys.readouterr().err.splitlines()
    assert all(line.startswith(("acestep: ", "Note: ", "Using ")) for line in said) and len(said) >= 2


def test_a_port_that_is_none_is_refused(capsys):
    for port in ("99999", "-1", "x"):
        with pytest.raises(SystemExit):
            main(["serve", f"--port={port}"])
    assert "0 to 65535" in capsys.readouterr().err


def test_a_folder_that_cannot_be_written_is_told_before_the_song_is_made(nothing_heavy, tmp_path, capsys):
    (tmp_path / "file").write_text("")
    assert main(["song", "a", "--duration", "10", "-o", str(tmp_path / "file" / "song.flac")]) == 1
    assert "cannot be created" in capsys.readouterr().err
    assert main(["run", "text2music", "--output", str(tmp_path / "file" / "x")]) == 1
    assert "acestep: " in capsys.readouterr().err


@pytest.mark.parametrize(
    "error", [PermissionError(13, "Permission denied", "/x"), OSError(28, "No space left on device"), TimeoutError()]
)
def test_what_the_system_refuses_is_one_sentence(error, nothing_heavy, monkeypatch, capsys):
    from acestep_core.pipeline import generation

    def fail(*_, **__):
        raise error

    monkeypatch.setattr(generation, "make", fail)
    assert main(["song", "a", "--duration", "10", "--json"]) == 1
    said = capsys.readouterr()
    assert said.err.splitlines()[-1].startswith("acestep: The system refused") and said.err.endswith(".\n")
    assert json.loads(said.out) == {"error": said.err.splitlines()[-1].removeprefix("acestep: ")}


def test_torch_that_finds_no_virtual_memory(monkeypatch, capsys):
    """Where the page file of Windows is small, the first to say so is often a library that torch loads."""

    def fail():
        raise OSError('[WinError 1455] The paging file is too small. Error loading "cublas64_12.dll".')

    monkeypatch.setattr(main_module, "build", fail)
    assert main(["workflows"]) == 1
    assert capsys.readouterr().err == "acestep: Windows has too little virtual memory; enlarge the page file.\n"


def test_a_missing_package_is_named_before_any_work(monkeypatch, capsys):
    monkeypatch.setitem(packages.PACKAGES, "no_such_package", "no-such-package")
    assert main(["song", "a", "--source", "/no/such/file"]) == 1
    said = capsys.readouterr().err
    assert f"{sys.executable} -m pip install no-such-package`" in said and said.count("\n") == 1


def test_a_package_that_cannot_be_imported_is_named(monkeypatch, capsys):
    def fail():
        raise ModuleNotFoundError("No module named 'PIL'", name="PIL.Image")

    monkeypatch.setattr(main_module, "build", fail)
    assert main(["workflows"]) == 1
    assert "pip install Pillow`" in capsys.readouterr().err


def test_the_folder_of_commands_is_the_command_from_anywhere(tmp_path):
    """Also for a Python that looks in its own places only (-I), as that of ComfyUI's portable build does."""
    pack = tmp_path / "custom nodes" / "acestep-nodes"
    shutil.copytree(ROOT / "acestep_core", pack / "acestep_core", ignore=shutil.ignore_patterns("__pycache__"))
    folder = pack / "acestep_core" / "commands"
    said = subprocess.run([sys.executable, "-I", folder, "--version"], capture_output=True, text=True, cwd=tmp_path)
    assert said.stdout.startswith("acestep-nodes ") and not said.returncode, said.stderr


def test_the_packages_are_those_of_the_project():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    everywhere = [name for name in project["dependencies"] if ";" not in name]
    assert sorted(packages.PACKAGES.values()) == sorted(re.split("[>=]", name)[0] for name in everywhere)
    lines = (ROOT / "requirements.txt").read_text().splitlines()[1:]
    assert sorted(set(project["dependencies"]) - set(everywhere)) == [line for line in lines if ";" in line]
    beside = [re.split("[>=]", line)[0] for line in lines if ";" not in line]
    assert sorted(beside) == sorted(set(packages.PACKAGES.values()) - {"torch"}), "ComfyUI brings its own torch"


def test_warnings_are_our_own_and_errors_everyones():
    say = (
        "import logging; from acestep_core.commands import main; main._log({0})\n"
        "for name in ('acestep_core.io', 'another'): logging.getLogger(name).warning(name + ' warns')\n"
        "logging.getLogger('another').error('broken')"
    )
    said = {on: subprocess.run([sys.executable, "-c", say.format(on)], capture_output=True, text=True) for on in (0, 1)}
    assert said[0].stderr.splitlines() == ["acestep_core.io warns", "broken"]
    assert said[1].stderr.splitlines() == ["acestep_core.io warns", "another warns", "broken"]


def test_ctrl_c_while_things_are_imported(monkeypatch, capsys):
    def interrupted(name):
        raise KeyboardInterrupt

    monkeypatch.setattr(main_module, "import_module", interrupted)
    assert main(["song", "a"]) == 130
    assert capsys.readouterr().err == "acestep: Cancelled.\n"


def test_a_closed_pipe_ends_quietly():
    command = [sys.executable, "-m", "acestep_core.commands.main", "workflows"]
    read, write = os.pipe()
    os.close(read)
    ended = subprocess.run(command, stdout=write, stderr=subprocess.PIPE, cwd=ROOT, check=False)
    os.close(write)
    assert (ended.returncode, ended.stderr) == (1, b"")


@pytest.mark.parametrize("closed", ["stdin", "stdout", "stderr"])
def test_streams_that_were_closed_are_no_mistake(closed, nothing_heavy, monkeypatch, capsys):
    """As `acestep … >&-`, or a service without a terminal."""
    monkeypatch.setattr(sys, closed, None)
    assert main(["workflows"]) == 0
    assert main(["song", "a", "--lyrics", "-" if closed == "stdin" else "no such file"]) == 1


def test_words_that_no_command_takes_are_json_too(capsys):
    assert main(["song", "a", "--seed", "abc", "--json"]) == 2
    said = capsys.readouterr()
    assert json.loads(said.out) == {"error": "argument --seed: invalid seed value: 'abc'."}
    assert said.err == "acestep: argument --seed: invalid seed value: 'abc'.\n"
    with pytest.raises(SystemExit):
        main(["song", "a", "--seed", "abc"])
    assert "usage: acestep song" in capsys.readouterr().err


def test_titles_of_any_script_are_printed_on_any_terminal(nothing_heavy, tmp_path):
    environment = {**os.environ, "PYTHONIOENCODING": "ascii", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "acestep_core.commands.main", "run", "노래.json"]
    ended = subprocess.run(command, capture_output=True, cwd=tmp_path, env=environment, check=False)
    assert ended.returncode == 1 and "노래.json" in ended.stderr.decode("utf-8")
    assert b"Traceback" not in ended.stderr


@pytest.mark.parametrize("command", COMMANDS)
def test_examples_of_the_help_can_be_typed(command, parser):
    examples = [line.strip() for line in (commands(parser)[command].epilog or "").splitlines()[1:]]
    assert examples or command in ("workflows", "bench")
    for example in examples:
        words = shlex.split(re.split(r" [|>]", example)[0])
        assert words[:2] == ["acestep", command]
        parser.parse_args(words[1:])


def test_help_of_every_command_can_be_shown(parser, capsys):
    for command in COMMANDS:
        with pytest.raises(SystemExit) as ended:
            parser.parse_args([command, "--help"])
        assert ended.value.code == 0
    assert "lo-fi piano over soft rain" in capsys.readouterr().out


def test_workflows_are_listed_with_a_line_each(capsys):
    names = {path.stem for path in (ROOT / "workflows" / "api").glob("*.json")}
    assert main(["workflows"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert {line.split()[0] for line in lines} == names and len(lines) == len(names)
    assert all(re.fullmatch(r"\w+ +[^:]+: .+\.", line) for line in lines)
    assert main(["workflows", "--json"]) == 0
    told = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert {entry["name"] for entry in told} == names and all(entry["description"] for entry in told)


def test_a_name_that_is_nearly_one_is_guessed(capsys):
    assert main(["run", "text2musik"]) == 1
    assert "did you mean text2music?" in capsys.readouterr().err


def complete(script: str, *words: str) -> list[str]:
    """What bash offers for the last word."""
    line = " ".join(shlex.quote(word) for word in words)
    ask = f"{script}\nCOMP_WORDS=({line}); COMP_CWORD={len(words) - 1}; _acestep; printf '%s\\n' \"${{COMPREPLY[@]}}\""
    return subprocess.run(["bash", "-c", ask], capture_output=True, text=True, check=True).stdout.split()


def test_completion(capsys):
    assert main(["completion", "bash"]) == 0
    script = capsys.readouterr().out
    assert complete(script, "acestep", "so") == ["song"]
    assert complete(script, "acestep", "song", "x", "--best") == ["--best-of"]
    assert complete(script, "acestep", "song", "x", "--method", "he") == ["heun"]
    assert "text2music" in complete(script, "acestep", "run", "te")
    assert complete(script, "acestep", "completion", "z") == ["zsh"]
    assert main(["completion", "zsh"]) == 0 and "bashcompinit" in capsys.readouterr().out
    assert main(["completion", "fish"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert any("seen_subcommand_from song' -l method -r -a 'euler heun sde'" in line for line in lines)


@pytest.mark.parametrize(("flag", "value"), [("--guidance", "nan"), ("--timesteps", "1,2,banana"), ("--steps", "2.5")])
def test_a_value_of_another_kind_is_refused_in_words(flag, value, nothing_heavy, capsys):
    with pytest.raises(SystemExit):
        main(["song", "x", flag, value])
    said = capsys.readouterr().err.splitlines()[-1]
    assert said.startswith(f"acestep song: error: argument {flag}: must be a") and said.endswith(f", not {value!r}")
