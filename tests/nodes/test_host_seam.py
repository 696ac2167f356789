"""The seam between nodes and whatever program they run in."""

import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import torch

from acestep_core.checkpoints.find import tokenizers_in
from acestep_core.host.graph import context
from acestep_core.host.graph.context import Folders, hosting
from acestep_core.models.manager import manager


@pytest.fixture
def seam(pack: Any) -> ModuleType:
    module = pack.classes["ACEStepSong"].__module__.removesuffix(".song")
    return sys.modules[f"{module}.host"]


@pytest.fixture
def draw(seam: ModuleType) -> Any:
    from importlib import import_module

    return import_module(seam.__name__.removesuffix("host") + "preview").energy_strip


def test_a_plain_script_has_folders_and_silence(seam: ModuleType, tmp_path: Path) -> None:
    host = seam.host()
    assert isinstance(host, seam.NoHost)
    assert host.output_folder().resolve() == tmp_path / "output"
    watch = seam.monitor()
    watch.tick("sample", 1, 2, lambda: pytest.fail("nobody looks at pictures"))


def test_inside_the_embedded_host_folders_are_its_own(seam: ModuleType, tmp_path: Path) -> None:
    folders = Folders.under(tmp_path / "host")
    with hosting(folders):
        host = seam.host()
        assert isinstance(host, seam.EmbeddedHost)
        assert (host.input_folder(), host.temp_folder()) == (folders.input, folders.temp)
        assert host.lora_folders() == [folders.models / "loras"]
        host.say("nobody listens outside an execution")
        host.show(1, 2, None)
        host.check()
    assert isinstance(seam.host(), seam.NoHost)


class Execution:
    """Stands for a running node."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.heard: list[tuple[str, dict[str, Any]]] = []
        self.steps: list[tuple[float, float, bool]] = []
        self.stop = False

    def status_text(self, text: str) -> None:
        self.lines.append(text)

    def news(self, event: str, data: dict[str, Any]) -> None:
        self.heard.append((event, data))

    def progress(self, value: float, total: float, preview: Any = None) -> None:
        self.check()
        self.steps.append((value, total, preview is not None))

    def check(self) -> None:
        if self.stop:
            raise context.Interrupted


def test_progress_is_shown_no_faster_than_an_eye_can_follow(
    seam: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    execution, now = Execution(), [0.0]
    monkeypatch.setattr(seam.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(seam, "host", lambda: seam.EmbeddedHost(Folders.under(tmp_path / "h"), execution))
    watch = seam.monitor()
    for step in range(1, 101):
        now[0] += 0.01
        watch.tick("sample", step, 100, lambda: torch.zeros(1, 10, 64))
    assert len(execution.steps) == 100  # the host has a throttle of its own for bars
    assert 10 <= len(execution.lines) <= 12 and execution.lines[-1] == "Sampling 100 of 100"
    assert 2 <= sum(picture for *_, picture in execution.steps) <= 4


def test_a_cancel_raises_what_the_host_wants_to_see(
    seam: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    execution = Execution()
    monkeypatch.setattr(seam, "host", lambda: seam.EmbeddedHost(Folders.under(tmp_path / "h"), execution))
    watch = seam.monitor()
    watch.check()
    execution.stop = True
    with pytest.raises(context.Interrupted):
        watch.check()
    with pytest.raises(context.Interrupted):
        watch.tick("sample", 1, 2)


def test_the_picture_shows_where_a_song_is_loud(draw: Any) -> None:
    latents = torch.zeros(2, 400, 64)
    latents[0, 200:] = 1.0
    picture = draw(latents)
    assert picture.size == (512, 192)
    strip = picture.crop((0, 20, 512, 24)).convert("L")
    left, right = strip.crop((0, 0, 250, 4)).getextrema(), strip.crop((260, 0, 512, 4)).getextrema()
    assert left[1] < 60 < right[1]


@pytest.mark.parametrize("value", [0.0, float("nan"), float("inf")])
def test_any_estimate_can_be_drawn(draw: Any, value: float) -> None:
    assert draw(torch.full((9, 3, 64), value)).size[0] == 512


def test_comfyui_is_told_about_our_folder_and_keeps_what_the_user_added(
    seam: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    paths = ModuleType("folder_paths")
    paths.models_dir = str(tmp_path)
    paths.folder_names_and_paths = {"acestep": (["/extra/acestep"], set())}
    paths.add_model_folder_path = lambda key, folder: paths.folder_names_and_paths[key][0].append(folder)
    monkeypatch.setitem(sys.modules, "folder_paths", paths)
    seam.register()
    folders, suffixes = paths.folder_names_and_paths["acestep"]
    assert folders == ["/extra/acestep", str(tmp_path / "acestep")] and suffixes == {".safetensors", ".gguf"}


def test_comfyuis_folders_and_its_copy_of_qwens_words(
    seam: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Models may lie far from ComfyUI's code, where the words are."""
    code, models = tmp_path / "code", tmp_path / "data" / "models"
    words = code / "comfy" / "text_encoders" / "qwen25_tokenizer"
    words.mkdir(parents=True)
    (words / "vocab.json").write_text("{}")
    paths = ModuleType("folder_paths")
    paths.__file__ = str(code / "folder_paths.py")
    paths.folder_names_and_paths = {
        "acestep": ([str(models / "acestep")], set()),
        "text_encoders": ([str(models / "text_encoders"), str(models / "clip")], set()),
    }
    monkeypatch.setitem(sys.modules, "folder_paths", paths)
    monkeypatch.setitem(sys.modules, "comfy.model_management", ModuleType("comfy.model_management"))
    roots = seam.ComfyUI().model_roots()
    assert roots == [models / "acestep", models, code / "models"]
    assert [path for root in roots for path in tokenizers_in(root)] == [words]


@pytest.mark.parametrize("flags", [{"disable_mmap": True}, {"disable_mmap": False}, {}])
def test_comfyui_says_whether_files_may_be_mapped(
    flags: dict[str, bool], seam: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`--disable-mmap`, for who has seen mapped files end ComfyUI; releases before it have no such flag."""
    for name in ("folder_paths", "comfy.model_management"):
        monkeypatch.setitem(sys.modules, name, ModuleType(name))
    monkeypatch.setitem(sys.modules, "comfy.cli_args", SimpleNamespace(args=SimpleNamespace(**flags)))
    monkeypatch.setattr(manager, "placement", manager.placement)
    monkeypatch.setattr(manager, "mapped", True)
    seam.ComfyUI().take_models()
    assert manager.mapped is not flags.get("disable_mmap", False)


def test_requirements_are_the_librarys_without_torch() -> None:
    import tomllib

    root = Path(__file__).parents[2]
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    lines = (root / "requirements.txt").read_text(encoding="utf-8").splitlines()
    listed = [line for line in lines if line and not line.startswith("#")]
    assert listed == [entry for entry in project["dependencies"] if not entry.startswith("torch")]
    assert not [entry for entry in listed if entry.startswith(("torch", "transformers", "diffusers"))]


def test_recordings_of_the_workflows_are_there_and_nobodys_file_is_replaced(tmp_path: Path) -> None:
    from nodes.host import EXAMPLES, offer_examples

    names = sorted(path.name for path in EXAMPLES.iterdir())
    (tmp_path / names[0]).write_bytes(b"my own")
    offer_examples(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == names
    assert (tmp_path / names[0]).read_bytes() == b"my own"
    assert (tmp_path / names[1]).read_bytes() == (EXAMPLES / names[1]).read_bytes()
    offer_examples(tmp_path / "no such folder")
    assert not (tmp_path / "no such folder").exists()
