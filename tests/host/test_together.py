"""Runs side by side: what a node makes for several at once, and that nobody hears of the others."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from acestep_core.errors import AceStepError
from acestep_core.host.client.local import LocalRunner, Wish
from acestep_core.host.graph.context import Folders
from acestep_core.host.graph.likeness import mold_of
from acestep_core.host.graph.workflow import Workflow, parse_workflow
from acestep_core.host.queue.results import Result, RunFailed
from acestep_core.io.audio import read_audio
from tests.host.test_executor import node

PACK = Path(__file__).parent / "fate_pack"


def run(runner: LocalRunner, rows: list[Workflow]) -> list[Result | AceStepError]:
    folders = [runner.folders.output / str(place) for place in range(len(rows))]
    wishes = [Wish(row, folder, f"p{place}") for place, (row, folder) in enumerate(zip(rows, folders, strict=True))]
    return asyncio.run(runner.run_together(wishes))


@pytest.fixture
def runner(tmp_path: Path) -> LocalRunner:
    return LocalRunner(Folders.under(tmp_path), [PACK])


def chain(runner: LocalRunner, first: str, second: str = "s") -> Workflow:
    prompt = {
        "1": node("Choir", text=first, seed=0, size=1),
        "2": node("Choir", text=second, seed=0, size=1, before=["1", 0]),
        "3": node("Fate", text=["2", 0], mark=""),
    }
    return parse_workflow(prompt, runner.registry.definitions())


def test_what_several_ask_of_a_node_is_made_at_once(runner: LocalRunner) -> None:
    assert runner.meeting == {"Choir"}
    found = run(runner, [chain(runner, "a"), chain(runner, "b"), chain(runner, "c")])
    texts = [path.read_text() for result in found if isinstance(result, Result) for path in result.paths]
    assert texts == [f"s3{letter}3" * 10 for letter in "abc"]  # three sang at both nodes
    assert [result.paths[0].parent.name for result in found if isinstance(result, Result)] == ["0", "1", "2"]


def test_one_at_fault_costs_the_others_nothing(runner: LocalRunner) -> None:
    rows = [chain(runner, "a"), chain(runner, "off key"), chain(runner, "b"), chain(runner, "c", "off key")]
    a, failed, b, later = run(runner, rows)
    assert isinstance(failed, RunFailed) and "off key" in str(failed)
    assert isinstance(later, RunFailed) and "'Choir' (2" in str(later)
    texts = [path.read_text() for result in (a, b) if isinstance(result, Result) for path in result.paths]
    assert texts == ["s1a1" * 10, "s1b1" * 10]  # each alone, where one of them was off key


def test_who_has_ended_is_not_waited_for(runner: LocalRunner) -> None:
    short = parse_workflow({"1": node("Fate", text="short", mark="")}, runner.registry.definitions())
    found = run(runner, [short, chain(runner, "a"), chain(runner, "b")])
    assert all(isinstance(result, Result) for result in found)
    assert found[1].paths[0].read_text() == "s2a2" * 10  # type: ignore[union-attr]


def test_alone_nothing_is_different(runner: LocalRunner) -> None:
    result = asyncio.run(runner.run(chain(runner, "a")))
    assert result.paths[0].read_text() == "s1a1" * 10


def test_a_mold_is_all_but_seeds_and_texts(runner: LocalRunner) -> None:
    def mold(**inputs: Any) -> str:
        prompt = {"1": node("Choir", **{"text": "a", "seed": 1, "size": 1} | inputs)}
        return mold_of(parse_workflow(prompt, runner.registry.definitions()))

    assert mold() == mold(seed=2) == mold(text="other") != mold(size=2)


def test_songs_made_together_are_those_made_alone(tmp_path: Path, tiny_root: Path) -> None:
    """The shipped workflow; rows differ in texts and seeds."""
    pack = Path(__file__).parents[2]
    runner = LocalRunner(Folders.under(tmp_path), [pack])
    file = pack / "workflows" / "api" / "text2music.json"
    ground = runner.load(file).with_inputs({"2.duration": "10", "save.filename_prefix": "song"})
    rows = [
        ground.with_inputs({"2.caption": caption, "sampler.seed": seed, "2.lyrics": "la"})
        for caption, seed in (("calm piano", "1"), ("loud drums and brass", "7"))
    ]
    alone = [asyncio.run(runner.run(row, tmp_path / "alone" / str(place))) for place, row in enumerate(rows)]
    together = run(runner, rows)
    for one, other in zip(alone, together, strict=True):
        assert isinstance(other, Result)
        (song,), (mate,) = ([path for path in result.paths if path.suffix == ".flac"] for result in (one, other))
        apart = (read_audio(song)[0] - read_audio(mate)[0]).abs().max()
        assert apart < 2e-4  # a step of 16 bits, and what rounding adds
        records = [json.loads(path.with_suffix(".json").read_text()) for path in (song, mate)]
        assert [record["task"].get("at_once") for record in records] == [None, 2]
