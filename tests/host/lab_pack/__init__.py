"""The six test nodes with which the reference traces of ComfyUI were recorded, and a few more for single questions."""

import asyncio
import time
import wave
from pathlib import Path

import torch
from PIL import Image

from acestep_core.host.graph.context import ExecutionBlocker, current

WEB_DIRECTORY = "./web"
HIDDEN = {"unique_id": "UNIQUE_ID", "prompt": "PROMPT", "extra_pnginfo": "EXTRA_PNGINFO"}


class LabLoad:
    CATEGORY = "Lab"
    RETURN_TYPES = ("LAB_MODEL", "STRING")
    FUNCTION = "run"

    @classmethod
    def INPUT_TYPES(cls):
        return {
            "required": {
                "name": (["tiny", "base", "xl"], {"default": "base", "tooltip": "which model"}),
                "dtype": ("COMBO", {"options": ["auto", "bf16", "fp32"]}),
            }
        }

    def run(self, name, dtype):
        return {"name": name, "dtype": dtype}, name


class LabTone:
    CATEGORY = "Lab/audio"
    DESCRIPTION = "Generate a sine tone."
    RETURN_TYPES = ("AUDIO", "LATENT")
    RETURN_NAMES = ("audio", "latent")
    FUNCTION = "run"

    @classmethod
    def INPUT_TYPES(cls):
        return {
            "required": {
                "model": ("LAB_MODEL", {"tooltip": "model"}),
                "seconds": (
                    "FLOAT",
                    {"default": 2.0, "min": 0.1, "max": 600.0, "step": 0.1, "round": 0.01, "tooltip": "duration"},
                ),
                "freq": ("FLOAT", {"default": 440.0, "min": 20.0, "max": 20000.0}),
                "seed": ("INT", {"default": 0, "min": 0, "max": 2**53 - 1, "control_after_generate": True}),
                "steps": ("INT", {"default": 8, "min": 1, "max": 200}),
                "instrumental": ("BOOLEAN", {"default": False}),
                "caption": ("STRING", {"multiline": True, "default": "a calm tone"}),
            },
            "optional": {
                "lyrics": ("STRING", {"multiline": True, "forceInput": True}),
                "ref_audio": ("AUDIO", {}),
                "batch": ("INT", {"default": 1, "min": 1, "max": 8}),
            },
            "hidden": HIDDEN,
        }

    def run(self, model, seconds, freq, seed, steps, instrumental, caption, batch=1, **hidden):
        for step in range(steps):
            current().progress(step + 1, steps, lambda: Image.new("RGB", (16, 16)))
        times = torch.arange(round(seconds * 48000), dtype=torch.float64) / 48000
        tone = 0.3 * torch.sin(2 * torch.pi * freq * times)
        waveform = torch.stack([tone, 0.8 * tone]).float().repeat(batch, 1, 1)
        return {"waveform": waveform, "sample_rate": 48000}, {"samples": torch.zeros(batch, 64, 25), "type": "audio"}


class LabResult:
    CATEGORY = "Lab/audio"
    RETURN_TYPES = ("AUDIO",)
    OUTPUT_NODE = True
    FUNCTION = "run"

    @classmethod
    def INPUT_TYPES(cls):
        return {
            "required": {
                "audio": ("AUDIO", {}),
                "filename_prefix": ("STRING", {"default": "audio/lab"}),
                "region": ("LAB_REGION", {"default": {"start": 0, "end": 1}}),
            },
            "hidden": HIDDEN,
        }

    def run(self, audio, filename_prefix, region, **hidden):
        folder = current().folders.output / Path(filename_prefix).parent
        folder.mkdir(parents=True, exist_ok=True)
        stem = Path(filename_prefix).name
        name = f"{stem}_{len(list(folder.glob(f'{stem}_*'))) + 1:05}_.wav"
        with wave.open(str(folder / name), "wb") as file:
            file.setnchannels(1)
            file.setsampwidth(2)
            file.setframerate(audio["sample_rate"])
            file.writeframes((audio["waveform"][0, 0] * 32767).to(torch.int16).numpy().tobytes())
        shown = {
            "audio": [{"filename": name, "subfolder": str(Path(filename_prefix).parent), "type": "output"}],
            "text": ["hello text"],
            "lab_lrc": ["[00:00.00]first line\n[00:01.00]second line"],
            "lab_peaks": [[0.3] * 8],
        }
        return {"ui": shown, "result": (audio,)}


class LabSlow:
    CATEGORY = "Lab"
    RETURN_TYPES = ("AUDIO",)
    FUNCTION = "run"

    @classmethod
    def INPUT_TYPES(cls):
        return {"required": {"audio": ("AUDIO", {}), "seconds": ("FLOAT", {"default": 1.0, "min": 0.0, "max": 3600.0})}}

    def run(self, audio, seconds):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            current().check()
            time.sleep(0.02)
        return (audio,)


class LabError:
    CATEGORY = "Lab"
    RETURN_TYPES = ("AUDIO",)
    FUNCTION = "run"

    @classmethod
    def INPUT_TYPES(cls):
        return {"required": {"audio": ("AUDIO", {}), "kind": (["value", "oom", "ok"], {"default": "value"})}}

    @classmethod
    def VALIDATE_INPUTS(cls, kind):
        return "oom is not allowed" if kind == "oom" else True

    def run(self, audio, kind):
        if kind == "value":
            raise ValueError("lab error: bad value")
        return (audio,)


class LabText:
    """An output node that shows a text and tells how often each node object ran."""

    CATEGORY = "Lab"
    RETURN_TYPES = ("STRING",)
    OUTPUT_NODE = True
    FUNCTION = "run"

    @classmethod
    def INPUT_TYPES(cls):
        return {"required": {"text": ("STRING", {"forceInput": True})}}

    def __init__(self):
        self.runs = 0

    def run(self, text):
        self.runs += 1
        return {"ui": {"text": [text], "runs": [self.runs]}, "result": (text,)}


class LabWord:
    CATEGORY = "Lab"
    RETURN_TYPES = ("STRING",)
    FUNCTION = "run"

    @classmethod
    def INPUT_TYPES(cls):
        return {"required": {"text": ("STRING", {"default": ""})}, "optional": {"tail": ("STRING", {})}}

    def run(self, text, tail=""):
        return (text + tail,)


class LabWords:
    """One word per call downstream."""

    CATEGORY = "Lab"
    RETURN_TYPES = ("STRING",)
    OUTPUT_IS_LIST = (True,)
    FUNCTION = "run"

    @classmethod
    def INPUT_TYPES(cls):
        return {"required": {"text": ("STRING", {"default": "a b c"})}}

    def run(self, text):
        return (text.split(),)


class LabJoin:
    CATEGORY = "Lab"
    RETURN_TYPES = ("STRING",)
    INPUT_IS_LIST = True
    FUNCTION = "run"

    @classmethod
    def INPUT_TYPES(cls):
        return {"required": {"text": ("STRING", {}), "mark": ("STRING", {"default": "-"})}}

    def run(self, text, mark):
        return (mark[0].join(text),)


class LabSwitch:
    CATEGORY = "Lab"
    RETURN_TYPES = ("STRING",)
    FUNCTION = "run"

    @classmethod
    def INPUT_TYPES(cls):
        return {
            "required": {
                "which": ("BOOLEAN", {"default": True}),
                "yes": ("STRING", {"lazy": True}),
                "no": ("STRING", {"lazy": True}),
            }
        }

    def check_lazy_status(self, which, yes=None, no=None):
        return ["yes"] if which else ["no"]

    def run(self, which, yes=None, no=None):
        return (yes if which else no,)


class LabAsync:
    CATEGORY = "Lab"
    RETURN_TYPES = ("STRING",)
    FUNCTION = "run"

    @classmethod
    def INPUT_TYPES(cls):
        return {"required": {"text": ("STRING", {"default": ""}), "seconds": ("FLOAT", {"default": 0.1})}}

    async def run(self, text, seconds):
        await asyncio.sleep(seconds)
        if text == "fail":
            raise ValueError("async failure")
        return (f"{text}@{current().node_id}",)


class LabBlock:
    CATEGORY = "Lab"
    RETURN_TYPES = ("STRING",)
    FUNCTION = "run"

    @classmethod
    def INPUT_TYPES(cls):
        return {"required": {"text": ("STRING", {"default": ""}), "message": ("STRING", {"default": ""})}}

    def run(self, text, message):
        return (ExecutionBlocker(message or None),)


class LabAlways:
    CATEGORY = "Lab"
    RETURN_TYPES = ("STRING",)
    FUNCTION = "run"

    @classmethod
    def INPUT_TYPES(cls):
        return {"required": {"text": ("STRING", {"default": ""})}}

    @classmethod
    def IS_CHANGED(cls, text):
        return float("nan")

    def run(self, text):
        return (text,)


class LabStatus:
    CATEGORY = "Lab"
    RETURN_TYPES = ("STRING",)
    FUNCTION = "run"

    @classmethod
    def INPUT_TYPES(cls):
        return {"required": {"text": ("STRING", {"default": ""})}}

    def run(self, text):
        current().status_text(f"working on {text}")
        return (text,)


_CLASSES = (LabLoad, LabTone, LabResult, LabSlow, LabError, LabText, LabWord, LabWords, LabJoin, LabSwitch, LabAsync)
_CLASSES += (LabBlock, LabAlways, LabStatus)
NODE_CLASS_MAPPINGS = {cls.__name__: cls for cls in _CLASSES}
NODE_DISPLAY_NAME_MAPPINGS = {"LabTone": "Lab Tone"}
