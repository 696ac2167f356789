"""Steps that a device records and replays, and a host that keeps one step ahead of it, with a device that is played."""

from collections.abc import Callable

import pytest
import torch

from acestep_core import devices
from acestep_core.models import graphs
from acestep_core.models.graphs import Homeward, Recorded, RunAhead
from acestep_core.options import RenderSettings
from acestep_core.pipeline.generation import generate

CPU = torch.device("cpu")


class Played:
    """Records as a card does: while it records, nothing is computed."""

    def __init__(self, fails: bool = False) -> None:
        self.fails, self.recording, self.recorded = fails, False, 0

    def __call__(self, work: Callable[[], None]) -> "Played.Graph":
        self.recording = True
        work()
        self.recording = False
        if self.fails:
            raise RuntimeError("operation not permitted when stream is capturing")
        self.recorded += 1
        return Played.Graph(work)

    class Graph:
        def __init__(self, work: Callable[[], None]) -> None:
            self.replay = work


@pytest.mark.parametrize("fails", [False, True])
def test_each_size_is_recorded_after_its_first_call(fails: bool, monkeypatch: pytest.MonkeyPatch, caplog) -> None:
    card, done = Played(fails), []
    monkeypatch.setattr(graphs, "recorder", lambda device: card)
    step = Recorded(lambda size: None if card.recording else done.append(size), CPU)
    for size in (256, 256, 256, 512, 512, 256):
        step(size)
    assert done == [256, 256, 256, 512, 512, 256], "every step is done, and once"
    assert card.recorded == (0 if fails else 2)
    assert len(caplog.records) == fails


def test_elsewhere_steps_are_called() -> None:
    done: list[int] = []
    step = Recorded(done.append, CPU)
    for size in (256, 256, 512):
        step(size)
    assert done == [256, 256, 512]
    assert devices.recorder(CPU) is None and devices.mark_on(CPU) is None


class PlayedMark:
    """A mark that notes what is asked of it."""

    def __init__(self, told: list[str]) -> None:
        self.told = told

    def set(self) -> None:
        self.told.append("set")

    def wait(self) -> None:
        assert "set" in self.told, "a mark that was never set is not waited for"
        self.told.append("wait")


def test_the_host_waits_for_the_step_before(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[str] = []
    monkeypatch.setattr(graphs, "mark_on", lambda device: PlayedMark(told))
    ahead = RunAhead(CPU)
    for _ in range(3):
        told.append("step")
        ahead.wait()
    assert told == ["step", "set", "step", "wait", "set", "step", "wait", "set"]


def test_progress_of_a_song_follows_the_device(tiny_models, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[str] = []

    def progress(stage: str, *_: object) -> None:
        if stage == "sample":
            told.append("tick")

    monkeypatch.setattr(graphs, "mark_on", lambda device: PlayedMark(told))
    generate("calm", duration=10, seed=1, models=tiny_models, progress=progress, settings=RenderSettings.of(steps=3))
    assert told == ["set", "tick", "wait", "set", "tick", "wait", "set", "tick"]


def test_results_come_home_while_the_next_one_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[str] = []
    targets = torch.zeros(3, 2)

    class Copied(PlayedMark):
        def __init__(self, device: torch.device) -> None:
            super().__init__(told)

    monkeypatch.setattr(graphs, "landing", torch.zeros_like)
    monkeypatch.setattr(graphs, "Mark", Copied)
    homeward = Homeward()
    for n in range(3):
        told.append("made")
        homeward.bring(torch.full((2,), n + 1.0), targets[n])
        assert targets[:, 0].tolist() == [float(i + 1 if i < n else 0) for i in range(3)], "the last one is under way"
    homeward.arrive()
    homeward.arrive()
    assert targets[:, 0].tolist() == [1, 2, 3]
    assert told == ["made", "set", "made", "set", "wait", "made", "set", "wait", "wait"]


def test_elsewhere_results_are_there_at_once() -> None:
    target = torch.zeros(2)
    assert devices.landing(target) is None
    Homeward().bring(torch.ones(2), target)
    assert target.tolist() == [1, 1]


def test_a_song_is_whole_when_it_is_decoded(tiny_models, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = {"duration": 12, "seed": 1, "models": tiny_models, "settings": RenderSettings.of(steps=1, tile=64)}
    right = generate("calm", **asked).audio
    monkeypatch.setattr(graphs, "landing", torch.zeros_like)
    monkeypatch.setattr(graphs, "Mark", lambda device: PlayedMark([]))
    assert torch.equal(generate("calm", **asked).audio, right)


def test_where_memory_cannot_be_locked_results_are_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object, **how: object) -> None:
        assert how["pin_memory"]
        raise RuntimeError("CUDA error: out of memory")

    class OnCard:
        device, shape, dtype = devices.SOME_CARD, (2,), torch.float32

    monkeypatch.setattr(torch, "empty", refused)
    assert devices.landing(OnCard()) is None  # type: ignore[arg-type]
