"""Who is on a device when, and what is refused, on made-up cards with models of the released sizes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from threading import Barrier, Event, Thread

import pytest
import torch

from acestep_core import devices
from acestep_core.errors import OutOfMemory
from acestep_core.models import manager as managing
from acestep_core.models.acestep import AceStepModel
from acestep_core.models.config import AceStepConfig
from acestep_core.models.entry import Entry
from acestep_core.models.handles import LMHandle, ModelHandle, TextHandle, VAEHandle
from acestep_core.models.manager import ModelManager
from acestep_core.models.memory import denoising_bytes, kv_cache_bytes
from acestep_core.models.oobleck import OobleckConfig, OobleckVAE
from acestep_core.models.qwen3 import Qwen3, Qwen3Config
from acestep_core.options import Guidance
from acestep_core.render import stages
from acestep_core.render.conditioned import Branch, Conditioning
from acestep_core.render.schedule import schedule

GIB = 1 << 30
CARD = torch.device("cuda:0")
LM_17B = Qwen3Config(217204, 2048, 6144, 28, 16, 8)
BUILD = {
    ModelHandle: lambda: AceStepModel(AceStepConfig()),  # 4.4 GiB
    VAEHandle: lambda: OobleckVAE(OobleckConfig()),  # 0.3 GiB
    TextHandle: lambda: Qwen3(Qwen3Config(151669, 1024, 3072, 28, 16, 8)),  # 1.1 GiB
    LMHandle: lambda: Qwen3(LM_17B),  # 3.4 GiB
}


class Card:
    """A graphics card of so many bytes, which notes who is on it and refuses what does not fit."""

    def __init__(self, size: int) -> None:
        self.size, self.there, self.loads = size, {}, []
        self.taken = 0  # by work

    def free(self, device: torch.device) -> int:
        return self.size - self.taken - sum(entry.going for entry in self.there.values())

    def come(self, entry: Entry) -> None:
        if entry.going > self.free(CARD):
            raise torch.OutOfMemoryError("CUDA out of memory.")
        self.there[entry.key[0]] = entry

    def leave(self, entry: Entry) -> None:
        self.there.pop(entry.key[0], None)

    def allocate(self, nbytes: int) -> None:
        if nbytes > self.free(CARD):
            raise torch.OutOfMemoryError("CUDA out of memory.")


@pytest.fixture
def card(request, monkeypatch, tmp_path):
    card = Card(int(getattr(request, "param", 8) * GIB))

    def loader(build):
        def load(manager, handle, dtype):
            card.loads.append(handle.role)
            with torch.device("meta"):
                return build().to(torch.bfloat16), None, (handle.path,)

        return load

    monkeypatch.setattr(managing, "_LOADERS", {kind: loader(build) for kind, build in BUILD.items()})
    monkeypatch.setattr(devices, "pick_device", lambda name: CARD)
    monkeypatch.setattr(devices, "supports_bf16", lambda device: True)
    monkeypatch.setattr(devices, "free_memory", card.free)
    monkeypatch.setattr(devices, "empty_cache", lambda device: None)
    monkeypatch.setattr(Entry, "placed", property(lambda entry: card.there.get(entry.key[0]) is entry))
    monkeypatch.setattr(Entry, "go_out", lambda entry: card.come(entry))
    monkeypatch.setattr(Entry, "go_home", lambda entry: card.leave(entry))
    card.handles = {}
    for kind in BUILD:
        file = tmp_path / f"{kind.role}.safetensors"
        file.write_bytes(b"weights")
        card.handles[kind.role] = kind(Path(file))
    return card


@pytest.fixture
def own():
    return ModelManager()


def use(own, card, *roles, working=0):
    for role in roles:
        with own.resident(card.handles[role], working):
            pass


def codes(songs):
    """Keys and values of songs of four minutes, with guidance."""
    return kv_cache_bytes(LM_17B, 2 * songs, 1792, 2)


@pytest.mark.parametrize(
    ("card", "there"),
    [(4, {"vae"}), (6, {"dit", "vae"}), (8, {"text", "dit", "vae"}), (12, {"lm", "text", "dit", "vae"})],
    indirect=["card"],
)
def test_who_is_there_after_a_song(own, card, there):
    """Thinking, conditioning, sampling and decoding one song of four minutes; the longest unused leave first. Four
    gigabytes hold a part of the DiT, the rest comes by turns.
    """
    for role, working in (("lm", codes(1)), ("text", 0), ("dit", 3 * GIB // 10), ("vae", GIB // 4)):
        use(own, card, role, working=working)
    assert set(card.there) == there
    assert card.free(CARD) >= GIB // 4
    assert sum(e.going for e in card.there.values()) == own.used(CARD)


def test_room_for_the_work_is_made_too(own, card):
    """Text encoder, VAE and LM fit an 8 GB card together, but not with the keys and values of eight songs."""
    use(own, card, "text", "vae", "lm")
    assert set(card.there) == {"text", "vae", "lm"}
    use(own, card, "lm", working=codes(8))
    assert set(card.there) == {"vae", "lm"}, "the least recently used leaves, and only as many as must"


def test_a_reserve_stays_free(own, card):
    use(own, card, "text", "vae")
    use(own, card, "vae", working=card.free(CARD) - managing.RESERVE)
    assert "text" in card.there
    use(own, card, "vae", working=card.free(CARD) - managing.RESERVE + 1)
    assert "text" not in card.there


def test_who_is_in_use_never_leaves(own, card):
    with own.resident(card.handles["text"]):
        use(own, card, "dit", "vae")
        use(own, card, "vae", working=100 * GIB)
        assert set(card.there) == {"text", "vae"}


def songs_at_once(own, card, wanted, needs, truth=None):
    """Which sizes `run` tries, with work that takes what `truth` says (what was stated, where nothing is)."""
    tried = []

    def work(model, size):
        tried.append(size)
        card.allocate((truth or needs)(model, size))
        return "done"

    assert own.run(card.handles["dit"], work, needs, wanted) == "done"
    return tried


@pytest.mark.parametrize(("card", "size"), [(6, 2), (8, 4), (12, 8)], indirect=["card"])
def test_a_batch_is_split_where_it_does_not_fit(own, card, size):
    """Eight guided songs of five minutes on the 2B model."""
    use(own, card, "vae")

    def needs(model, songs):
        return denoising_bytes(model.config, songs, 7500, 600, 2, guided=True)

    assert songs_at_once(own, card, 8, needs) == [size]


@pytest.mark.parametrize(("card", "spare", "tried"), [(8, 0, [4]), (8, 2, [4, 2])], indirect=["card"])
def test_how_many_went_together_is_told(own, card, monkeypatch, spare, tried):
    """Eight guided songs of five minutes: those that fit, and half of them where `spare` GiB turn out to be lacking."""
    calls, heard = [], []

    def sample(decoder, conditioning, noise, *rest, **more):
        calls.append(conditioning.batch)
        if spare and calls == [4]:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return noise

    monkeypatch.setattr(stages, "manager", own)
    monkeypatch.setattr(stages, "sample", sample)
    use(own, card, "vae")
    branch = Branch((torch.zeros(1, 600, 2048),), torch.zeros(1, 7500, 128))
    told = Conditioning(branch, torch.zeros(1, 1, 2048))
    model = replace(card.handles["dit"], variant="base")
    given = (schedule(2, 3.0), Guidance("apg", 7.0))
    latents = stages.render_latents(model, told, list(range(8)), *given, note=heard.append)
    assert (latents.shape, heard, calls[: len(tried)]) == ((8, 7500, 64), tried[-1:], tried)
    assert calls[-1] == tried[-1]
    again, calls[:] = [], []
    stages.render_latents(model, told, list(range(8)), *given, at_once=2, note=again.append)
    assert (again, calls) == ([2], [2, 2, 2, 2])


def test_what_runs_out_all_the_same_is_tried_once_in_halves_without_others(own, card):
    use(own, card, "vae", "text")
    assert songs_at_once(own, card, 4, lambda model, n: n, lambda model, n: n * GIB) == [4, 2]
    assert set(card.there) == {"dit"}
    with pytest.raises(OutOfMemory, match="make fewer or shorter songs") as refused:
        songs_at_once(own, card, 4, lambda model, n: n << 20, lambda model, n: 100 * GIB)
    assert "its weights take 4" in str(refused.value) and "about 2 MiB" in str(refused.value)
    assert str(refused.value).count(".") == 1


def test_one_song_is_tried_again_only_where_somebody_could_leave(own, card):
    """First the VAE leaves; then layers stay at home, a GiB more each time, until all but the rest of them do."""
    tried, going = [], []

    def work(model, size):
        tried.append(size)
        going.append(card.there["dit"].going / GIB)
        raise RuntimeError("MPS backend out of memory (MPS allocated: 1 GB)")

    use(own, card, "vae")
    for expected in (2, 2, 2, 2, 2, 2, 1):
        tried.clear()
        with pytest.raises(OutOfMemory):
            own.run(card.handles["dit"], work, lambda model, size: 0, 1)
        assert tried == [1] * expected
    assert [round(size) for size in going] == [4, 4, 4, 3, 3, 2, 2, 1, 1, 0, 0, 0, 0], "the VAE leaves first"


@pytest.mark.parametrize(("card", "stay"), [(2, 29), (4, 11), (5, 0)], indirect=["card"])
def test_layers_stay_at_home_where_the_card_is_too_small(own, card, stay):
    """As few as must, with what the work takes; more where it takes more, fewer where it takes less."""
    handle, working = card.handles["dit"], GIB // 4
    with own.resident(handle, working):
        entry = card.there["dit"]
        spare = card.free(CARD) - working - managing.RESERVE
        assert entry.streaming.count == stay
        assert entry.passing <= spare or not stay
        if stay:
            entry.streaming.keep(stay - 1)
            assert card.free(CARD) - working - managing.RESERVE < entry.passing
            entry.streaming.keep(stay)
    use(own, card, "dit", working=4 * working)
    assert entry.streaming.count > stay
    use(own, card, "dit", working=working)
    assert entry.streaming.count == stay


def test_a_language_model_goes_whole_or_not_at_all(own, card):
    card.size = 3 * GIB
    with pytest.raises(OutOfMemory, match=r"weights take \d+ MiB .* MiB free for both"):
        use(own, card, "lm")


def test_a_batch_is_split_before_layers_stay_at_home(own, card):
    def needs(model, songs):
        return songs * GIB

    card.size = 7 * GIB
    assert songs_at_once(own, card, 8, needs) == [2]
    assert card.there["dit"].streaming.count == 0


def test_other_errors_pass(own, card):
    with pytest.raises(RuntimeError, match="size"):
        own.run(card.handles["dit"], lambda model, size: torch.zeros(2) @ torch.zeros(3), lambda model, size: 0, 4)


def test_on_the_processor_work_that_cannot_fit_is_refused_before_it_starts(tiny_models, monkeypatch):
    """The system would end the process."""
    monkeypatch.setattr(devices, "free_memory", lambda device: GIB)
    refused = pytest.raises(OutOfMemory, match="about 2048 MiB, with 1024 MiB free besides")
    with refused, ModelManager().resident(tiny_models.vae, 2 * GIB):
        pytest.fail("nothing runs")


def together(*works):
    """Runs all at once; errors of any fail the test, and so does one that never ends."""
    errors = []

    def guarded(work):
        try:
            work()
        except BaseException as error:
            errors.append(error)

    threads = [Thread(target=guarded, args=(work,), daemon=True) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not any(thread.is_alive() for thread in threads), "they wait for each other"
    assert not errors, errors


def test_two_threads_load_a_model_once(own, card):
    gate, seen = Barrier(2), []

    def work():
        gate.wait()
        with own.resident(card.handles["lm"]) as model:
            seen.append(model)

    together(work, work)
    assert card.loads == ["lm"] and seen[0] is seen[1]
    assert [entry.pins for entry in own._entries.values()] == [0]


@pytest.mark.parametrize("card", [6], indirect=True)
def test_a_thread_never_loses_its_model_to_another(own, card):
    """Six gigabytes hold the DiT or the LM; whoever comes second is told, or waits until the first is done."""
    held, done = Event(), Event()

    def first():
        with own.resident(card.handles["dit"]):
            held.set()
            done.wait(60)
            assert "dit" in card.there

    def second():
        held.wait(60)
        with pytest.raises(OutOfMemory):
            use(own, card, "lm")
        use(own, card, "vae")
        own.unload()
        assert "dit" in card.there and "vae" not in card.there
        done.set()

    together(first, second)
    use(own, card, "lm")
    assert set(card.there) == {"lm"}


def test_many_rounds_in_two_threads_leave_nothing_held(own, card):
    def rounds(*roles):
        for _ in range(10):
            for role in roles:
                with own.resident(card.handles[role], GIB // 8):
                    assert role in card.there

    together(lambda: rounds("vae", "text"), lambda: rounds("text", "vae"))
    assert all(entry.pins == 0 for entry in own._entries.values())


@pytest.mark.parametrize("card", [16], indirect=True)
def test_what_leaves_is_gone_when_its_stage_ends_and_nobody_else_needs_it(own, card):
    card.handles = {role: replace(handle, leaves=role != "dit") for role, handle in card.handles.items()}
    use(own, card, "lm", "text", "dit", "vae")
    assert set(card.there) == {"dit"} and card.loads == ["lm", "text", "dit", "vae"]
    with own.resident(card.handles["vae"]):
        use(own, card, "vae")
        assert "vae" in card.there
        with pytest.raises(InterruptedError), own.resident(card.handles["lm"]):
            raise InterruptedError
        assert set(card.there) == {"dit", "vae"}
    assert set(card.there) == {"dit"}
    assert card.loads == ["lm", "text", "dit", "vae"], "they stay in main memory"
