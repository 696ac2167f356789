"""A pack whose node writes a text into a file, or meets with what the text says."""

import os
import signal
import time
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


class Choir:
    """Sings with as many as are there."""

    CATEGORY = "Lab"
    RETURN_TYPES = ("STRING",)
    FUNCTION = "sing"

    @classmethod
    def INPUT_TYPES(cls):
        inputs = {"text": ("STRING", {"default": ""}), "seed": ("INT", {"default": 0}), "size": ("INT", {"default": 1})}
        return {"required": inputs, "optional": {"before": ("STRING", {"default": "", "forceInput": True})}}

    def sing(self, **call):
        return self.together([call])[0]

    @classmethod
    def together(cls, calls):
        if any(call["text"] == "off key" for call in calls):
            raise ValueError("It is off key.")
        return [(f"{call['text']}{len(calls)}{call.get('before', '')}",) for call in calls]


class Toil:
    """Writes two files of one name, half now and half later."""

    CATEGORY = "Lab"
    RETURN_TYPES = ()
    OUTPUT_NODE = True
    FUNCTION = "run"

    @classmethod
    def INPUT_TYPES(cls):
        return {"required": {"text": ("STRING", {"default": ""}), "seconds": ("FLOAT", {"default": 0.0})}}

    def run(self, text, seconds):
        files = [current().folders.output / f"{text}{suffix}" for suffix in (".txt", ".json")]
        for path in files:
            path.write_text(text * 5)
            time.sleep(seconds / 4)
        for path in files:
            path.write_text(text * 10)
            time.sleep(seconds / 4)
        return {"ui": {"files": [{"filename": path.name, "subfolder": "", "type": "output"} for path in files]}}


NODE_CLASS_MAPPINGS = {"Fate": Fate, "Choir": Choir, "Toil": Toil}
