"""The list of mutations points at lines and tests that exist. Running it takes minutes: `python -m tests.mutations`."""

from __future__ import annotations

import pytest

from tests.mutations.__main__ import ROOT, mutated
from tests.mutations.mutations import MUTATIONS, Mutation


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda mutation: f"{mutation.file}: {mutation.old}")
def test_each_changes_one_line(mutation: Mutation) -> None:
    before = (ROOT / "acestep_core" / mutation.file).read_text(encoding="utf-8")
    after = mutated(before, mutation)
    assert after is not None and after != before
    compile(after, mutation.file, "exec")
    assert all((ROOT / path).exists() for path in mutation.tests.split())
