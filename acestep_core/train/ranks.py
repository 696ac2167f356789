"""Several processes that train one adapter together, each on a card of its own: `accelerate launch`.

accelerate says which process this is and where it computes, and brings them together. The batches of a step are dealt
out in turn; gradients are summed once a step, so that every process moves its adapter in the same way. The first one
alone reports, saves and decides when to end; what it decides the others hear before each step. Nothing wraps the
network, and draws depend on seed, step and place only: so many processes are one with as many times the accumulation.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn

from acestep_core import devices
from acestep_core.errors import Cancelled, InvalidInput, TrainingError
from acestep_core.io.terminal import pip_install

Value = TypeVar("Value")


@dataclass(frozen=True, eq=False)
class Ranks:
    """Which of them this is.

    Attributes:
        number: from 0; `count` of them.
        device: where this one computes.
        control: a group of the processors, for what must not wait for the cards.
    """

    number: int = 0
    count: int = 1
    device: str = "auto"
    control: Any = None

    @property
    def first(self) -> bool:
        return self.number == 0

    def told(self, value: Value) -> Value:
        """What the first one says."""
        said = [value]
        if self.count > 1:
            with _all_there():
                dist.broadcast_object_list(said, src=0, group=self.control)
        return said[0]

    def least(self, value: int) -> int:
        """The smallest number that any of them says."""
        said = torch.tensor(value)
        if self.count > 1:
            with _all_there():
                dist.all_reduce(said, dist.ReduceOp.MIN, group=self.control)
        return int(said)

    def go_on(self, wanted: bool, cancelled: bool) -> bool:
        """Whether there is a next step, which the first one decides.

        Raises:
            Cancelled: somebody is.
        """
        if self.count == 1:
            return wanted
        said = torch.tensor([self.first and not wanted, cancelled], dtype=torch.int32)
        with _all_there():
            dist.all_reduce(said, dist.ReduceOp.MAX, group=self.control)
        ends, stops = said.tolist()
        if stops:
            raise Cancelled("The run was cancelled.")
        return not ends

    def share(self, parts: Sequence[Value]) -> Iterator[tuple[int, Value]]:
        """The parts that are this one's, with their numbers."""
        return ((n, part) for n, part in enumerate(parts) if n % self.count == self.number)

    def sum(self, parameters: Sequence[nn.Parameter], errors: Tensor) -> Tensor:
        """Sums the gradients of all of them, and the errors, of which each knows its own. Waits for no device."""
        if self.count == 1:
            return errors
        gradients = [torch.zeros_like(p) if p.grad is None else p.grad for p in parameters]
        whole = torch.cat([part.reshape(-1) for part in (*gradients, errors)])
        with _all_there():
            dist.all_reduce(whole)
        *summed, errors = whole.split([*(p.numel() for p in parameters), errors.numel()])
        for parameter, gradient in zip(parameters, summed, strict=True):
            parameter.grad = gradient.view_as(parameter)
        return errors


ALONE: Final = Ranks()


@contextmanager
def together(device: str) -> Iterator[Ranks]:
    """This process among those that `accelerate launch` has begun; alone where it began none.

    Args:
        device: what the user asked for; each process takes a card by itself.

    Raises:
        InvalidInput: accelerate is not installed, or one device is named for all.
    """
    if int(os.environ.get("WORLD_SIZE") or 1) < 2:
        yield Ranks(device=device)
        return
    try:
        from accelerate import PartialState
    except ImportError as error:
        raise InvalidInput(
            f"Several processes need accelerate; install it with `{pip_install('accelerate')}`."
        ) from error
    if device != "auto" and ":" in device:
        raise InvalidInput(f"Each of several processes takes a card of its own, not {device!r}; leave the device out.")
    state = PartialState(cpu=devices.is_host(devices.pick_device(device)))
    try:
        yield Ranks(state.process_index, state.num_processes, str(state.device), dist.new_group(backend="gloo"))
    finally:
        state.destroy_process_group()


@contextmanager
def _all_there() -> Iterator[None]:
    try:
        yield
    except RuntimeError as error:  # what torch says when a connection is closed
        raise TrainingError("Another process of this run has ended; look at what it said, and run again.") from error
