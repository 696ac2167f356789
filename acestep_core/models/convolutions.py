"""Convolutions that go in parts where a device cannot do the whole length at once; see `devices.Limits.convolution`."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from acestep_core import devices


class Conv1d(nn.Conv1d):
    """`[B, C, T]` -> `[B, C', T']`, the same in parts and at once; with the same padding at both ends, of zeros."""

    def forward(self, x: Tensor) -> Tensor:
        longest, stride, dilation = devices.limits(x.device).convolution, self.stride[0], self.dilation[0]
        padding, span = int(self.padding[0]), dilation * (self.kernel_size[0] - 1) + 1
        length = (x.shape[-1] + 2 * padding - span) // stride + 1
        if longest is None or length <= longest:
            return super().forward(x)
        padded = F.pad(x, (padding, padding))
        parts = []
        for start in range(0, length, longest):
            last = min(start + longest, length) - 1
            part = padded[..., start * stride : last * stride + span]
            parts.append(F.conv1d(part, self.weight, self.bias, stride, 0, dilation))
        return torch.cat(parts, dim=-1)


class ConvTranspose1d(nn.ConvTranspose1d):
    """The same for transposed convolutions, whose kernel is not shorter than their stride."""

    def forward(self, x: Tensor, output_size: list[int] | None = None) -> Tensor:
        longest, stride, kernel = devices.limits(x.device).convolution, self.stride[0], self.kernel_size[0]
        count, padding = x.shape[-1], int(self.padding[0])
        length = (count - 1) * stride + kernel  # before the padding is cut off
        if longest is None or length - 2 * padding <= longest:
            return super().forward(x, output_size)
        before = (kernel - 1) // stride  # inputs before a part that still sound in it
        size = (longest - kernel) // stride + 1 - before
        parts = []
        for start in range(0, count, size):
            first, stop = max(0, start - before), min(start + size, count)
            made = F.conv_transpose1d(x[..., first:stop], self.weight, self.bias, stride)
            end = length if stop == count else stop * stride
            parts.append(made[..., (start - first) * stride : end - first * stride])
        return torch.cat(parts, dim=-1)[..., padding : length - padding]
