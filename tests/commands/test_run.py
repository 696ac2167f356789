"""`acestep run`."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import pytest

from acestep_core.commands import run, running
from acestep_core.errors import AceStepError, GraphError, InvalidInput
from acestep_core.host.graph.workflow import parse_workflow
from acestep_core.io.tags import read_tags, write_tags
from tests.host.migrate.native_graphs import TEMPLATES

LAB_PACK = Path(__file__).parents[1] / "host" / "lab_pack"
EXAMPLE = LAB_PACK / "example_workflows" / "lab_basic.json"


def options_of(module: Any, *arguments: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    module.add_parser(parser.add_subparsers())
    return parser.parse_args([module.__name__.rsplit(".", 1)[1], *arguments])


def call(tmp_path: Path, *arguments: str) -> int:
    output = str(tmp_path / "output")
    fixed = ("--pack", str(LAB_PACK), "--base-directory", str(tmp_path), "--output", output)
    return run.run(options_of(run, *arguments, *fixed))


def test_a_canvas_file_becomes_a_song_that_holds_its_graph(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(tmp_path, str(EXAMPLE), "--set", "tone.caption=lo-fi piano", "--set", "2.seconds=0.5") == 0
    path = Path(capsys.readouterr().out.strip())
    assert path == tmp_path / "output" / "audio" / "lab_00001_.flac"
    tags = read_tags(path)
    assert json.loads(tags["prompt"])["2"]["inputs"]["caption"] == "lo-fi piano"
    values = {node["id"]: node["widgets_values"] for node in json.loads(tags["workflow"])["nodes"]}
    assert values[2][0] == 0.5 and values[2][6] == "lo-fi piano"


def test_json_and_api_format(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    prompt = {
        "1": {"class_type": "PrimitiveString", "inputs": {"value": "x"}, "_meta": {"title": "Say"}},
        "2": {"class_type": "PreviewAny", "inputs": {"source": ["1", 0]}},
    }
    file = tmp_path / "api.json"
    file.write_text(json.dumps(prompt))
    assert call(tmp_path, str(file), "--set", "say.value=hello", "--json") == 0
    result = json.loads(capsys.readouterr().out)
    assert result["texts"] == {"2": ["hello"]} and result["files"] == {}


def test_local_files_are_taken_along(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    call(tmp_path, str(EXAMPLE), "--set", "tone.seconds=0.2")
    song = capsys.readouterr().out.strip()
    prompt = {
        "1": {"class_type": "LoadAudio", "inputs": {"audio": "?"}},
        "2": {"class_type": "SaveAudio", "inputs": {"audio": ["1", 0], "filename_prefix": "copy"}},
    }
    file = tmp_path / "api.json"
    file.write_text(json.dumps(prompt))
    assert call(tmp_path, str(file), "--set", f"1.audio={song}") == 0
    assert (tmp_path / "input" / Path(song).name).is_file()
    assert (tmp_path / "output" / "copy_00001_.flac").is_file()


def test_the_same_inputs_give_the_same_bytes(tmp_path: Path) -> None:
    for _ in range(2):
        call(tmp_path, str(EXAMPLE), "--set", "tone.seconds=0.2")
    first, second = sorted((tmp_path / "output" / "audio").iterdir())
    assert first.read_bytes() == second.read_bytes()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (["tone.steps=9999"], "bigger than max"),
        (["nobody.x=1"], "names no node"),
        (["tone.steps=many"], "tone.steps takes a whole number, not 'many'."),
        (["tone.steps=4.5"], "a whole number"),
        (["tone"], "NODE.input=value"),
    ],
)
def test_what_is_wrong_is_said(settings: list[str], message: str, tmp_path: Path) -> None:
    arguments = [part for setting in settings for part in ("--set", setting)]
    with pytest.raises(AceStepError, match=message):
        call(tmp_path, str(EXAMPLE), *arguments)
    assert not list((tmp_path / "output").rglob("*.flac"))


def test_what_workers_are_asked_for_must_make_sense(tmp_path: Path) -> None:
    rows = tmp_path / "rows.csv"
    rows.write_text("song.caption\na\n")
    for more in (
        [],
        ["--batch", str(rows), "--workers", "0"],
        ["--batch", str(rows), "--gpus-per-worker", "-1"],
        ["--batch", str(rows), "--rows-per-folder", "-1"],
    ):
        with pytest.raises(InvalidInput):
            run.run(options_of(run, "text2music", "--engine", "ray", "--base-directory", str(tmp_path), *more))


@pytest.mark.parametrize("name", ["split", "blueprint"])
def test_what_can_be_carried_over_is_pointed_at_the_command_for_it(name: str, tmp_path: Path) -> None:
    file = tmp_path / f"my {name}.json"
    file.write_text(json.dumps(TEMPLATES[name]), encoding="utf-8")
    with pytest.raises(GraphError, match="of ComfyUI itself") as told:
        run.run(options_of(run, str(file), "--base-directory", str(tmp_path)))
    assert str(told.value).endswith(f", or turn it into this pack's nodes with `acestep import '{file}'`.")


def test_what_cannot_be_carried_over_is_not(tmp_path: Path) -> None:
    file = tmp_path / "model.json"
    file.write_text(json.dumps({"1": {"class_type": "UNETLoader", "inputs": {"unet_name": "x"}}}))
    with pytest.raises(GraphError, match="start from the workflow text2music") as told:
        run.run(options_of(run, str(file), "--base-directory", str(tmp_path)))
    assert "acestep import" not in str(told.value)


def test_a_request_of_another_program_is_pointed_there_too(tmp_path: Path) -> None:
    file = tmp_path / "request.json"
    file.write_text(json.dumps({"caption": "lo-fi", "lyrics": "[Verse]\nla", "audio_duration": 30}))
    with pytest.raises(GraphError, match="acestep import"):
        run.run(options_of(run, str(file), "--base-directory", str(tmp_path)))


@pytest.mark.parametrize(
    "wrong", [["nowhere"], ["text2music", "--set", "song.x=1"], ["text2music", "--set", "sampler.seed=-7"]]
)
def test_what_is_refused_leaves_no_folder(wrong: list[str], tmp_path: Path) -> None:
    with pytest.raises(AceStepError):
        run.run(options_of(run, *wrong, "--base-directory", str(tmp_path), "--output", str(tmp_path / "output")))
    assert not list(tmp_path.iterdir())


def test_the_recording_of_a_shipped_workflow_comes_along(tmp_path: Path) -> None:
    """Also in a folder where nothing was ever made."""
    place = ("--base-directory", str(tmp_path), "--output", str(tmp_path / "output"))
    workflow = tmp_path / "own.json"
    prompt = {
        "1": {"class_type": "LoadAudio", "inputs": {"audio": "acestep_example_song.mp3"}},
        "2": {"class_type": "SaveAudio", "inputs": {"audio": ["1", 0], "filename_prefix": "copy"}},
    }
    workflow.write_text(json.dumps(prompt))
    assert run.run(options_of(run, str(workflow), *place)) == 0
    assert (tmp_path / "output" / "copy_00001_.flac").is_file()


def test_a_folder_that_is_no_pack(tmp_path: Path) -> None:
    with pytest.raises(GraphError, match="no node pack"):
        run.run(options_of(run, str(EXAMPLE), "--pack", str(tmp_path), "--base-directory", str(tmp_path)))


def test_a_batch_and_its_repetition(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = tmp_path / "rows.csv"
    rows.write_text("tone.seconds,tone.seed,tone.steps\n0.1,1,\n0.2,2,9999\n0.3,3,2\n")
    assert call(tmp_path, str(EXAMPLE), "--batch", str(rows), "--json") == 1
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["row"] for line in lines] == [1, 2, 3]
    assert "bigger than max" in lines[1]["error"]
    assert [path.name for path in sorted((tmp_path / "output" / "audio").iterdir())] == [
        "lab_00001_.flac",
        "lab_00002_.flac",
    ]
    rows.write_text("tone.seconds,tone.seed,tone.steps\n0.1,1,\n0.2,2,3\n0.3,3,2\n")
    assert call(tmp_path, str(EXAMPLE), "--batch", str(rows), "--json") == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["repeated"] for line in lines] == [True, False, True]
    assert len(list((tmp_path / "output" / "audio").iterdir())) == 3


def seeds_in(folder: Path) -> list[int]:
    """The seed of every song, by their names."""
    return [json.loads(read_tags(path)["prompt"])["2"]["inputs"]["seed"] for path in sorted(folder.glob("*.flac"))]


def test_a_song_runs_what_made_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    call(tmp_path, str(EXAMPLE), "--set", "tone.seconds=0.2", "--set", "tone.seed=5")
    song = capsys.readouterr().out.strip()
    assert call(tmp_path, song) == 0
    again = Path(capsys.readouterr().out.strip())
    assert again.name == "lab_00002_.flac" and again.read_bytes() == Path(song).read_bytes()
    assert call(tmp_path, song, "--set", "tone.seconds=0.4", "--json") == 0
    assert list(json.loads(capsys.readouterr().out)["seeds"].values()) == [[5]]


def test_of_canvas_and_prompt_in_a_song_the_one_that_ran_counts(tmp_path: Path) -> None:
    call(tmp_path, str(EXAMPLE), "--set", "tone.seconds=0.2", "--set", "tone.seed=5")
    (song,) = (tmp_path / "output" / "audio").iterdir()
    tags = read_tags(song)
    prompt = json.loads(tags["prompt"])
    prompt["2"]["inputs"]["seed"] = 6
    write_tags(song, tags | {"prompt": json.dumps(prompt)})
    call(tmp_path, str(song))
    assert seeds_in(tmp_path / "output" / "audio") == [6, 6]


@pytest.mark.parametrize(("tags", "says"), [({"title": "x"}, "does not hold"), ({"prompt": "{"}, "damaged")])
def test_a_song_without_its_story_is_refused(tags: dict[str, str], says: str, tmp_path: Path) -> None:
    call(tmp_path, str(EXAMPLE), "--set", "tone.seconds=0.2")
    (song,) = (tmp_path / "output" / "audio").iterdir()
    write_tags(song, tags)
    with pytest.raises(GraphError, match=says):
        call(tmp_path, str(song))


def test_seeds_and_repetitions(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    quick, made = (str(EXAMPLE), "--set", "tone.seconds=0.1"), tmp_path / "output" / "audio"
    assert call(tmp_path, *quick, "--seed", "40", "--repeat", "3", "--json") == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["row"] for line in lines] == [1, 2, 3]
    assert [list(line["seeds"].values()) for line in lines] == [[[40]], [[41]], [[42]]]
    assert all(line["seconds"] > 0 and len(line["files"]) == 1 for line in lines)
    assert seeds_in(made) == [40, 41, 42]
    call(tmp_path, *quick, "--set", "tone.seed=9", "--repeat", "2")
    assert ".seed 9; " in capsys.readouterr().err and seeds_in(made)[3:] == [9, 10]
    call(tmp_path, *quick, "--seed", "random", "--repeat", "2")
    call(tmp_path, *quick, "--seed", "-1")
    assert len(set(seeds_in(made))) == 8
    capsys.readouterr()
    call(tmp_path, *quick, "--set", "tone.seed=-1", "--repeat", "2", "--json")
    told = [json.loads(line)["seeds"] for line in capsys.readouterr().out.splitlines()]
    assert [number for line in told for (number,) in line.values()] == seeds_in(made)[8:]
    assert len(set(seeds_in(made))) == 10 and min(seeds_in(made)) >= 0


def test_rows_draw_seeds_once_for_all_runs_of_a_batch(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = tmp_path / "rows.csv"
    rows.write_text("tone.seconds,tone.seed\n0.1,-1\n0.1,-1\n0.1,random\n0.1,7\n")
    assert call(tmp_path, str(EXAMPLE), "--batch", str(rows), "--json") == 0
    first = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    drawn = seeds_in(tmp_path / "output" / "audio")
    assert len(set(drawn)) == 4 and drawn[3] == 7
    assert [list(line["seeds"].values()) for line in first] == [[[seed]] for seed in drawn]
    assert call(tmp_path, str(EXAMPLE), "--batch", str(rows), "--json") == 0
    again = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert all(line["repeated"] for line in again) and [line["seeds"] for line in again] == [
        line["seeds"] for line in first
    ]
    assert call(tmp_path, str(EXAMPLE), "--batch", str(rows), "--json", "--output", str(tmp_path / "other")) == 0
    assert not set(seeds_in(tmp_path / "other" / "audio")[:3]) & set(drawn)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--repeat", "0"), "from 1"),
        (("--repeat", "2", "--batch", "x.csv"), "leave out --repeat"),
        (("--seed", "random", "--batch", "x.csv"), "--seed random"),
        (("--seed", "-3"), "smaller than min"),
    ],
)
def test_runs_that_make_no_sense(arguments: tuple[str, ...], says: str, tmp_path: Path) -> None:
    with pytest.raises(AceStepError, match=says):
        call(tmp_path, str(EXAMPLE), *arguments)


def test_a_graph_without_a_seed_cannot_have_another(tmp_path: Path) -> None:
    file = tmp_path / "api.json"
    file.write_text(json.dumps({"1": {"class_type": "PreviewAny", "inputs": {"source": "x"}}}))
    for arguments in (("--seed", "1"), ("--repeat", "2")):
        with pytest.raises(AceStepError, match="no seed"):
            call(tmp_path, str(file), *arguments)


def test_repetitions_of_a_batch_of_four_share_no_seed() -> None:
    declared = {"Sampler": {"input": {"required": {"seed": ["INT", {}], "batch_size": ["INT", {}]}}}}
    wired = {"class_type": "Sampler", "inputs": {"seed": ["1", 0]}}
    prompt = {"1": {"class_type": "Sampler", "inputs": {"seed": 7, "batch_size": 4}}, "2": wired}
    workflow = parse_workflow(prompt, declared)
    assert [running._seeded(workflow, None, number).seeds() for number in (0, 2)] == [
        {("1", "seed"): 7},
        {("1", "seed"): 15},
    ]
