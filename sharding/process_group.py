"""The process group of a participant's local devices, and a quiet DeepSpeed."""

from __future__ import annotations

import logging
import os
import sys
import warnings
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist

COLLECTIVE_S = 300
"""Deadline of one collective between local devices."""


def import_deepspeed(device: str) -> Any:
    """Import DeepSpeed for `device` without its messages on standard output."""
    if device == "cpu":
        os.environ.setdefault("DS_ACCELERATOR", "cpu")
    # Nothing is compiled here; its optimizers' decorators would load torch's whole compiler, 1.5 s of a processor.
    os.environ.setdefault("TORCHDYNAMO_DISABLE", "1")
    logging.getLogger("DeepSpeed").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import deepspeed
    # Its shared-memory collectives would be compiled for a minute on the first start, and are not used here.
    deepspeed.ops.__compatible_ops__["deepspeed_shm_comm"] = False
    logging.getLogger("DeepSpeed").setLevel(logging.ERROR)
    return deepspeed


def join_group(rank: int, world: int, rendezvous: str, device: str) -> None:
    """Join the group of `world` local ranks that meet at the file `rendezvous`; once in a process."""
    if dist.is_initialized():
        return
    if sys.platform == "linux":
        os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
    for key, value in (("RANK", rank), ("LOCAL_RANK", rank), ("WORLD_SIZE", world)):
        os.environ[key] = str(value)
    stores: Any = dist  # torch does not declare its stores as exported
    store = stores.HashStore() if world == 1 else stores.FileStore(rendezvous, world)
    backend = "nccl" if device == "cuda" and world > 1 else "gloo"
    if device == "cuda":
        torch.cuda.set_device(rank % torch.cuda.device_count())
    dist.init_process_group(backend, store=store, rank=rank, world_size=world, timeout=timedelta(seconds=COLLECTIVE_S))
