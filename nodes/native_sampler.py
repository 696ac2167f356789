"""ComfyUI's SAMPLER objects at work in our loop: they see our model as the one they know."""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from acestep_core.errors import InvalidInput

if TYPE_CHECKING:
    from torch import Tensor

    from acestep_core.render.sampler import Integrator


def integrator_of(sampler: Any, seed: int) -> Integrator:
    """What `render.sampler.sample` calls in place of its own method.

    Args:
        seed: of the noise that the sampler itself draws.

    Raises:
        InvalidInput: it is no SAMPLER of ComfyUI, or this is not ComfyUI.
    """
    known = sys.modules.get("comfy.model_sampling")
    if known is None or not hasattr(sampler, "sample"):
        raise InvalidInput("The native sampler must be a SAMPLER of ComfyUI; connect one there, or leave it out.")

    def integrate(
        clean: Callable[[Tensor, float], Tensor], x: Tensor, times: Tensor, tick: Callable[[int, Tensor], None]
    ) -> Tensor:
        state = x.transpose(1, 2)
        model = _model(known, clean)
        extra = {"model_options": {}, "seed": seed}

        def callback(step: int, estimate: Tensor, x: Tensor, total: int) -> None:
            tick(step, estimate.transpose(1, 2))

        # the state twice, as noise and as latent: mixed at any share it is the state again
        done = sampler.sample(model, times.to(x.device), extra, callback, state, state, None, True)
        return done.transpose(1, 2)

    return integrate


def _model(known: Any, clean: Callable[[Tensor, float], Tensor]) -> Any:
    """Our denoiser `[B, 64, T]` as ComfyUI's samplers expect one."""

    class Flow(known.ModelSamplingDiscreteFlow, known.CONST):  # type: ignore[misc, name-defined]
        def inverse_noise_scaling(self, sigma: Tensor, latent: Tensor) -> Tensor:
            return latent  # our loop does that

    class Model:
        cfg = 1.0  # for ComfyUI's log: guidance is our denoiser's own affair

        def __init__(self) -> None:
            flow = Flow()
            flow.set_parameters(shift=1.0, multiplier=1.0)
            self.inner_model = SimpleNamespace(model_sampling=flow)
            inner = self.inner_model
            self.model_patcher = SimpleNamespace(model=inner, get_model_object=lambda name: getattr(inner, name))

        def __call__(self, x: Tensor, sigma: Tensor, model_options: Any = None, **options: Any) -> Tensor:
            if (model_options or {}).get("sampler_post_cfg_function"):
                raise InvalidInput(
                    "This sampler steers by what it sees of the guidance (cfg++), which ours keeps to itself; choose "
                    "another one, such as euler_ancestral or dpmpp_2m."
                )
            return clean(x.transpose(1, 2), float(sigma.max())).transpose(1, 2)

    return Model()
