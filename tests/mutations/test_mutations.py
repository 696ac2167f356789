"""The list of mutations points at lines and tests that exist. Running it takes minutes: `python -m tests.mutations`."""

from __future__ import annotations

import pytest

from tests.mutations.__main__ import ROOT, place_of
from tests.mutations.mutations import MUTATIONS, Mutation


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda mutation: mutation.old)
def test_each_changes_one_line(mutation: Mutation) -> None:
    file = place_of(mutation, ROOT)
    assert file is not None and mutation.new != mutation.old
    compile(file.read_text(encoding="utf-8").replace(mutation.old, mutation.new), file.name, "exec")
    assert all((ROOT / path.partition("::")[0]).exists() for path in mutation.tests.split())
