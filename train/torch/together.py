"""Several processes that train one network, started by `torchrun`: ranks, communication, and a common end."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor, nn

from core.errors import UserError, one_line
from core.records import Float32Array
from train.loop import ALONE, Ranks
from train.recipes import TorchRecipe

FEWEST_IMAGES = 4  # of a batch for each process: batch normalisation needs statistics
ERROR = "error"  # key in the store that all processes share: why one of them ended


@contextmanager
def ranks_of(recipe: TorchRecipe, device: torch.device) -> Iterator[Ranks]:
    """The processes that train by `recipe` while the block runs: only this one, unless `torchrun` started several.

    They communicate by NCCL on GPUs and gloo on CPUs. Only the first prints and writes; if one ends, all end, and the
    first raises a UserError with the reason, also if another process was killed. The others exit silently.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        yield ALONE
        return
    store, rank, size = next(dist.rendezvous("env://"))
    _require(recipe, size)
    with _one_voice(store, rank), contextlib.redirect_stderr(sys.stderr if rank == 0 else open(os.devnull, "w")):
        dist.init_process_group("nccl" if device.type == "cuda" else "gloo", store=store, rank=rank, world_size=size)
        try:
            yield Ranks(rank, size, _gathered)
        finally:
            dist.destroy_process_group()


def _require(recipe: TorchRecipe, size: int) -> None:
    if recipe.batch_size < FEWEST_IMAGES * size:
        raise UserError(f"--batch-size must be at least {FEWEST_IMAGES * size} for {size} processes, not {recipe.batch_size}")
    if recipe.find_lr:
        raise UserError("--find-lr runs in one process: find the rate without torchrun, and pass it as --lr")


@contextmanager
def _one_voice(store: dist.Store, rank: int) -> Iterator[None]:
    """Let the first process report the error that ends any process; it reads the others' errors from the store."""
    try:
        yield
    except KeyboardInterrupt as error:
        if rank:
            raise SystemExit(130) from None
        if _is_loss(error.__context__):  # torchrun's SIGTERM to the surviving processes came while this one was ending
            raise _lost(store) from error
        raise
    except (UserError, RuntimeError, OSError) as error:
        if rank:
            if not _is_loss(error):
                store.set(ERROR, f"process {rank}: {one_line(error, 200)}")
            raise SystemExit(1) from None
        if not _is_loss(error):
            raise
        raise _lost(store) from error


def _is_loss(error: BaseException | None) -> bool:
    """Whether the error means that another process is gone; gloo's errors have no class of their own."""
    return isinstance(error, dist.DistError) or (isinstance(error, RuntimeError) and "gloo" in str(error))


def _lost(store: dist.Store) -> UserError:
    """The error for a lost process: with its own message if it left one."""
    why = "another process of this training was lost"
    with contextlib.suppress(KeyboardInterrupt):  # torchrun's SIGTERM may come right now
        if store.check([ERROR]):
            why = store.get(ERROR).decode()
    return UserError(f"{why}; the same command with --resume continues after the last finished epoch")


def _gathered(own: Float32Array) -> Float32Array:
    """The rows of all processes, in the order of their ranks."""
    parts: list[Float32Array] = [own] * dist.get_world_size()
    dist.all_gather_object(parts, own)
    return np.concatenate(parts)


def in_step(model: nn.Module, device: torch.device) -> nn.Module:
    """`model` wrapped so that all processes have the same weights and use the mean of their gradients.

    On GPUs batch normalisation uses the statistics of the whole batch. PyTorch has no such layer for CPUs: there each
    process normalises by its own share of a batch, and the running statistics are those of the first.
    """
    on_gpu = device.type == "cuda"
    return nn.parallel.DistributedDataParallel(model, device_ids=[device] if on_gpu else None, gradient_as_bucket_view=True)


def synchronised(model: nn.Module, device: torch.device) -> nn.Module:
    """`model` with batch normalisation over the whole batch of all processes, if `device` supports it."""
    if device.type != "cuda":
        return model
    converted: nn.Module = nn.SyncBatchNorm.convert_sync_batchnorm(model)
    return converted


def share_of_loss(n_images: int, device: torch.device) -> Tensor:
    """The factor for this process's mean loss that makes the mean of all gradients that of the whole batch."""
    total = torch.tensor(float(n_images), device=device)
    dist.all_reduce(total)
    return n_images * dist.get_world_size() / total


def of_all(told: Tensor) -> Tensor:
    """From each process's mean loss, multiplied by `share_of_loss`, and count, (2,): those of the whole batch."""
    dist.all_reduce(told)
    return told / torch.tensor([dist.get_world_size(), 1], device=told.device)


def same_buffers(model: nn.Module) -> None:
    """Give every process the buffers of the first."""
    for buffer in model.buffers():
        dist.broadcast(buffer, 0)
