"""Where a request ends in something else than upstream's, and why: rules, so that they hold for any set of cases."""

from __future__ import annotations

UNKNOWN_LENGTH = (
    "Upstream writes 30 seconds into the prompt when no length was given, whatever length it then makes (120 s, or "
    "that of the codes); we state the length that is made."
)
NO_SHARED_COVER = (
    "Upstream decides once per batch whether codes make it a cover, so an item without codes gets the cover "
    "instruction and silence as hints; each of our items is its own task, and one without codes is plain text to music."
)
OWN_LENGTH = (
    "Upstream pads the items of a batch to the longest one; each of ours has the length of its single run, so that it "
    "is that run."
)
EXACT_LENGTH = (
    "Upstream returns whole latent frames, at least 128, of a length rounded to 0.1 s; we cut to the requested sample."
)

REFUSED_REGION = (
    "Upstream remakes the whole song when a region is empty, and leaves a gap when it starts after the source; we "
    "refuse both."
)


def region_is_refused(row: dict) -> bool:
    """`REFUSED_REGION` applies."""
    request, length = row["request"], row["source_seconds"]
    if request.get("task_type") not in ("repaint", "lego") or length is None:
        return False
    start, end = request.get("repainting_start", 0.0), request.get("repainting_end")
    return start > length or (length if end is None or end < 0 else end) <= start


def prompt_length_differs(request: dict) -> bool:
    """`UNKNOWN_LENGTH` applies."""
    codes = bool(request.get("audio_code_string"))
    return (request.get("audio_duration") or -1) <= 0 and (codes or not request.get("src_audio"))


def own_frames(row: dict, item: int) -> int:
    """Frames of the item's single run (`OWN_LENGTH`), from the latents that upstream did not pad."""
    return max(128, row["latent_mask_true_runs"][item][-1][1])


def without_codes_among_codes(request: dict, item: int) -> bool:
    """`NO_SHARED_COVER` applies."""
    codes = request.get("audio_code_string")
    return isinstance(codes, list) and any(codes) and not codes[item]
