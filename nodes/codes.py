"""Semantic codes as text, to keep, edit and use again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from acestep_core.errors import CodesError
from acestep_core.song.codes import codes_to_text, text_to_codes, text_to_codes_lenient

from . import inputs, wires
from .host import monitor
from .remarks import Told, told

if TYPE_CHECKING:
    from acestep_core.models.handles import ModelHandle, VAEHandle

Codes = tuple[tuple[int, ...], ...]
"""What travels on the wire: one sequence per song of the batch, 5 codes a second."""


class ACEStepAudioToCodes:
    TITLE = "ACE-Step Audio to Codes"
    CATEGORY = "ACE-Step/codes"
    DESCRIPTION = "Writes down what is played in a recording, as semantic codes, 5 a second."
    SEARCH_ALIASES: ClassVar = ["tokenize audio", "semantic tokens", "extract codes"]
    RETURN_TYPES = (wires.CODES,)
    RETURN_NAMES = ("codes",)
    OUTPUT_TOOLTIPS = ("One sequence of codes per recording.",)
    FUNCTION = "encode"
    HAS_INTERMEDIATE_OUTPUT = True

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return {
            "required": {
                "model": inputs.wire(wires.MODEL, "The model whose audio tokenizer is used."),
                "vae": inputs.wire(wires.VAE, "The VAE that encodes the recording."),
                "audio": inputs.wire("AUDIO", "The recording, up to 600 seconds."),
            }
        }

    def encode(self, model: ModelHandle, vae: VAEHandle, audio: dict[str, Any]) -> Told:
        from functools import partial

        import torch

        from acestep_core.models.acestep import tokenizing_bytes
        from acestep_core.models.manager import manager
        from acestep_core.render.stages import encode_audio
        from acestep_core.render.tasks import check_source, whole_frames

        waveform, remark = wires.from_audio(audio)
        check_source(waveform.shape[-1])
        latents = encode_audio(vae, whole_frames(waveform), monitor=monitor())
        needs = partial(tokenizing_bytes, frames=latents.shape[1])
        with torch.inference_mode(), manager.resident(model.bare, needs) as module:
            codes = [module.codes(item[None].to(module.device, module.dtype))[0] for item in latents]
        return told((tuple(tuple(song.tolist()) for song in codes),), remark)


class ACEStepCodesToText:
    TITLE = "ACE-Step Codes to Text"
    CATEGORY = "ACE-Step/codes"
    DESCRIPTION = "Writes semantic codes as text, one line per song of the batch."
    SEARCH_ALIASES: ClassVar = ["audio codes", "semantic tokens", "export codes"]
    RETURN_TYPES = ("STRING",)
    RETURN_NAMES = ("text",)
    OUTPUT_TOOLTIPS = ("All codes as text, one line per song.",)
    FUNCTION = "write"

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return {"required": {"codes": inputs.wire(wires.CODES, "The codes to write down.")}}

    def write(self, codes: Codes) -> tuple[str]:
        return ("\n".join(codes_to_text(song) for song in codes),)


class ACEStepTextToCodes:
    TITLE = "ACE-Step Text to Codes"
    CATEGORY = "ACE-Step/codes"
    DESCRIPTION = "Reads semantic codes from text, one song per line."
    SEARCH_ALIASES: ClassVar = ["audio codes", "semantic tokens", "import codes"]
    RETURN_TYPES = (wires.CODES,)
    RETURN_NAMES = ("codes",)
    OUTPUT_TOOLTIPS = ("One sequence of codes per line of the text.",)
    FUNCTION = "read"

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return {
            "required": {
                "text": inputs.text("Codes as ACE-Step Codes to Text writes them, one song per line.", multiline=True),
            },
            "optional": {
                "strict": inputs.switch(
                    True,
                    "Refuse anything that is not a legal code. Off: clamp codes and skip other text.",
                    advanced=True,
                ),
            },
        }

    def read(self, text: str, strict: bool = True) -> tuple[Codes]:
        read = text_to_codes if strict else lambda line: text_to_codes_lenient(line)[0]
        songs = tuple(codes for line in text.splitlines() if (codes := read(line)))
        if not songs:
            raise CodesError("The text holds no codes; paste codes such as <|audio_code_123|>.")
        return (songs,)
