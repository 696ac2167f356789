"""What several tests of the built-in model share."""

import pytest

from acestep_core.builtin import codec
from acestep_core.models.oobleck import OobleckVAE


@pytest.fixture(scope="session")
def vae() -> OobleckVAE:
    """The constructed codec; nobody may change it."""
    return codec.build_codec()
