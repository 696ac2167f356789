"""Layers of a group give what they would alone, whoever touches them, and mapped weights stay mapped."""

from __future__ import annotations

import copy

import pytest
import torch
from safetensors.torch import save_file
from torch import nn
from torch.testing import assert_close
from torch.utils._python_dispatch import TorchDispatchMode

from acestep_core.checkpoints.weights import assign, open_weights
from acestep_core.models.layers import MLP, Attention, Rope, head_scales
from acestep_core.models.linear import Linear, joined

X = torch.randn(2, 5, 32, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def attention() -> Attention:
    torch.manual_seed(1)
    return Attention(32, 4, 2, 8, 1e-6).eval().requires_grad_(False)


def group(module):
    return [getattr(module, name) for name in module.group]


def is_joined(module) -> bool:
    return joined([layer.weight for layer in group(module)]) is not None


def alone(module, x=X):
    return torch.cat([nn.functional.linear(x, layer.weight) for layer in group(module)], dim=-1)


@pytest.mark.parametrize("make", [lambda: Attention(32, 4, 2, 8, 1e-6, cross=True), lambda: MLP(32, 48)])
def test_one_product_gives_what_the_layers_give(make):
    module = make().requires_grad_(False)
    assert is_joined(module)
    assert_close(module.product(X), alone(module))


def test_products_of_a_few_rows_read_them_value_by_value():
    """Libraries take five times as long over rows whose values lie apart, as a product of few rows leaves them."""
    read = []

    class Watch(TorchDispatchMode):
        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            if func is torch.ops.aten.mm.default:
                read.append(args[1].T.is_contiguous())
            return func(*args, **(kwargs or {}))

    with torch.no_grad(), Watch():
        MLP(32, 48)(X[:, :1])
    assert read == [True, True]


def test_names_are_upstreams_and_loading_keeps_the_layout(attention):
    names = {f"{part}_proj.weight" for part in "qkvo"} | {"q_norm.weight", "k_norm.weight"}
    assert set(attention.state_dict()) == names
    other = Attention(32, 4, 2, 8, 1e-6).requires_grad_(False)
    other.load_state_dict(attention.state_dict())
    assert is_joined(other)
    assert torch.equal(other.product(X), attention.product(X))


def test_they_stay_together_when_converted_or_moved(attention):
    for change in ({"dtype": torch.bfloat16}, {"dtype": torch.float32}, {"device": "meta"}):
        assert is_joined(attention.to(**change))
        memory = attention.q_proj.weight.untyped_storage().nbytes()
        assert memory == sum(layer.weight.nbytes for layer in group(attention)), "and take no more room"
    assert is_joined(attention.to_empty(device="cpu"))


def test_a_copy_gives_the_same(attention):
    copied = copy.deepcopy(attention)
    assert_close(copied.product(X), attention.product(X))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
def test_mapped_weights_stay_mapped_and_converted_ones_are_joined(attention, tmp_path, dtype):
    path = tmp_path / "model.safetensors"
    save_file({name: tensor.bfloat16() for name, tensor in attention.state_dict().items()}, path)
    tensors = dict(open_weights(path))
    with torch.device("meta"):
        loaded = Attention(32, 4, 2, 8, 1e-6)
    assign(loaded, tensors, path, dtype)
    loaded.requires_grad_(False)
    mapped = [layer.weight.data_ptr() == tensors[f"{n}.weight"].data_ptr() for n, layer in loaded.named_children()]
    assert all(mapped) if dtype is torch.bfloat16 else not any(mapped)
    assert is_joined(loaded) == (dtype is torch.float32)
    assert_close(loaded.product(X.to(dtype)), alone(loaded, X.to(dtype)))


def test_what_goes_back_to_its_file_leaves_no_joined_copy_in_use(attention):
    """As the manager does when a module leaves its device."""
    home = {name: parameter.data.clone() for name, parameter in attention.named_parameters()}
    for name, parameter in attention.named_parameters():
        parameter.data = home[name]
    assert not is_joined(attention)
    home["k_proj.weight"].zero_()
    assert attention.product(X)[..., 32:48].abs().max() == 0


def test_neighbours_of_other_memory_are_not_joined():
    memory = torch.UntypedStorage(64)
    parts = [torch.empty(0).set_(memory[start : start + 32], 0, (2, 4)) for start in (0, 32)]
    assert parts[1].data_ptr() == parts[0].data_ptr() + 32
    assert joined(parts) is None


def test_hooks_see_and_change_their_own_part(attention):
    seen = []
    want = alone(attention).split([32, 16, 16], dim=-1)

    def hook(_, args, output):
        seen.append((args[0], output.clone()))
        return output + 1

    handle = attention.k_proj.register_forward_hook(hook)
    got = attention.product(X).split([32, 16, 16], dim=-1)
    assert seen[0][0] is X and len(seen) == 1
    for result, expected in zip((got[0], seen[0][1], got[1], got[2]), (want[0], want[1], want[1] + 1, want[2])):
        assert_close(result, expected)
    handle.remove()
    assert_close(attention.product(X), alone(attention))


@pytest.mark.processor
def test_a_layer_somebody_replaced_is_called(attention):
    class Doubled(nn.Module):
        def __init__(self, linear: Linear) -> None:
            super().__init__()
            self.linear = linear

        def forward(self, x):
            return 2 * self.linear(x)

    want = alone(attention)
    want[..., 32:48] *= 2
    attention.k_proj = Doubled(attention.k_proj)
    assert_close(attention.product(X), want)
    assert_close(attention.to(torch.float64).product(X.double()), want.double(), atol=1e-5, rtol=1e-5)


def test_gradients_reach_every_weight(attention):
    attention.requires_grad_(True)
    attention.product(X).sum().backward()
    for layer in group(attention):
        assert_close(layer.weight.grad, X.sum((0, 1)).expand_as(layer.weight), atol=1e-4, rtol=1e-4)


def test_attention_is_the_same_with_and_without_gradients(attention):
    at = (Rope.at(torch.arange(5), 8, 1e6, X.dtype), head_scales([attention])[0])
    x = X.clone().requires_grad_()
    wanted = attention(x, *at)
    wanted.sum().backward()
    assert x.grad.abs().max() > 0
    with torch.inference_mode():
        assert torch.equal(attention(X, *at), wanted)
