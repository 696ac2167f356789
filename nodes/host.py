"""The host seam: what a node may ask of the program it runs in, answered by ComfyUI, the embedded host, or nobody.

Four questions: where are the folders; show how far this is; has the user cancelled; who moves the models. `host()`
finds out at each call who is there, so the same classes run in ComfyUI, in `acestep run`, and in a plain script.
"""

from __future__ import annotations

import logging
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from acestep_core.errors import AceStepError
from acestep_core.host.graph import context
from acestep_core.monitor import Monitor

if TYPE_CHECKING:
    from PIL.Image import Image

MODELS_FOLDER = "acestep"
"""The folder of our checkpoints among ComfyUI's models, and its key in `extra_model_paths.yaml`."""
DATASETS_FOLDER = "acestep_datasets"
"""The key of folders with recordings in `extra_model_paths.yaml`; the variable `ACESTEP_DATASETS` lists more."""
EXAMPLES = Path(__file__).parents[1] / "workflows" / "examples"
PREVIEW_SECONDS = 0.4
"""Pictures are drawn and sent at most this often."""
LINE_SECONDS = 0.1
_LABELS = {"sample": "Sampling", "decode": "Decoding", "encode": "Encoding audio"}

log = logging.getLogger(__name__)


class Host(Protocol):
    """What every host answers."""

    def input_folder(self) -> Path: ...

    def output_folder(self) -> Path: ...

    def temp_folder(self) -> Path: ...

    def model_roots(self) -> list[Path]:
        """Folders to look for checkpoints in, besides those of `acestep_core.checkpoints.find`."""

    def lora_folders(self) -> list[Path]:
        """Folders that hold adapters."""

    def dataset_folders(self) -> list[Path]:
        """Folders that the user lists for recordings and trainsets, besides input and output."""

    def device(self, role: str = "dit") -> str:
        """The name of the device that a `dit`, `vae`, `text` or `lm` runs on, `auto` to let the library choose."""

    def precision(self, role: str) -> tuple[str, str]:
        """The number format that the host was started with for models of a role, `auto` for none; and what to say where
        it cannot be followed.
        """

    def metadata_allowed(self) -> bool:
        """Whether the graph may be written into saved files."""

    def show(self, done: int, total: int, picture: Callable[[], Image] | None) -> None:
        """Moves the progress bar of the running node."""

    def say(self, text: str) -> None:
        """Shows one line under the running node."""

    def tell(self, event: str, data: dict[str, Any]) -> None:
        """Sends news of the running node to our scripts in `web/`, which get it as `{..., node}`."""

    def check(self) -> None:
        """Raises the host's own exception once the user has cancelled."""

    def take_models(self) -> None:
        """Takes over the moving of models between devices, where the host does that."""


def host() -> Host:
    """The program this code runs in right now."""
    execution, folders = context.current(), context.folders()
    if folders is not None:
        return EmbeddedHost(folders, execution)
    if "folder_paths" in sys.modules and "comfy.model_management" in sys.modules:
        return ComfyUI()
    return NoHost()


def monitor() -> Monitor:
    """A monitor for one stage of the running node: bar, line, picture and cancel go to the host."""
    target = host()
    target.take_models()
    return Monitor(progress=_Display(target), cancelled=_cancelled)


def _cancelled() -> bool:
    host().check()  # raises what the host wants to see
    return False


class _Display:
    """Turns the library's ticks into what a host can show, no more often than an eye can follow."""

    def __init__(self, target: Host) -> None:
        self.target = target
        self.last_line = self.last_picture = -1.0

    def __call__(self, stage: str, done: int, total: int, preview: Callable[[], Any] | None) -> None:
        now = time.monotonic()
        if now - self.last_line >= LINE_SECONDS or done >= total:
            self.last_line = now
            self.target.say(f"{_LABELS.get(stage, stage)} {done} of {total}")
        picture = None
        if preview is not None and now - self.last_picture >= PREVIEW_SECONDS:
            self.last_picture = now
            picture = _picture_of(preview)
        self.target.show(done, total, picture)


def _picture_of(preview: Callable[[], Any]) -> Callable[[], Image]:
    def draw() -> Image:
        from .preview import energy_strip, loss_curve

        found = preview()
        return loss_curve(found) if isinstance(found, list) else energy_strip(found)

    return draw


class EmbeddedHost:
    """This project's own server and `acestep run`. Without an execution it only answers what there is to choose."""

    def __init__(self, folders: context.Folders, execution: context.Execution | None) -> None:
        self.folders = folders
        self.execution = execution

    def input_folder(self) -> Path:
        return self.folders.input

    def output_folder(self) -> Path:
        return self.folders.output

    def temp_folder(self) -> Path:
        return self.folders.temp

    def model_roots(self) -> list[Path]:
        return [self.folders.models]

    def lora_folders(self) -> list[Path]:
        return [self.folders.models / "loras"]

    def dataset_folders(self) -> list[Path]:
        return _listed_folders()

    def device(self, role: str = "dit") -> str:
        return "auto"

    def precision(self, role: str) -> tuple[str, str]:
        return "auto", ""

    def metadata_allowed(self) -> bool:
        return True  # where it is not, the host hands nodes no prompt and workflow

    def show(self, done: int, total: int, picture: Callable[[], Image] | None) -> None:
        if self.execution is not None:
            self.execution.progress(done, total, picture)

    def say(self, text: str) -> None:
        if self.execution is not None:
            self.execution.status_text(text)

    def tell(self, event: str, data: dict[str, Any]) -> None:
        if self.execution is not None:
            self.execution.news(event, data)

    def check(self) -> None:
        if self.execution is not None:
            self.execution.check()

    def take_models(self) -> None:
        pass


class NoHost:
    """A plain script or test: the working folder, silence, and no cancel."""

    def input_folder(self) -> Path:
        return _made(Path("input"))

    def output_folder(self) -> Path:
        return _made(Path("output"))

    def temp_folder(self) -> Path:
        return _made(Path("temp"))

    def model_roots(self) -> list[Path]:
        return [Path("models")]

    def lora_folders(self) -> list[Path]:
        return [Path("loras")]

    def dataset_folders(self) -> list[Path]:
        return _listed_folders()

    def device(self, role: str = "dit") -> str:
        return "auto"

    def precision(self, role: str) -> tuple[str, str]:
        return "auto", ""

    def metadata_allowed(self) -> bool:
        return True

    def show(self, done: int, total: int, picture: Callable[[], Image] | None) -> None:
        pass

    def say(self, text: str) -> None:
        pass

    def tell(self, event: str, data: dict[str, Any]) -> None:
        pass

    def check(self) -> None:
        pass

    def take_models(self) -> None:
        pass


class ComfyUI:
    """The real one. Its modules are only looked up here, never imported first."""

    def __init__(self) -> None:
        self.paths = sys.modules["folder_paths"]
        self.memory = sys.modules["comfy.model_management"]
        self.bar: Any = None

    def input_folder(self) -> Path:
        return Path(self.paths.get_input_directory())

    def output_folder(self) -> Path:
        return Path(self.paths.get_output_directory())

    def temp_folder(self) -> Path:
        return _made(Path(self.paths.get_temp_directory()))

    def model_roots(self) -> list[Path]:
        """Our own folders first, then those that hold ComfyUI's single files, `extra_model_paths.yaml` included; last
        the one beside its code, where `find_tokenizer` sees ComfyUI's copy of Qwen's words.
        """
        from acestep_core.checkpoints.find import COMFYUI_FOLDERS

        known = self.paths.folder_names_and_paths
        folders = [Path(folder) for folder in known.get(MODELS_FOLDER, ([], None))[0]]
        folders += [Path(folder).parent for kind in COMFYUI_FOLDERS for folder in known.get(kind, ([], None))[0]]
        return list(dict.fromkeys([*folders, Path(self.paths.__file__).parent / "models"]))

    def lora_folders(self) -> list[Path]:
        return [Path(folder) for folder in self.paths.get_folder_paths("loras")]

    def dataset_folders(self) -> list[Path]:
        known = self.paths.folder_names_and_paths.get(DATASETS_FOLDER, ([], None))[0]
        return [*(Path(folder) for folder in known), *_listed_folders()]

    def device(self, role: str = "dit") -> str:
        return str(self.memory.vae_device() if role == "vae" else self.memory.get_torch_device())

    def precision(self, role: str) -> tuple[str, str]:
        from .comfy_flags import precision

        return precision(role, sys.modules["comfy.cli_args"].args)

    def metadata_allowed(self) -> bool:
        return not sys.modules["comfy.cli_args"].args.disable_metadata

    def show(self, done: int, total: int, picture: Callable[[], Image] | None) -> None:
        preview = ("JPEG", picture(), None) if picture is not None and self._watched() else None
        if self.bar is None:
            self.bar = sys.modules["comfy.utils"].ProgressBar(total, self._node())
        self.bar.update_absolute(done, total, preview)

    def say(self, text: str) -> None:
        server, node = self._server(), self._node()
        if server is not None and node is not None:
            server.send_progress_text(text, node, server.client_id)

    def tell(self, event: str, data: dict[str, Any]) -> None:
        server, node = self._server(), self._node()
        if server is not None and server.client_id is not None:
            server.send_sync(event, {**data, "node": node}, server.client_id)

    def check(self) -> None:
        self.memory.throw_exception_if_processing_interrupted()

    def take_models(self) -> None:
        from acestep_core.models.manager import manager

        from .comfy_memory import ComfyPlacement

        if not isinstance(manager.placement, ComfyPlacement):
            manager.unload()  # whatever a script of the same process has loaded before
            manager.placement = ComfyPlacement()
            manager.mapped = not getattr(sys.modules["comfy.cli_args"].args, "disable_mmap", False)

    def _watched(self) -> bool:
        server = self._server()
        return server is not None and server.client_id is not None

    def _server(self) -> Any:
        module = sys.modules.get("server")
        return getattr(getattr(module, "PromptServer", None), "instance", None)

    def _node(self) -> str | None:
        module = sys.modules.get("comfy_execution.utils")
        executing = module.get_executing_context() if module is not None else None
        return None if executing is None else executing.node_id


def register() -> None:
    """Called once when the pack is loaded: adds the routes of its canvas, puts the recordings of its workflows where
    those look for them, tells ComfyUI about our model folder.
    """
    from . import editing, migrate, model_routes, routes, songbook

    server = sys.modules.get("server")
    instance = getattr(getattr(server, "PromptServer", None), "instance", None)
    table = context.routes() or getattr(instance, "routes", None)
    for part in (routes, model_routes, songbook, editing, migrate) if table is not None else ():
        part.add_routes(table)
    paths = sys.modules.get("folder_paths")
    if context.folders() is not None:
        offer_examples(host().input_folder())
    elif hasattr(paths, "get_input_directory"):
        offer_examples(Path(paths.get_input_directory()))
    if paths is None or not hasattr(paths, "add_model_folder_path"):
        return
    paths.add_model_folder_path(MODELS_FOLDER, str(Path(paths.models_dir) / MODELS_FOLDER))
    folders, _ = paths.folder_names_and_paths[MODELS_FOLDER]
    paths.folder_names_and_paths[MODELS_FOLDER] = (folders, {".safetensors", ".gguf"})


def offer_examples(folder: Path) -> None:
    """Copies the recordings that workflows open with into the input folder, where there is one; a file of that name
    stays as it is.
    """
    for example in sorted(EXAMPLES.iterdir()) if EXAMPLES.is_dir() and folder.is_dir() else ():
        if (folder / example.name).exists():
            continue
        from acestep_core.io.atomic import atomic_write  # only once in the life of an input folder

        try:
            with atomic_write(folder / example.name) as temporary:
                temporary.write_bytes(example.read_bytes())
        except (AceStepError, OSError) as error:
            log.warning("%s could not be copied into the input folder: %s", example.name, error)


def _listed_folders() -> list[Path]:
    return [Path(folder) for folder in os.environ.get("ACESTEP_DATASETS", "").split(os.pathsep) if folder]


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder
