"""The network that learns: a decoder of one's own with adapters in it, which no cached model ever shares.

Adapters are PEFT's, on the layers as upstream names them (queries, keys and values apart, though inference multiplies
them together), in fp32 beside frozen weights in the model's format. Layers can be checkpointed: their activations are
then made again in the backward pass, which takes a third more time and a fraction of the memory.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from acestep_core import devices
from acestep_core.errors import AdapterError, InvalidInput, TrainingError
from acestep_core.io.terminal import pip_install
from acestep_core.models.acestep import AceStepModel
from acestep_core.models.adapters import applied
from acestep_core.models.dit import CrossGroup, DiT, Prepared
from acestep_core.models.handles import AdapterHandle
from acestep_core.train.objective import Item, seed_of
from acestep_core.train.settings import AdapterOptions

PREFIX: Final = "base_model.model."
"""Before the names of all tensors in an adapter file."""
_NAME: Final = "default"
AGREEMENT: Final = 1e-2
"""How far, relative to its effect, a written adapter may be from the network that was trained."""


class LiveNetwork:
    """A decoder with adapters that learn.

    Attributes:
        decoder: has the adapters in it.
        null: the embedding of no condition, `[1, 1, D]`.
        parameters: what learns, fp32, by the names of an adapter file without `PREFIX`.
        config: of the adapter, as `adapter_config.json` holds it.
        every: how many layers are made again at once in the backward pass; 0 for none.
    """

    def __init__(self, model: AceStepModel, adapter: AdapterOptions, seed: int, every: int = 1) -> None:
        """Changes the decoder of `model` for good.

        Raises:
            InvalidInput: no layer is called as `adapter` says, or PEFT is not there.
        """
        self.decoder: DiT = model.decoder
        self.null = model.null_condition_emb.detach().cpu()
        self.device, self.dtype, self.every = model.device, model.dtype, every
        config = peft_config(adapter)
        with seeded(seed_of(seed, "adapter"), self.device):
            _inject(config, self.decoder, adapter)
        self.config = plain_config(config)
        self.parameters: dict[str, nn.Parameter] = {}
        for name, parameter in self.decoder.named_parameters():
            if parameter.requires_grad:
                parameter.data = parameter.data.float()
                self.parameters[_file_name(name)] = parameter
        if adapter.kind == "dora":
            self._measure()

    def __call__(self, x: Tensor, t: Tensor, context: Tensor, states: Sequence[Tensor]) -> Tensor:
        """Velocity `[B, T, 64]` fp32; see `objective.Velocity`."""
        decoder, x, context = self.decoder, x.to(self.dtype), context.to(self.dtype)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.dtype is torch.bfloat16):
            prepared = decoder.unconditioned(x.shape[1], x)
            embedding, modulation = decoder.embed_time(t.to(self.dtype), None, prepared)
            h = decoder.embed(x, context)
            told = [decoder.condition_embedder(state.to(self.dtype)) for state in states]
            layers, size = len(decoder.blocks), self.every or len(decoder.blocks)
            for first in range(0, layers, size):
                some = range(first, min(first + size, layers))
                work = self._layers(some, prepared, modulation)
                if self.every and torch.is_grad_enabled():
                    h = checkpoint(work, h, *told, use_reentrant=False)
                else:
                    h = work(h, *told)
            return decoder.output(h, embedding)[:, : x.shape[1]].float()

    def _layers(self, some: range, prepared: Prepared, modulation: Tensor) -> Callable[..., Tensor]:
        """Some layers, with the keys and values of the condition, which adapters change too."""
        config = self.decoder.config

        def work(h: Tensor, *told: Tensor) -> Tensor:
            for i in some:
                layer = self.decoder.blocks[i]
                groups, start = [], 0
                for state in told:
                    keys, values = layer.cross_attn.keys_values(state)
                    groups.append(CrossGroup(start, start + len(state), (keys,), (values,)))
                    start += len(state)
                here = replace(prepared, groups=tuple(groups), scales=prepared.scales[i : i + 1])
                h = layer(h, modulation[i : i + 1], here, 0, prepared.band if config.is_sliding(i) else None)
            return h

        return work

    def state(self) -> dict[str, Tensor]:
        """The adapter as an adapter file holds it, fp32 on the CPU."""
        return {PREFIX + name: parameter.detach().cpu().clone() for name, parameter in self.parameters.items()}

    def load(self, tensors: Mapping[str, Tensor]) -> None:
        """Takes the adapter from a file's tensors, all of them and nothing else.

        Raises:
            AdapterError: a tensor is missing, unknown or of another shape.
        """
        found = {name.removeprefix(PREFIX): tensor for name, tensor in tensors.items()}
        shapes = {name: tuple(parameter.shape) for name, parameter in self.parameters.items()}
        if shapes != {name: tuple(tensor.shape) for name, tensor in found.items()}:
            raise AdapterError(
                f"The saved adapter has {len(found)} tensors that do not fit the {len(shapes)} of this run; go on with "
                "the settings and the model that it was begun with, or begin a new run."
            )
        with torch.no_grad():
            for name, parameter in self.parameters.items():
                parameter.copy_(found[name])

    @contextmanager
    def plain(self) -> Iterator[DiT]:
        """The decoder without adapters within the block, to lay written ones onto it."""
        wrapped: list[tuple[nn.Module, str, Any]] = [
            (parent, name, layer)
            for parent in list(self.decoder.modules())
            for name, layer in list(parent.named_children())
            if hasattr(layer, "get_base_layer") and hasattr(layer, "base_layer")
        ]
        for parent, name, layer in wrapped:
            setattr(parent, name, layer.get_base_layer())
        try:
            yield self.decoder
        finally:
            for parent, name, layer in wrapped:
                setattr(parent, name, layer)

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Without dropout and gradients within the block."""
        self.decoder.eval()
        try:
            with torch.no_grad():
                yield
        finally:
            self.decoder.train()

    @contextmanager
    def away(self) -> Iterator[None]:
        """Off the device within the block, to leave room for a test song."""
        self.decoder.to("cpu")
        devices.empty_cache(self.device)
        try:
            yield
        finally:
            self.decoder.to(self.device)

    def _measure(self) -> None:
        """The lengths that DoRA starts from in full precision: PEFT rounds them to the model's format."""
        layers = dict(self.decoder.named_modules())
        for name, parameter in self.parameters.items():
            if name.endswith(".lora_magnitude_vector"):
                layer: Any = layers[name.removesuffix(".lora_magnitude_vector")]
                parameter.data.copy_(layer.get_base_layer().weight.detach().float().norm(dim=1))


def agreement(network: LiveNetwork, adapter: Path, item: Item) -> float:
    """How far a written adapter, loaded as for a song, is from the network that was trained; 0 where it is the same.

    Returns:
        The largest difference of the velocities of `item`, relative to the adapter's largest effect.

    Raises:
        TrainingError: it does nothing, or something else.
    """
    x, context, t = (part[None].to(network.device) for part in (item.noisy, item.context, item.t))
    states = [item.states.to(network.device)]
    with network.listening():
        live = network(x, t, context, states)
        with network.plain() as decoder:
            inputs = [part.to(network.dtype) for part in (x, t, context, states[0])]
            without = decoder(*inputs).float()
            with applied(decoder, [AdapterHandle(adapter)]):
                loaded = decoder(*inputs).float()
    effect = float((live - without).abs().max())
    if effect == 0:
        raise TrainingError(f"The adapter {adapter} changes nothing; train it for longer or with a higher rate.")
    error = float((live - loaded).abs().max()) / effect
    # In half precision both sides round anew at every layer, whatever the adapter does.
    rounding = 0.0 if network.dtype is torch.float32 else 4 * torch.finfo(network.dtype).eps
    if not error <= max(AGREEMENT, rounding * float(without.abs().max()) / effect):
        raise TrainingError(
            f"The adapter {adapter}, read back, is off by {error:.1e} of its effect; please report this."
        )
    return error


@contextmanager
def seeded(seed: int, device: torch.device) -> Iterator[None]:
    """Random numbers of torch's own generators, on the CPU and on `device`, come from `seed` within the block."""
    if devices.is_host(device):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            yield
    else:
        with torch.random.fork_rng(devices=[device.index or 0], device_type=device.type):
            torch.manual_seed(seed)
            yield


def peft_config(adapter: AdapterOptions) -> Any:
    """PEFT's own settings. Raises InvalidInput where PEFT is not installed or does not load."""
    try:
        import peft
    except ImportError as error:
        absent = isinstance(error, ModuleNotFoundError) and error.name == "peft"
        reason = "" if absent else f", and the one that is here does not load ({error})"
        raise InvalidInput(
            f"Training needs PEFT{reason}; install it with `{pip_install('--upgrade', 'peft', 'accelerate')}`."
        ) from error
    targets = list(adapter.suffixes)
    if adapter.kind == "lokr":
        return peft.LoKrConfig(
            r=adapter.rank,
            alpha=adapter.alpha,  # type: ignore[arg-type]
            target_modules=targets,
            decompose_factor=adapter.factor,
            decompose_both=adapter.decompose_both,
        )
    return peft.LoraConfig(
        r=adapter.rank,
        lora_alpha=adapter.alpha,  # type: ignore[arg-type]
        lora_dropout=adapter.dropout,
        target_modules=targets,
        bias="none",
        use_rslora=adapter.kind == "rslora",
        use_dora=adapter.kind == "dora",
    )


def plain_config(config: Any) -> dict[str, Any]:
    """What `adapter_config.json` says."""
    values: dict[str, Any] = {name: sorted(v) if isinstance(v, set) else v for name, v in config.to_dict().items()}
    alpha = "alpha" if "alpha" in values else "lora_alpha"
    if float(values[alpha]).is_integer():
        values[alpha] = int(values[alpha])
    kind = values["peft_type"]
    return {**values, "peft_type": getattr(kind, "value", kind), "inference_mode": True}


def _inject(config: Any, decoder: DiT, adapter: AdapterOptions) -> None:
    from peft import inject_adapter_in_model
    from peft.tuners.tuners_utils import BaseTunerLayer

    try:
        inject_adapter_in_model(config, decoder, _NAME)
    except ValueError as error:
        raise InvalidInput(
            f"No layer of this model is called {adapter.targets!r}; choose other targets, such as attention."
        ) from error
    for layer in decoder.modules():
        if isinstance(layer, BaseTunerLayer):
            # The model's format goes in and autocast brings both together: a cast copy would be kept for backward.
            layer.cast_input_dtype_enabled = False  # type: ignore[assignment]


def _file_name(name: str) -> str:
    """`layers.0.self_attn.q_proj.lora_A.default.weight` as an adapter file names it, without `PREFIX`."""
    return name.replace(f".{_NAME}", "").replace("lora_magnitude_vector.weight", "lora_magnitude_vector")
