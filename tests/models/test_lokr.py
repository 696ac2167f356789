from __future__ import annotations

import pytest
import torch

from acestep_core.errors import AdapterError
from acestep_core.models.lokr import kronecker, rank_of


def test_product_is_never_formed_and_still_right():
    w1, w2 = torch.randn(3, 4), torch.randn(8, 5)
    change = kronecker({"lokr_w1": w1, "lokr_w2": w2}, 0.7)
    x = torch.randn(2, 6, 20)
    assert change.shape == (24, 20)
    torch.testing.assert_close(change.weight(), 0.7 * torch.kron(w1, w2))
    torch.testing.assert_close(change(x), x @ (0.7 * torch.kron(w1, w2)).T, rtol=1e-4, atol=1e-4)
    small = change.scaled(2.0, torch.zeros((), dtype=torch.bfloat16))
    assert small(x.bfloat16()).dtype == torch.bfloat16


def test_factors_may_be_products_themselves():
    w1, a, b = torch.randn(3, 4), torch.randn(8, 2), torch.randn(2, 5)
    parts = {"lokr_w1": w1, "lokr_w2_a": a, "lokr_w2_b": b}
    assert rank_of(parts) == 2
    torch.testing.assert_close(kronecker(parts, 0.5).weight(), 0.5 * torch.kron(w1, a @ b))
    assert rank_of({"lokr_w1": w1, "lokr_w2": w1}) is None


def test_a_convolution_s_kernel_stands_in_the_columns():
    w1, w2 = torch.randn(2, 3), torch.randn(4, 5, 2)
    wanted = torch.einsum("ab,cdk->acbdk", w1, w2).reshape(8, 30)  # [out, in, k] with its kernel in the columns
    torch.testing.assert_close(kronecker({"lokr_w1": w1, "lokr_w2": w2}, 1.0).weight(), wanted)
    core, a, b = torch.randn(3, 3, 2), torch.randn(3, 4), torch.randn(3, 5)
    w2 = torch.einsum("ijk,ip,jr->prk", core, a, b)
    tucker = {"lokr_w1": w1, "lokr_t2": core, "lokr_w2_a": a, "lokr_w2_b": b}
    wanted = torch.einsum("ab,cdk->acbdk", w1, w2).reshape(8, 30)
    torch.testing.assert_close(kronecker(tucker, 1.0).weight(), wanted, rtol=1e-4, atol=1e-5)
    assert rank_of(tucker) == 3


def test_what_cannot_be_used_is_refused():
    square = torch.zeros(2, 2)
    for broken, message in (
        ({"lokr_w1": square}, "lokr_w2"),
        ({"lokr_w1": square, "lokr_w2": torch.zeros(())}, "no matrix"),
        ({"lokr_w1": square, "lokr_w2_a": square, "lokr_w2_b": torch.zeros(3, 2)}, "do not fit"),
        ({"lokr_w1": square, "lokr_w2_a": square, "lokr_w2_b": square, "lokr_t2": torch.zeros(2, 3, 2)}, "core"),
    ):
        with pytest.raises(AdapterError, match=message):
            kronecker(broken, 1.0)
