"""Which Python packages must be there, and what to say where one is not."""

from __future__ import annotations

from importlib.util import find_spec

from acestep_core.errors import AceStepError
from acestep_core.io.terminal import pip_install

PACKAGES = {
    "torch": "torch", "numpy": "numpy", "safetensors": "safetensors", "tokenizers": "tokenizers",
    "soundfile": "soundfile", "yaml": "PyYAML", "llguidance": "llguidance",
    "huggingface_hub": "huggingface-hub", "aiohttp": "aiohttp", "PIL": "Pillow", "psutil": "psutil", "tqdm": "tqdm",
}  # fmt: skip
"""What is imported -> what is installed."""


def check_packages() -> None:
    """Raises AceStepError if a package is missing, before any work is done."""
    missing = [name for name in PACKAGES if find_spec(name) is None]
    if missing:
        raise missing_packages(*missing)


def missing_packages(*names: str) -> AceStepError:
    """How to install what is imported under these names, for the Python that runs this."""
    installed = [PACKAGES.get(name.partition(".")[0], name.partition(".")[0]) for name in names]
    return AceStepError(
        f"Python packages are missing ({', '.join(installed)}); install them with `{pip_install(*installed)}`."
    )
