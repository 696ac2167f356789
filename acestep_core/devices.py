"""Which device and number format to use. The only module that names devices.

Sources: upstream's dtype choice (bf16 from Ampere on, fp32 on CPU), minus its fp16 fallback, which produced NaN and
silence on cards without bf16; plus bf16 on processors that compute in it, measured in docs/performance.md.
"""

from __future__ import annotations

import platform
import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import torch

from acestep_core.errors import InvalidInput
from acestep_core.options import INT8

DTYPES = {"auto": None, "bf16": torch.bfloat16, "fp32": torch.float32, "fp16": torch.float16, INT8: None}


WORTH_BF16 = 128 << 20
"""Values from which on a processor computes a model in bf16 if it can: less to read, and faster. What is smaller is
quick in fp32 too, and has all its digits.
"""
HOST = torch.device("cpu")
SOME_CARD = torch.device("cuda", 0)
"""A graphics card that need not be there, to tell what would be on one."""
UNLIMITED = 1 << 60
"""Bytes nobody has: the free memory of a device that does not tell."""
_FULL = (
    "out of memory", "out_of_memory", "out_of_device_memory", "out_of_host_memory", "not enough memory",
    "can't allocate memory", "not enough gpu video memory", "_alloc_failed",
)  # fmt: skip
"""How back ends without an exception of their own say that memory is full, in lower case."""


def available_devices() -> list[str]:
    """Devices this machine can compute on, best first. ROCm appears as cuda, as torch itself names it."""
    found = []
    if torch.cuda.is_available():
        found += [f"cuda:{i}" for i in range(torch.cuda.device_count())]
    if hasattr(torch, "xpu") and torch.xpu.is_available():
        found += [f"xpu:{i}" for i in range(torch.xpu.device_count())]
    if torch.backends.mps.is_available():
        found.append("mps:0")
    return [*found, "cpu"]


def unused_card() -> str:
    """What to say where there is an NVIDIA card that this torch cannot use, else nothing."""
    if available_devices() != ["cpu"] or shutil.which("nvidia-smi") is None:
        return ""
    return (
        f"There is an NVIDIA card, but torch {torch.__version__} cannot use it, so everything runs on the processor; "
        "install the build for your CUDA version from pytorch.org."
    )


def device_choices() -> list[str]:
    """What a user may choose from."""
    return ["auto", *available_devices()]


def indexed(device: torch.device | str) -> torch.device:
    """The device as tensors on it name it: with its number, so that `cuda` is `cuda:0`."""
    device = torch.device(device)
    return torch.device(device.type) if device.type in ("cpu", "meta") else torch.device(device.type, device.index or 0)


def pick_device(name: str = "auto") -> torch.device:
    """The device called `name`, always with its number, or the best one for `auto`.

    Back ends that only a host knows (DirectML, Ascend) are taken at their word once they hold a tensor.

    Raises:
        InvalidInput: there is no such device here; the message lists those that are.
    """
    known = available_devices()
    if name == "auto":
        return torch.device(known[0])
    try:
        device = indexed(name)
        present = str(device) in known
        if not present and device.type not in ("cuda", "xpu", "mps", "cpu", "meta"):
            present = torch.empty(1, device=device).device == device
    except (RuntimeError, ImportError, AssertionError):  # what torch says to names without a back end
        present = False
    if not present:
        raise InvalidInput(f"There is no device {name!r} here; choose one of {', '.join(device_choices())}.")
    return device


def thread_count() -> int:
    """How many threads the processor computes with."""
    return torch.get_num_threads()


@contextmanager
def threads(count: int | None) -> Iterator[None]:
    """Computes on the processor with as many threads as a song was made with, which decides its last bits."""
    before = torch.get_num_threads()
    if count and count != before:
        torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def supports_bf16(device: torch.device) -> bool:
    """Whether bf16 arithmetic on `device` is native (not emulated, and not slower than fp32)."""
    if device.type == "cuda":
        if torch.version.hip or not torch.cuda.is_available():
            return True  # of a card that is not there the usual is told
        return torch.cuda.get_device_capability(device)[0] >= 8
    if device.type == "cpu":
        return _processor_has_bf16()
    return device.type == "xpu"


@cache
def _processor_has_bf16() -> bool:
    """Whether it multiplies bf16 numbers itself. Asked, not timed: the same machine always gives the same song."""
    tell = getattr(torch.cpu, "get_capabilities", None)  # older torch does not say
    known = tell() if tell is not None else {}
    return bool(known.get("avx512_bf16") or known.get("amx_bf16"))


def dtype_for(
    role: str, device: torch.device, wanted: str = "auto", values: Callable[[], int] = lambda: 0
) -> torch.dtype:
    """The number format of a module.

    Args:
        role: `dit`, `vae`, `text` or `lm`.
        device: where it computes.
        wanted: `auto`, `bf16`, `fp32` or `fp16`. fp16 is refused for DiT and VAE: their activations overflow.
        values: tells how many its weights are, which on a processor decides whether bf16 is worth it. Never for the
            VAE: convolutions of a processor are many times slower in it.
    """
    if wanted not in DTYPES:
        raise InvalidInput(f"Unknown number format {wanted!r}; choose one of {', '.join(DTYPES)}.")
    dtype = DTYPES[wanted]
    if dtype is torch.float16 and role in ("dit", "vae"):
        raise InvalidInput(f"The {role.upper()} overflows in fp16 and turns silent; choose auto, bf16 or fp32.")
    if dtype is not None:
        return dtype
    if is_host(device) and (role == "vae" or values() < WORTH_BF16):
        return torch.float32
    return torch.bfloat16 if supports_bf16(device) else torch.float32


def dtype_name(dtype: torch.dtype) -> str:
    """The name under which `dtype_for` takes a number format."""
    return next(name for name, known in DTYPES.items() if known is dtype)


def device_name(device: torch.device) -> str:
    """What tells a device from others that may round differently: the card, or the processor and its threads."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    if device.type == "xpu":
        return torch.xpu.get_device_name(device)
    threads = f", {torch.get_num_threads()} threads" if is_host(device) else ""
    return f"{platform.machine()}{threads}"


def free_memory(device: torch.device) -> int:
    """Bytes that can still be allocated on `device`, counting what torch has reserved but does not use; `UNLIMITED`
    where that cannot be known.
    """
    if is_host(device):
        return free_ram()
    if device.type == "mps":
        return torch.mps.recommended_max_memory() - torch.mps.current_allocated_memory()
    backend: Any = getattr(torch, device.type, None)
    if hasattr(backend, "mem_get_info"):
        free, _ = backend.mem_get_info(device)
        return free + backend.memory_reserved(device) - backend.memory_allocated(device)
    if device.type == "xpu":
        return torch.xpu.get_device_properties(device).total_memory - torch.xpu.memory_allocated(device)
    return UNLIMITED


def total_memory(device: torch.device) -> int:
    """Bytes of memory that `device` has; `UNLIMITED` where that cannot be known."""
    if is_host(device):
        import psutil

        return psutil.virtual_memory().total
    if device.type == "mps":  # shares main memory
        return torch.mps.recommended_max_memory()
    backend: Any = getattr(torch, device.type, None)
    if hasattr(backend, "get_device_properties"):
        return backend.get_device_properties(device).total_memory
    return UNLIMITED


def is_out_of_memory(error: BaseException) -> bool:
    """Whether `error` is how some back end says that its memory is full."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and any(words in str(error).lower() for words in _FULL)


def free_ram() -> int:
    """Bytes of main memory that can be taken without swapping."""
    import psutil

    return psutil.virtual_memory().available


def empty_cache(device: torch.device) -> None:
    """Gives memory that torch keeps for later back to the device."""
    backend: Any = getattr(torch, device.type, None)
    if hasattr(backend, "empty_cache"):
        backend.empty_cache()


def sent(tensor: torch.Tensor, device: torch.device) -> torch.Tensor:
    """`tensor`, from main memory, on `device`, without waiting for what the device still has to do."""
    if device.type == "cuda":
        return tensor.pin_memory().to(device, non_blocking=True)
    return tensor.to(device)


def landing(tensor: torch.Tensor) -> torch.Tensor | None:
    """Main memory like `tensor`, to which its device copies while the host goes on; None where that cannot be."""
    if tensor.device.type != "cuda":
        return None
    try:
        return torch.empty(tensor.shape, dtype=tensor.dtype, pin_memory=True)
    except RuntimeError:  # systems allow each process so much memory that must not be moved
        return None


def is_host(device: torch.device) -> bool:
    """Whether `device` is the processor itself."""
    return device.type == "cpu"


@dataclass(frozen=True)
class Limits:
    """What a device cannot do, or does wrong in some versions of torch that people have."""

    convolution: int | None = None
    """Positions in the output of a convolution, at most."""
    float64: bool = True
    grouped_attention: bool = False
    """A fast kernel for attention with fewer key than query heads, without a mask."""
    fused_attention: bool = True
    """Fused attention is right with masks, with `is_causal` and for few queries."""
    shifts: bool = True
    """Shifts of 64-bit numbers are right."""
    unpacks: bool = True
    """Blocks of packed weights can be unpacked: their bytes taken apart, and read as halves."""
    float8: bool = True
    """Floats of eight bits can be read."""
    fused_steps: bool = True
    """A step of AdamW can be taken in one kernel."""


MPS = Limits(float64=False, fused_attention=False, shifts=False, float8=False)
"""Apple's GPUs. Fused attention: garbage for up to eight queries or masks that serve several heads, a look into the
future with `is_causal`, out of bounds with groups (pytorch 149132, 169222, 174861, 184180, 195910); shifts: 147889;
they have no floats of eight bits.
"""
MPS_BEFORE_15_1 = replace(MPS, convolution=65_536)
"""Before macOS 15.1 longer convolutions raise NotImplementedError."""


@cache
def limits(device: torch.device) -> Limits:
    """What `device` cannot do. Every operation with a size or a flag that some device refuses asks here."""
    if device.type == "mps":
        return MPS if _macos() >= (15, 1) else MPS_BEFORE_15_1
    if device.type in ("cpu", "meta", "xpu"):
        return Limits()
    if device.type == "cuda":
        return Limits(grouped_attention=True)
    # Back ends that only a host knows.
    return Limits(float64=False, fused_attention=False, shifts=False, unpacks=False, float8=False, fused_steps=False)


def _macos() -> tuple[int, ...]:
    return tuple(int(part) for part in platform.mac_ver()[0].split(".")[:2] if part.isdigit())


def records_graphs(device: torch.device) -> bool:
    """Whether work on `device` can be recorded once and replayed without the host's overhead."""
    return device.type == "cuda"


class _Recording:
    """What recording on a card needs: a stream of that card, one who records at a time, and whether it failed once."""

    def __init__(self, device: torch.device) -> None:
        self.stream = torch.cuda.Stream(device)
        self.lock = threading.Lock()
        self.failed = False


@cache
def _recording(device: torch.device) -> _Recording:
    return _Recording(device)


def recorder(device: torch.device) -> Callable[[Callable[[], None]], torch.cuda.CUDAGraph] | None:
    """What records the work that a function asks of `device`, for `replay()` to do it again on the same tensors; None
    where that cannot be, or has failed before. All recordings of one recorder share their memory.
    """
    here = _recording(device) if records_graphs(device) else None
    if here is None or here.failed:
        return None
    pool = torch.cuda.graph_pool_handle()

    def record(work: Callable[[], None]) -> torch.cuda.CUDAGraph:
        graph = torch.cuda.CUDAGraph()
        # A recording that fails may leave its stream behind as the current one. `thread_local`: memory that other
        # threads ask for meanwhile does no harm.
        with here.lock, torch.cuda.device(device), torch.cuda.stream(torch.cuda.current_stream(device)):
            try:
                with torch.cuda.graph(graph, pool=pool, stream=here.stream, capture_error_mode="thread_local"):
                    work()
            except RuntimeError:
                here.failed = True
                raise
        return graph

    return record


class Mark:
    """A place in the queue of a device."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.backend: Any = getattr(torch, device.type)
        self.event = self.backend.Event()

    def set(self) -> None:
        """Sets it behind all that the device has been asked for."""
        where = () if self.device.type == "mps" else (self.backend.current_stream(self.device),)
        self.event.record(*where)

    def wait(self) -> None:
        """Waits until the device is past it. It must have been set."""
        self.event.synchronize()


def mark_on(device: torch.device) -> Mark | None:
    """A mark on a device that does its work later; None on one that is known to do it at once, or whose host alone
    knows it.
    """
    return Mark(device) if device.type in ("cuda", "xpu", "mps") else None


def describe_accelerators() -> list[dict[str, Any]]:
    """Name, kind and memory of each graphics card, in the words of ComfyUI's system statistics."""
    return [_described(torch.device(name)) for name in available_devices() if name != "cpu"]


def _described(device: torch.device) -> dict[str, Any]:
    free = free_memory(device)
    total = total_memory(device)
    if device.type == "mps":
        reserved, used = torch.mps.driver_allocated_memory(), torch.mps.current_allocated_memory()
    else:
        backend: Any = getattr(torch, device.type)
        reserved, used = backend.memory_reserved(device), backend.memory_allocated(device)
    return {
        "name": device_name(device),
        "type": device.type,
        "index": device.index,
        "vram_total": total,
        "vram_free": free,
        "torch_vram_total": reserved,
        "torch_vram_free": max(0, reserved - used),
    }
