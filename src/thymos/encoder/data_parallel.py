"""A fine-tuning on several processes: each takes its part of every batch through the layers, and all take one step.

They are started by what starts such programs everywhere, ``torchrun`` or Slurm, and find each other by the environment
(``RANK``, ``WORLD_SIZE``, ``MASTER_ADDR``, ``MASTER_PORT``): gloo on processors, NCCL on GPUs. Every process makes the
same draws, and what the layers say of a batch is put together before the head, whose normalisation goes by the whole
batch: so a step is that of one process but for the order in which sums are added, and so are losses.
"""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor, distributed, nn

from thymos.errors import RunError

Part = TypeVar("Part")


@dataclass(frozen=True)
class Ranks:
    """Processes that take each step together: which of how many this one is."""

    rank: int = 0
    world: int = 1
    on_this_machine: int = 1
    """How many of them share its cores."""

    @property
    def first(self) -> bool:
        """Whether this is the one that writes files, and tells how far it is."""
        return self.rank == 0

    def own(self, parts: Sequence[Part]) -> Sequence[Part]:
        """Return this process's of the ``parts`` of a batch, dealt out in turns."""
        return parts[self.rank :: self.world]

    def together(self, rows: Tensor, values: Tensor, total: int) -> Tensor:
        """Return what all processes have of a batch, shape ``(total, features)``: gradients flow into one's own alone.

        Args:
            rows: places in the batch of what this process has, shape ``(own,)``.
            values: shape ``(own, features)``.
            total: rows of the batch.
        """
        if self.world == 1:
            return values
        everything = values.new_zeros(total, values.shape[1])
        everything[rows] = values.detach()
        distributed.all_reduce(everything)
        return everything.index_copy(0, rows, values)

    def add_gradients(self, divided: Sequence[nn.Parameter], whole: Sequence[nn.Parameter]) -> None:
        """Give every process the gradients of the whole batch, in place.

        Args:
            divided: parameters whose gradients come from one's own part of the batch: they are added up.
            whole: those whose gradients each process has of the whole batch: their mean keeps processes alike.
        """
        if self.world == 1:
            return
        gradients = [parameter.grad for parameter in (*divided, *whole) if parameter.grad is not None]
        own = {id(parameter.grad) for parameter in whole}
        flat = torch.cat([grad.flatten() / (self.world if id(grad) in own else 1) for grad in gradients])
        distributed.all_reduce(flat)
        sums = flat.split([grad.numel() for grad in gradients])
        torch._foreach_copy_(gradients, [part.view_as(grad) for part, grad in zip(sums, gradients, strict=True)])

    def check_alike(self, number: int, what: str) -> None:
        """Check that all processes have the same ``number``.

        Raises:
            RunError: they have not.
        """
        if self.world == 1:
            return
        told: list[int] = [0] * self.world
        distributed.all_gather_object(told, number)
        if len({*told}) > 1:
            raise RunError(
                f"{what} differ from process to process ({', '.join(map(str, told))}): all must see one --out"
            )

    def wait(self) -> None:
        """Wait until all processes are here."""
        if self.world > 1:
            distributed.barrier()


ALONE = Ranks()


@contextmanager
def ranks_of_launcher(device: str) -> Iterator[tuple[Ranks, str]]:
    """Yield which process this is of those that a launcher started, and its device; without a launcher, the only one.

    Args:
        device: that was chosen; of ``cuda``, each process of a machine takes one of its own.

    Raises:
        RunError: the environment does not say how to find the others, or they do not come.
    """
    world = os.environ.get("WORLD_SIZE", "1")
    if world in ("", "1"):
        yield ALONE, device
        return
    if device == "cuda":
        device = f"cuda:{os.environ.get('LOCAL_RANK', '0')}"
        torch.cuda.set_device(device)
    try:
        distributed.init_process_group("nccl" if device.startswith("cuda") else "gloo")
    except (RuntimeError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise RunError(f"this process is to be one of {world} and cannot find the others: {reason}") from None
    try:
        beside = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
        yield Ranks(distributed.get_rank(), distributed.get_world_size(), beside), device
    finally:
        distributed.destroy_process_group()
