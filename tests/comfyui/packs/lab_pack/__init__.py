"""The nodes of the lab pack, run by ComfyUI: what they ask of the embedded host is answered by ComfyUI here."""

import inspect
from pathlib import Path

import comfy.model_management
import comfy.utils
import folder_paths
from comfy_execution.graph_utils import ExecutionBlocker
from comfy_execution.utils import get_executing_context
from server import PromptServer

from acestep_core.host.graph import context

from . import lab


class Execution(context.Execution):
    def check(self):
        comfy.model_management.throw_exception_if_processing_interrupted()


class Reporter:
    def progress(self, node_id, value, total, preview):
        image = preview() if callable(preview) else preview
        shown = None if image is None else ("JPEG", image, None)
        comfy.utils.ProgressBar(total, node_id).update_absolute(value, total, shown)

    def status_text(self, node_id, text):
        server = PromptServer.instance
        server.send_progress_text(text, node_id, server.client_id)


def execution():
    here = get_executing_context()
    names = ("input", "output", "temp", "user")
    folders = {name: Path(getattr(folder_paths, f"get_{name}_directory")()) for name in names}
    folders = context.Folders(**folders, models=Path(folder_paths.models_dir))
    return Execution(folders, here.prompt_id, here.node_id, here.list_index or 0, Reporter(), lambda: False)


def native(value):
    """Our blocker as ComfyUI's."""
    if isinstance(value, tuple):
        return tuple(native(item) for item in value)
    return ExecutionBlocker(value.message) if isinstance(value, context.ExecutionBlocker) else value


def bridged(cls):
    function = getattr(cls, cls.FUNCTION)
    if inspect.iscoroutinefunction(function):

        async def run(self, **inputs):
            with context.executing(execution()):
                return native(await function(self, **inputs))

    else:

        def run(self, **inputs):
            with context.executing(execution()):
                return native(function(self, **inputs))

    return type(cls.__name__, (cls,), {cls.FUNCTION: run})


WEB_DIRECTORY = "./lab/web"
NODE_CLASS_MAPPINGS = {name: bridged(cls) for name, cls in lab.NODE_CLASS_MAPPINGS.items()}
NODE_DISPLAY_NAME_MAPPINGS = lab.NODE_DISPLAY_NAME_MAPPINGS
