from __future__ import annotations

import pytest
import torch

from acestep_core.errors import AdapterError
from acestep_core.models.loha import hadamard, rank_of


def factors(rank=3, out=8, into=6):
    g = torch.Generator().manual_seed(2)
    shapes = {"hada_w1_a": (out, rank), "hada_w1_b": (rank, into), "hada_w2_a": (out, rank), "hada_w2_b": (rank, into)}
    return {name: torch.randn(shape, generator=g) for name, shape in shapes.items()}


def test_the_product_of_two_products():
    parts, x = factors(), torch.randn(2, 5, 6)
    change = hadamard(parts, 0.5)
    wanted = 0.5 * (parts["hada_w1_a"] @ parts["hada_w1_b"]) * (parts["hada_w2_a"] @ parts["hada_w2_b"])
    assert change.shape == (8, 6) and rank_of(parts) == 3
    torch.testing.assert_close(change.weight(), wanted)
    torch.testing.assert_close(change(x), x @ wanted.T)
    small = change.scaled(-2.0, torch.zeros((), dtype=torch.bfloat16))
    assert small(x.bfloat16()).dtype == torch.bfloat16
    torch.testing.assert_close(small.weight(), -2 * wanted, rtol=0.05, atol=0.05)


def test_tucker_form():
    g = torch.Generator().manual_seed(3)
    a1, b1, a2, b2 = (torch.randn(3, n, generator=g) for n in (8, 6, 8, 6))
    t1, t2 = (torch.randn(3, 3, 2, generator=g) for _ in range(2))
    parts = {"hada_w1_a": a1, "hada_w1_b": b1, "hada_w2_a": a2, "hada_w2_b": b2, "hada_t1": t1, "hada_t2": t2}
    one, two = (torch.einsum("ijk,jr,ip->prk", t, b, a) for t, a, b in ((t1, a1, b1), (t2, a2, b2)))
    change = hadamard(parts, 2.0)
    assert change.shape == (8, 12)
    torch.testing.assert_close(change.weight(), 2.0 * (one * two).flatten(1), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"hada_w2_b": None}, "lacks hada_w2_b"),
        ({"hada_w2_b": torch.zeros(4, 6)}, "do not fit"),
        ({"hada_w2_b": torch.zeros(3, 7)}, "differ in shape"),
        ({"hada_t1": torch.zeros(3, 4, 2), "hada_t2": torch.zeros(3, 3, 2)}, "core"),
        ({"hada_w1_a": torch.zeros(())}, "no matrix"),
    ],
)
def test_what_cannot_be_used_is_refused(changed, message):
    parts = {name: tensor for name, tensor in (factors() | changed).items() if tensor is not None}
    with pytest.raises(AdapterError, match=message):
        hadamard(parts, 1.0)
