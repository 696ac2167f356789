"""What runs, what is reused, how lists, lazy inputs, blockers, coroutines and cancels behave."""

from __future__ import annotations

import asyncio
import gc
import threading
import weakref
from pathlib import Path
from typing import Any

import pytest

from acestep_core.host.graph import stock_nodes
from acestep_core.host.graph.context import Folders
from acestep_core.host.graph.packs import Pack, Registry, load_pack
from acestep_core.host.graph.validation import validate
from acestep_core.host.queue.cache import Entry
from acestep_core.host.queue.executor import Executor
from acestep_core.host.queue.job import Job, Outcome
from tests.host.lab_site import LAB_PACK


class Recorder:
    """A sink that keeps events."""

    def __init__(self) -> None:
        self.events: list[tuple[str, dict[str, Any]]] = []

    def send(self, event: str, data: dict[str, Any], client: str | None = None) -> None:
        self.events.append((event, data))

    def preview(self, image: Any, about: dict[str, Any], client: str | None) -> None:
        self.events.append(("preview", about))

    def text(self, node_id: str, prompt_id: str, text: str, client: str | None) -> None:
        self.events.append(("text", {"node": node_id, "text": text}))

    def watching(self, client: str | None) -> bool:
        return True


class Bench:
    """An executor with the lab pack."""

    def __init__(self, tmp_path: Path, *packs: Pack) -> None:
        self.sink = Recorder()
        self.registry = Registry([*stock_nodes.PACKS, *packs, load_pack(LAB_PACK)])
        self.executor = Executor(self.registry, Folders.under(tmp_path), self.sink)

    def run(self, prompt: dict[str, Any], stop: threading.Event | None = None) -> Outcome:
        report = validate(prompt, self.registry)
        assert report.error is None, report
        self.sink.events.clear()
        job = Job(0, "job", prompt, tuple(report.outputs), client="me")
        return asyncio.run(self.executor.run(job, stop))

    @property
    def ran(self) -> list[str]:
        return [data["node"] for event, data in self.sink.events if event == "executing"]


def node(kind: str, /, **inputs: Any) -> dict[str, Any]:
    return {"class_type": kind, "inputs": inputs}


def text_of(outcome: Outcome, node_id: str) -> list[str]:
    assert outcome.success, outcome.messages
    return outcome.outputs[node_id]["text"]


def test_only_what_an_output_needs_runs(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    prompt = {"a": node("LabWord", text="x"), "b": node("LabWord", text="y"), "c": node("LabText", text=["a", 0])}
    assert text_of(bench.run(prompt), "c") == ["x"]
    assert bench.ran == ["a", "c"]


def test_what_the_next_prompt_cannot_use_is_gone_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Songs of a night must not wait for the collector of cycles."""
    bench, made = Bench(tmp_path), []
    put = bench.executor.cache.put

    def noted(key: str | None, entry: Entry) -> None:
        made.append(weakref.ref(entry))
        put(key, entry)

    monkeypatch.setattr(bench.executor.cache, "put", noted)
    gc.collect()
    gc.disable()
    try:
        for text in "ab":
            bench.run({"1": node("LabWord", text=text), "2": node("LabText", text=["1", 0])})
    finally:
        gc.enable()
    assert [entry() is None for entry in made] == [True, True, False, False]


def test_results_are_reused_until_something_upstream_changes(tmp_path: Path) -> None:
    bench = Bench(tmp_path)

    def prompt(first: str, second: str) -> dict[str, Any]:
        return {
            "1": node("LabWord", text=first),
            "2": node("LabWord", text=["1", 0], tail=second),
            "3": node("LabText", text=["2", 0]),
        }

    bench.run(prompt("a", "b"))
    assert bench.ran == ["1", "2", "3"]
    assert text_of(bench.run(prompt("a", "b")), "3") == ["ab"]
    assert bench.ran == []
    bench.run(prompt("a", "c"))
    assert bench.ran == ["2", "3"]
    bench.run(prompt("b", "c"))
    assert bench.ran == ["1", "2", "3"]
    bench.run(prompt("a", "c"))
    assert bench.ran == ["1", "2", "3"]  # what a prompt does not use is dropped


def test_an_undeclared_input_neither_arrives_nor_changes_the_key(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    prompt = {"1": node("LabWord", text="a", audioUI="x?rand=1"), "2": node("LabText", text=["1", 0])}
    assert text_of(bench.run(prompt), "2") == ["a"]
    prompt["1"]["inputs"]["audioUI"] = "x?rand=2"
    bench.run(prompt)
    assert bench.ran == []


def test_a_node_with_the_same_inputs_elsewhere_reuses_the_result(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.run({"1": node("LabWord", text="a"), "2": node("LabText", text=["1", 0])})
    outcome = bench.run({"7": node("LabWord", text="a"), "9": node("LabText", text=["7", 0])})
    assert text_of(outcome, "9") == ["a"]
    assert bench.ran == []


def test_not_a_number_means_always_run(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    prompt = {"1": node("LabAlways", text="a"), "2": node("LabText", text=["1", 0])}
    bench.run(prompt)
    bench.run(prompt)
    assert bench.ran == ["1", "2"]


def test_node_objects_live_as_long_as_their_node(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    runs = []
    for word in ("a", "b", "c"):
        outcome = bench.run({"1": node("LabWord", text=word), "2": node("LabText", text=["1", 0])})
        runs.append(outcome.outputs["2"]["runs"])
    assert runs == [[1], [2], [3]]
    bench.run({"1": node("LabWord", text="d"), "3": node("LabText", text=["1", 0])})
    outcome = bench.run({"1": node("LabWord", text="e"), "2": node("LabText", text=["1", 0])})
    assert outcome.outputs["2"]["runs"] == [1]


def test_lists_run_a_node_per_element_and_join_again(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    prompt = {
        "1": node("LabWords", text="a b c"),
        "2": node("LabWords", text="1 2"),
        "3": node("LabWord", text=["1", 0], tail=["2", 0]),
        "4": node("LabJoin", text=["3", 0], mark="+"),
        "5": node("LabText", text=["4", 0]),
        "6": node("LabText", text=["3", 0]),
    }
    outcome = bench.run(prompt)
    assert text_of(outcome, "5") == ["a1+b2+c2"]
    assert text_of(outcome, "6") == ["a1", "b2", "c2"]


def test_an_empty_list_is_a_clear_error(tmp_path: Path) -> None:
    outcome = Bench(tmp_path).run({"1": node("LabWords", text=""), "2": node("LabText", text=["1", 0])})
    assert not outcome.success
    assert "'text' received an empty list" in outcome.messages[-1][1]["exception_message"]


def test_lazy_inputs_run_only_when_asked_for(tmp_path: Path) -> None:
    bench = Bench(tmp_path)

    def prompt(which: bool) -> dict[str, Any]:
        return {
            "y": node("LabWord", text="yes"),
            "n": node("LabWord", text="no"),
            "s": node("LabSwitch", which=which, yes=["y", 0], no=["n", 0]),
            "o": node("LabText", text=["s", 0]),
        }

    assert text_of(bench.run(prompt(True)), "o") == ["yes"]
    assert "n" not in bench.ran
    assert text_of(bench.run(prompt(False)), "o") == ["no"]
    assert "y" not in bench.ran
    # a lazy input that happens to be cached is asked for as well, and not run again
    bench.run({**prompt(True), "p": node("LabText", text=["y", 0]), "q": node("LabText", text=["n", 0])})
    prompt_again = prompt(True) | {"o": node("LabText", text=["s", 0])}
    assert text_of(bench.run(prompt_again), "o") == ["yes"]
    assert "y" not in bench.ran


class Text:
    """What the nodes of a test have in common: a text in, a text out."""

    RETURN_TYPES = ("STRING",)
    FUNCTION = "run"

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return {"required": {"text": ("STRING", {})}}


def test_coroutines_run_side_by_side(tmp_path: Path) -> None:
    """Each waits for the two others."""
    gate = asyncio.Barrier(3)

    class Meet(Text):
        async def run(self, text: str) -> tuple[str]:
            await asyncio.wait_for(gate.wait(), 60)
            return (text,)

    bench = Bench(tmp_path, Pack("meet", {"Meet": Meet}))
    prompt: dict[str, Any] = {}
    for name in "abc":
        prompt[name] = node("Meet", text=name)
        prompt[f"{name}_out"] = node("LabText", text=[name, 0])
    outcome = bench.run(prompt)
    assert [text_of(outcome, f"{name}_out") for name in "abc"] == [["a"], ["b"], ["c"]]


def test_a_failing_coroutine_is_its_nodes_error(tmp_path: Path) -> None:
    outcome = Bench(tmp_path).run(
        {"1": node("LabAsync", text="fail", seconds=0.05), "2": node("LabText", text=["1", 0])}
    )
    assert outcome.messages[-1][0] == "execution_error"
    assert outcome.messages[-1][1]["node_id"] == "1"
    assert outcome.messages[-1][1]["exception_message"] == "async failure\n"


def test_cancel_ends_a_waiting_coroutine(tmp_path: Path) -> None:
    stop = threading.Event()

    class Wait(Text):
        async def run(self, text: str) -> None:
            stop.set()
            await asyncio.Event().wait()

    bench = Bench(tmp_path, Pack("wait", {"Wait": Wait}))
    outcome = bench.run({"1": node("Wait", text="x"), "2": node("LabText", text=["1", 0])}, stop)
    assert outcome.messages[-1][0] == "execution_interrupted"
    assert not outcome.success


def test_cancel_takes_effect_before_the_next_node(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    stop = threading.Event()
    stop.set()
    outcome = bench.run({"1": node("LabWord", text="x"), "2": node("LabText", text=["1", 0])}, stop)
    assert outcome.messages[-1][0] == "execution_interrupted"


def test_a_blocker_ends_its_branch_only(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    prompt = {
        "1": node("LabBlock", text="x"),
        "2": node("LabText", text=["1", 0]),
        "3": node("LabWord", text="y"),
        "4": node("LabText", text=["3", 0]),
    }
    outcome = bench.run(prompt)
    assert outcome.success
    assert "2" not in outcome.outputs and outcome.outputs["4"]["text"] == ["y"]
    assert not any(event == "execution_error" for event, _ in bench.sink.events)


def test_a_blocker_with_a_message_is_told(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    outcome = bench.run({"1": node("LabBlock", text="x", message="not today"), "2": node("LabText", text=["1", 0])})
    assert outcome.success
    errors = [data["exception_message"] for event, data in bench.sink.events if event == "execution_error"]
    assert errors == ["Execution Blocked: not today"]


def test_what_ran_before_a_failure_is_kept(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    audio = {"1": node("LabLoad", name="base", dtype="auto")}
    audio["2"] = node("LabTone", model=["1", 0], seconds=0.1, freq=440, seed=1, steps=1, instrumental=True, caption="")
    failing = {**audio, "3": node("LabError", audio=["2", 0], kind="value"), "4": node("PreviewAudio", audio=["3", 0])}
    assert not bench.run(failing).success
    assert bench.run({**audio, "4": node("PreviewAudio", audio=["2", 0])}).success
    assert bench.ran == ["4"]


def test_unreachable_rubbish_does_not_disturb(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    prompt = {
        "1": node("LabWord", text="x"),
        "2": node("LabText", text=["1", 0]),
        "3": {"class_type": "LabWord"},
        "4": {"class_type": "LabWord", "inputs": [1, 2]},
        "5": node("LabWord", text=["5", 0]),
        "6": node("LabWord", text=["nowhere", 3.5]),
        "7": node("LabWord", text={"a": [float("inf")]}),
    }
    assert text_of(bench.run(prompt), "2") == ["x"]


def test_a_long_chain_needs_no_deep_stack(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    prompt = {"0": node("LabWord", text="x")}
    for index in range(1, 1500):
        prompt[str(index)] = node("LabWord", text=[str(index - 1), 0])
    prompt["end"] = node("LabText", text=["1499", 0])
    assert text_of(bench.run(prompt), "end") == ["x"]
    bench.run(prompt)
    assert bench.ran == []


def test_nodes_cannot_end_the_process(tmp_path: Path) -> None:
    class Quitter:
        RETURN_TYPES = ()
        FUNCTION = "run"
        OUTPUT_NODE = True

        @classmethod
        def INPUT_TYPES(cls) -> dict[str, Any]:
            return {"required": {}}

        def run(self) -> None:
            raise SystemExit(3)

    class AsyncQuitter(Quitter):
        async def run(self) -> None:  # type: ignore[override]
            await asyncio.sleep(0)
            raise SystemExit(3)

    bench = Bench(tmp_path, Pack("quit", {"Quitter": Quitter, "AsyncQuitter": AsyncQuitter}))
    for kind in ("Quitter", "AsyncQuitter"):
        outcome = bench.run({"1": node(kind)})
        assert not outcome.success and outcome.messages[-1][0] == "execution_error"


def test_error_reports_show_no_folders(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    outcome = bench.run({"1": node("LabAsync", text="fail", seconds=0.0), "2": node("LabText", text=["1", 0])})
    report = outcome.messages[-1][1]
    assert report["traceback"]
    assert not any(str(LAB_PACK.parent) in line for line in report["traceback"])


def test_progress_checks_for_a_cancel_and_carries_pictures(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    prompt = {"1": node("LabLoad", name="base", dtype="auto")}
    prompt["2"] = node("LabTone", model=["1", 0], seconds=0.1, freq=440, seed=1, steps=3, instrumental=True, caption="")
    prompt["3"] = node("PreviewAudio", audio=["2", 0])
    bench.run(prompt)
    names = [event for event, _ in bench.sink.events]
    assert names.count("preview") == 3
    assert names[names.index("preview") - 1] == "progress_state" and names[names.index("preview") + 1] == "progress"


def test_the_status_line_reaches_the_sink(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.run({"1": node("LabStatus", text="it"), "2": node("LabText", text=["1", 0])})
    assert ("text", {"node": "1", "text": "working on it"}) in bench.sink.events
