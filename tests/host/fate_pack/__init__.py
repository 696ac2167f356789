"""A pack whose node writes a text into a file, or meets with what the text says."""

import os
import signal
from pathlib import Path

from acestep_core.errors import OutOfMemory
from acestep_core.host.graph.context import current


class Fate:
    CATEGORY = "Lab"
    RETURN_TYPES = ()
    OUTPUT_NODE = True
    FUNCTION = "run"

    @classmethod
    def INPUT_TYPES(cls):
        return {"required": {"text": ("STRING", {"default": ""}), "mark": ("STRING", {"default": ""})}}

    def run(self, text, mark):
        folder = current().folders.output
        (folder / f"{text}.txt").write_text(text * 10)
        if text == "dies once" and not Path(mark).exists():
            Path(mark).touch()
            os.kill(os.getpid(), getattr(signal, "SIGKILL", signal.SIGTERM))  # the latter ends at once on Windows
        if text == "fails":
            raise ValueError("as it was told")
        if text == "is too large":
            raise OutOfMemory("There is no room.")
        return {"ui": {"files": [{"filename": f"{text}.txt", "subfolder": "", "type": "output"}]}}


NODE_CLASS_MAPPINGS = {"Fate": Fate}
