"""Handles: what a graph passes around instead of modules. Plain values, cheap to copy, equal when they mean the same
weights.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from acestep_core.checkpoints.catalog import Preset, Variant, variant_named
from acestep_core.checkpoints.find import is_tiny, is_toy
from acestep_core.io.names import meant
from acestep_core.options import INT8

if TYPE_CHECKING:
    import torch

    from acestep_core.models.lent import Lender


@dataclass(frozen=True)
class Handle:
    """Weights at `path`, to be used in number format `dtype` on `device` (both may be `auto`).

    Where a host lends weights that it holds itself, `lent` is who does, and `path` only what they are called. `role` is
    what kind of model it is: `dit`, `vae`, `text` or `lm`. One that `leaves` stays on its device only while a stage
    needs it, as a favour to other programs.
    """

    role: ClassVar[str]
    path: Path
    dtype: str = "auto"
    device: str = "auto"
    lent: Lender | None = field(default=None, kw_only=True)
    leaves: bool = field(default=False, kw_only=True)

    def format_on(self, device: torch.device) -> torch.dtype:
        """The number format in which the weights are computed there."""
        from acestep_core.checkpoints.counting import value_count
        from acestep_core.devices import dtype_for

        def values() -> int:
            lent = self.lent is not None or not self.path.exists()
            return 0 if lent else value_count(self.role, self.path, getattr(self, "variant", None))

        return dtype_for(self.role, device, self.dtype, values)

    def format_name(self, device: torch.device) -> str:
        """The number format in which it is there, by the name that asks for it again."""
        from acestep_core.devices import dtype_name

        return INT8 if self.eight_bits else dtype_name(self.format_on(device))

    @property
    def eight_bits(self) -> bool:
        """Whether its linear layers are to be rounded to eight bits. A VAE has none."""
        return self.dtype == INT8 and self.role != "vae"

    @property
    def tiny(self) -> bool:
        """Whether the weights are of a tiny checkpoint, which makes noise instead of music."""
        return self.lent is None and is_tiny(self.path)

    @property
    def toy(self) -> bool:
        """Whether that checkpoint is the built-in model, which makes music of a simple kind."""
        return self.lent is None and is_toy(self.path)


@dataclass(frozen=True)
class TextHandle(Handle):
    """The Qwen3 text encoder. `tokenizer` is the tokenizer.json, where it does not lie beside the weights."""

    role: ClassVar[str] = "text"
    tokenizer: Path | None = None


@dataclass(frozen=True)
class VAEHandle(Handle):
    """The 48 kHz Oobleck VAE."""

    role: ClassVar[str] = "vae"


@dataclass(frozen=True)
class LMHandle(Handle):
    """The 5 Hz language model. `tokenizer` is the tokenizer.json, where it does not lie beside the weights."""

    role: ClassVar[str] = "lm"
    tokenizer: Path | None = None


@dataclass(frozen=True)
class AdapterHandle:
    """An adapter file or folder and its strength."""

    path: Path
    strength: float = 1.0

    @property
    def nbytes(self) -> int:
        """Size of its weights on disk: a file, or those of a folder."""
        files = self.path.glob("*.safetensors") if self.path.is_dir() else [self.path]
        return sum(file.stat().st_size for file in files if file.is_file())


@dataclass(frozen=True)
class ModelHandle(Handle):
    """One ACE-Step checkpoint with the text encoder it listens to.

    Attributes:
        variant: what it is, see `checkpoints.catalog`.
        text: its text encoder.
        vae: encodes the silence latent where the checkpoint lacks one (ComfyUI files do).
        stems: whether it is a stems checkpoint (`is_lego_sft`), which wants another caption.
        adapters: applied to the decoder whenever it runs, in this order.
        shift: of its schedule, where somebody has set another than the checkpoint's own.
    """

    role: ClassVar[str] = "dit"
    variant: str = "turbo"
    text: TextHandle | None = None
    vae: VAEHandle | None = None
    stems: bool = False
    adapters: tuple[AdapterHandle, ...] = ()
    shift: float | None = None

    @property
    def info(self) -> Variant:
        """Kind, size, tasks and preset of the checkpoint."""
        return variant_named(self.variant)

    @property
    def preset(self) -> Preset:
        preset = self.info.preset
        return preset if self.shift is None else replace(preset, shift=self.shift)

    def with_adapter(self, path: Path, strength: float) -> ModelHandle:
        """This model with one more adapter; strength 0 leaves it out."""
        if strength == 0:
            return self
        return replace(self, adapters=(*self.adapters, AdapterHandle(Path(path), strength)))

    @property
    def bare(self) -> ModelHandle:
        """This model without adapters."""
        return replace(self, adapters=())


@dataclass(frozen=True)
class Models:
    """What a song needs. `remarks` say where something is not quite what was asked for."""

    model: ModelHandle
    vae: VAEHandle
    lm: LMHandle | None = None
    remarks: tuple[str, ...] = ()

    @property
    def tiny(self) -> bool:
        """Whether any of them is of a tiny checkpoint, which makes noise instead of music."""
        return any(part is not None and part.tiny for part in (self.model, self.model.text, self.vae, self.lm))

    def leaving(self, roles: Sequence[str]) -> Models:
        """The same, of which models of these roles leave their device whenever their stage ends."""
        if not roles:
            return self

        def told(handle: Any) -> Any:
            return handle and replace(handle, leaves=handle.role in roles)

        model = replace(told(self.model), text=told(self.model.text), vae=told(self.model.vae))
        return replace(self, model=model, vae=told(self.vae), lm=told(self.lm))

    def with_adapter(self, path: str | Path, strength: float = 1.0) -> Models:
        """The same with one more adapter."""
        return replace(self, model=self.model.with_adapter(meant(path), strength))
