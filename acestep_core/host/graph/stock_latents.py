"""ComfyUI's nodes that gather, cut and mix latents, under its ids, inputs and outputs: see `stock_nodes`.

LATENT is `{"samples": [B, C, T], …}`, here of music; other keys travel along. `batch_index` says which draw of noise
each song of a batch takes. What ComfyUI would resize like pictures must be of one length here, as it fails there, too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from acestep_core.errors import InvalidInput
from acestep_core.host.graph.stock_edit import Edit

if TYPE_CHECKING:
    from torch import Tensor

Latent = dict[str, Any]

_LATENT: tuple[str, dict[str, Any]] = ("LATENT", {})
_DIMENSIONS = {"x": -1, "y": -2, "t": -3}
"""Of music: time, channel, song."""
_FARTHEST = 16384


class _LatentEdit(Edit):
    CATEGORY = "latent/advanced"
    RETURN_TYPES = ("LATENT",)


_TWO = {"samples1": _LATENT, "samples2": _LATENT}


class LatentAdd(_LatentEdit):
    TITLE = "LatentAdd"
    DESCRIPTION = "The sum of both."
    SEARCH_ALIASES: ClassVar = ["combine latents", "sum latents"]
    REQUIRED: ClassVar = _TWO

    def run(self, samples1: Latent, samples2: Latent) -> tuple[Latent]:
        return (_with(samples1, samples1["samples"] + _like(samples2, samples1)),)


class LatentSubtract(_LatentEdit):
    TITLE = "LatentSubtract"
    DESCRIPTION = "The first without the second."
    SEARCH_ALIASES: ClassVar = ["difference latent", "remove features"]
    REQUIRED: ClassVar = _TWO

    def run(self, samples1: Latent, samples2: Latent) -> tuple[Latent]:
        return (_with(samples1, samples1["samples"] - _like(samples2, samples1)),)


class LatentMultiply(_LatentEdit):
    TITLE = "LatentMultiply"
    DESCRIPTION = "Multiplies latents by a number."
    SEARCH_ALIASES: ClassVar = ["scale latent", "amplify latent", "latent gain"]
    REQUIRED: ClassVar = {
        "samples": _LATENT,
        "multiplier": ("FLOAT", {"default": 1.0, "min": -10.0, "max": 10.0, "step": 0.01}),
    }

    def run(self, samples: Latent, multiplier: float) -> tuple[Latent]:
        return (_with(samples, samples["samples"] * multiplier),)


class LatentInterpolate(_LatentEdit):
    TITLE = "LatentInterpolate"
    DESCRIPTION = "Between both: their directions and their lengths are mixed each for itself, frame by frame."
    SEARCH_ALIASES: ClassVar = ["blend latent", "mix latent", "lerp latent", "transition"]
    REQUIRED: ClassVar = {
        **_TWO,
        "ratio": ("FLOAT", {"default": 1.0, "min": 0.0, "max": 1.0, "step": 0.01, "tooltip": "1 is the first."}),
    }

    def run(self, samples1: Latent, samples2: Latent, ratio: float) -> tuple[Latent]:
        one, other = samples1["samples"], _like(samples2, samples1)
        (one, here), (other, there) = _direction(one), _direction(other)
        mixed, _ = _direction(one * ratio + other * (1 - ratio))
        return (_with(samples1, mixed * (here * ratio + there * (1 - ratio))),)


class LatentBlend(_LatentEdit):
    TITLE = "Latent Blend"
    CATEGORY = "experimental"
    DESCRIPTION = "A mixture of both."
    SEARCH_ALIASES: ClassVar = ["mix latents", "interpolate latents"]
    REQUIRED: ClassVar = {
        **_TWO,
        "blend_factor": ("FLOAT", {"default": 0.5, "min": 0, "max": 1, "step": 0.01, "tooltip": "1 is the first."}),
    }

    def run(self, samples1: Latent, samples2: Latent, blend_factor: float) -> tuple[Latent]:
        mixed = samples1["samples"] * blend_factor + _like(samples2, samples1) * (1 - blend_factor)
        return (_with(samples1, mixed),)


class LatentConcat(_LatentEdit):
    TITLE = "LatentConcat"
    DESCRIPTION = "One after the other in time (x), channels (y) or batch (t); with a minus the second comes first."
    SEARCH_ALIASES: ClassVar = ["join latents", "stitch latents"]
    REQUIRED: ClassVar = {**_TWO, "dim": ("COMBO", {"options": ["x", "-x", "y", "-y", "t", "-t"]})}

    def run(self, samples1: Latent, samples2: Latent, dim: str) -> tuple[Latent]:
        import torch

        parts = [samples1["samples"], _repeated(samples2["samples"], len(samples1["samples"]))]
        along = _DIMENSIONS[dim.removeprefix("-")]
        sizes = [[size for place, size in enumerate(part.shape, -part.ndim) if place != along] for part in parts]
        if sizes[0] != sizes[1]:
            raise InvalidInput(
                f"Latents of {_sizes(*parts)} cannot be joined along {dim}; they must be alike otherwise."
            )
        return (_with(samples1, torch.cat(parts[::-1] if dim.startswith("-") else parts, dim=along)),)


class LatentCut(_LatentEdit):
    TITLE = "LatentCut"
    DESCRIPTION = "Keeps a part in time (x, 25 frames a second), channels (y) or batch (t)."
    SEARCH_ALIASES: ClassVar = ["crop latent", "slice latent", "extract region"]
    REQUIRED: ClassVar = {
        "samples": _LATENT,
        "dim": ("COMBO", {"options": ["x", "y", "t"]}),
        "index": ("INT", {"default": 0, "min": -_FARTHEST, "max": _FARTHEST, "step": 1}),
        "amount": ("INT", {"default": 1, "min": 1, "max": _FARTHEST, "step": 1}),
    }

    def run(self, samples: Latent, dim: str, index: int, amount: int) -> tuple[Latent]:
        whole = samples["samples"]
        size = whole.shape[_DIMENSIONS[dim]]
        start = min(index, size - 1) if index >= 0 else max(index, -size) + size
        return (_with(samples, whole.narrow(_DIMENSIONS[dim], start, min(size - start, amount))),)


class LatentCutToBatch(_LatentEdit):
    TITLE = "LatentCutToBatch"
    DESCRIPTION = "Cuts each song into parts of equal length, which become a batch; a shorter rest is left out."
    SEARCH_ALIASES: ClassVar = ["slice to batch", "split latent", "tile latent"]
    REQUIRED: ClassVar = {
        "samples": _LATENT,
        "dim": ("COMBO", {"options": ["t", "x", "y"]}),
        "slice_size": ("INT", {"default": 1, "min": 1, "max": _FARTHEST, "step": 1}),
    }

    def run(self, samples: Latent, dim: str, slice_size: int) -> tuple[Latent]:
        whole = samples["samples"]
        along = whole.ndim + _DIMENSIONS[dim]
        if along < 2:  # songs and channels stay together
            return (samples,)
        moved = whole.movedim(along, 1)
        size = min(slice_size, moved.shape[1])
        moved = moved[:, : moved.shape[1] // size * size]
        return (_with(samples, moved.reshape(-1, size, *moved.shape[2:]).movedim(1, along)),)


class LatentBatch(_LatentEdit):
    TITLE = "LatentBatch"
    CATEGORY = "latent/batch"
    DESCRIPTION = "The songs of both as one batch."
    SEARCH_ALIASES: ClassVar = ["combine latents", "merge latents", "join latents"]
    DEPRECATED = True
    REQUIRED: ClassVar = _TWO

    def run(self, samples1: Latent, samples2: Latent) -> tuple[Latent]:
        import torch

        parts = [samples1["samples"], samples2["samples"]]
        _check(*parts)
        return (_with(samples1, torch.cat(parts), batch_index=_draws(samples1) + _draws(samples2)),)


class LatentBatchSeedBehavior(_LatentEdit):
    TITLE = "LatentBatchSeedBehavior"
    DESCRIPTION = "Whether all songs of a batch start from the same noise."
    REQUIRED: ClassVar = {
        "samples": _LATENT,
        "seed_behavior": ("COMBO", {"options": ["random", "fixed"], "default": "fixed"}),
    }

    def run(self, samples: Latent, seed_behavior: str) -> tuple[Latent]:
        if seed_behavior == "random":
            return ({key: value for key, value in samples.items() if key != "batch_index"},)
        return ({**samples, "batch_index": [samples.get("batch_index", [0])[0]] * len(samples["samples"])},)


class LatentFromBatch(_LatentEdit):
    TITLE = "Latent From Batch"
    CATEGORY = "latent/batch"
    DESCRIPTION = "Some songs of a batch; a negative index is counted from its end."
    SEARCH_ALIASES: ClassVar = ["select from batch", "pick latent", "batch subset"]
    REQUIRED: ClassVar = {
        "samples": _LATENT,
        "batch_index": ("INT", {"default": 0, "min": -_FARTHEST, "max": _FARTHEST}),
        "length": ("INT", {"default": 1, "min": 1, "max": 64}),
    }

    def run(self, samples: Latent, batch_index: int, length: int) -> tuple[Latent]:
        count = len(samples["samples"])
        first = max(0, min(count - 1, batch_index + (count if batch_index < 0 else 0)))
        songs = slice(first, first + min(count - first, length))
        kept: Latent = {"batch_index": _draws(samples)[songs]}
        if "noise_mask" in samples:
            masks = samples["noise_mask"]
            kept["noise_mask"] = masks if len(masks) == 1 else _repeated(masks, max(count, len(masks)))[songs]
        return (_with(samples, samples["samples"][songs], **kept),)


class RepeatLatentBatch(_LatentEdit):
    TITLE = "Repeat Latent Batch"
    CATEGORY = "latent/batch"
    DESCRIPTION = "The same songs several times, each time with the next noise."
    SEARCH_ALIASES: ClassVar = ["duplicate latent", "clone latent"]
    REQUIRED: ClassVar = {"samples": _LATENT, "amount": ("INT", {"default": 1, "min": 1, "max": 64})}

    def run(self, samples: Latent, amount: int) -> tuple[Latent]:
        whole, more = samples["samples"], {}
        if len(samples.get("noise_mask", ())) > 1:
            masks = samples["noise_mask"]
            more["noise_mask"] = masks.repeat(amount, *[1] * (masks.ndim - 1))
        if "batch_index" in samples:
            draws = samples["batch_index"]
            apart = max(draws) - min(draws) + 1
            more["batch_index"] = [draw + time * apart for time in range(amount) for draw in draws]
        return (_with(samples, whole.repeat(amount, *[1] * (whole.ndim - 1)), **more),)


def _with(latent: Latent, samples: Tensor, **more: Any) -> Latent:
    return {**latent, "samples": samples, **more}


def _draws(latent: Latent) -> list[int]:
    return list(latent.get("batch_index", range(len(latent["samples"]))))


def _like(other: Latent, first: Latent) -> Tensor:
    """The samples of `other`, as many songs as `first` has."""
    _check(first["samples"], other["samples"])
    return _repeated(other["samples"], len(first["samples"]))


def _check(first: Tensor, second: Tensor) -> None:
    if first.shape[1:] != second.shape[1:]:
        raise InvalidInput(f"Latents of {_sizes(first, second)} do not fit together; make them equally long first.")


def _sizes(first: Tensor, second: Tensor) -> str:
    return " and ".join(f"{part.shape[-1]} frames and {part.shape[1]} channels" for part in (first, second))


def _repeated(samples: Tensor, count: int) -> Tensor:
    """The first `count` of the songs, over and over."""
    times = -(-count // len(samples))
    return samples.repeat(times, *[1] * (samples.ndim - 1))[:count]


def _direction(samples: Tensor) -> tuple[Tensor, Tensor]:
    """Each frame as a unit vector of channels, and its length; silence has none."""
    import torch

    length = torch.linalg.vector_norm(samples, dim=1, keepdim=True)
    return torch.nan_to_num(samples / length), length


LATENT_EDITS = {
    cls.__name__: cls
    for cls in (
        LatentAdd,
        LatentSubtract,
        LatentMultiply,
        LatentInterpolate,
        LatentBlend,
        LatentConcat,
        LatentCut,
        LatentCutToBatch,
        LatentBatch,
        LatentBatchSeedBehavior,
        LatentFromBatch,
        RepeatLatentBatch,
    )
}
