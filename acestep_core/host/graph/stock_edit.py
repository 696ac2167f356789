"""What ComfyUI's nodes for audio and for latents have in common here."""

from __future__ import annotations

from typing import Any, ClassVar


class Edit:
    """`REQUIRED` are the inputs, handed to `run` by name."""

    TITLE = ""
    CATEGORY = ""
    DESCRIPTION = ""
    SEARCH_ALIASES: ClassVar[list[str]] = []
    RETURN_TYPES: tuple[str, ...] = ()
    FUNCTION = "run"
    REQUIRED: ClassVar[dict[str, Any]] = {}

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return {"required": cls.REQUIRED}
