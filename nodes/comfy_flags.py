"""What ComfyUI was started with: the number formats that its command line names for parts of a model."""

from __future__ import annotations

import argparse

PARTS = {"dit": "unet", "vae": "vae", "text": "text_enc", "lm": "text_enc"}
"""How the flags call them; the language model is a text encoder to ComfyUI."""
NAMES = {"dit": "diffusion model", "vae": "VAE", "text": "text encoder", "lm": "language model"}


def precision(role: str, args: argparse.Namespace) -> tuple[str, str]:
    """The number format for a `dit`, `vae`, `text` or `lm`, `auto` where none is named; and what to say of a flag that
    is not followed, if any.
    """
    from acestep_core.devices import dtype_for, pick_device
    from acestep_core.errors import InvalidInput

    end = f"_{PARTS[role]}"
    formats = (name for name, on in vars(args).items() if on is True and name.startswith(("fp", "bf")))
    named = next((name.removesuffix(end) for name in formats if name.endswith(end)), None)
    if named is None:
        return ("fp32" if args.force_fp32 else "auto"), ""
    try:
        dtype_for(role, pick_device("cpu"), named)
    except InvalidInput:
        forced = named == "fp16" and role == "dit" and args.force_fp16
        flag = "--force-fp16" if forced else f"--{named}{end.replace('_', '-')}"
        return "auto", f"{flag} is not followed: the {NAMES[role]} of ACE-Step cannot be computed in it."
    return named, ""
