from __future__ import annotations

import pytest
import torch

from acestep_core import devices
from acestep_core.errors import InvalidInput
from acestep_core.models import selftest
from acestep_core.models.manager import manager


@pytest.fixture
def suspect(monkeypatch):
    monkeypatch.setattr(devices, "limits", lambda device: devices.MPS)
    selftest._check.cache_clear()
    yield torch.device("cpu")
    selftest._check.cache_clear()


def test_a_device_that_computes_rightly_is_used(suspect, tiny_models):
    with manager.resident(tiny_models.vae) as vae:
        assert vae.device == suspect


@pytest.mark.parametrize("part", range(len(selftest.PARTS)))
def test_a_device_that_computes_wrongly_is_refused_before_the_first_model(suspect, tiny_models, monkeypatch, part):
    work, calls = selftest._work, []

    def wrong_the_second_time(device):
        found = work(device)
        calls.append(device)
        if len(calls) == 2:
            found[part].view(-1)[3] += 0.1
        return found

    monkeypatch.setattr(selftest, "_work", wrong_the_second_time)
    with (
        pytest.raises(InvalidInput, match=rf"\({selftest.PARTS[part]} comes out wrong\); install the newest torch"),
        manager.resident(tiny_models.vae),
    ):
        pass


def test_what_a_device_does_not_have_is_said(suspect, monkeypatch):
    work, calls = selftest._work, []

    def refuses(device):
        calls.append(device)
        if len(calls) == 2:
            raise NotImplementedError("Output channels > 65536 not supported at the MPS device.\nmore")
        return work(device)

    monkeypatch.setattr(selftest, "_work", refuses)
    with pytest.raises(InvalidInput, match=r"\(Output channels > 65536 not supported at the MPS device\); install"):
        selftest.check(suspect)


@pytest.mark.processor
def test_trusted_devices_are_not_tested(monkeypatch):
    monkeypatch.setattr(selftest, "_work", None)
    selftest.check(torch.device("cpu"))
    selftest.check(torch.device("cuda:0"))
