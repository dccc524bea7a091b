"""One process or many: the few things the loops need to know about ranks, and FSDP2 sharding.

Without torchrun everything here is the identity. Under torchrun each rank holds a shard of every weight (FSDP2,
`fully_shard` per block), and sums over tokens are all-reduced, so a loss is the same for any number of ranks.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Literal

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import MixedPrecisionPolicy, fully_shard
from torch.distributed.tensor import DTensor

from octothinker.model.llama import Llama


def device() -> torch.device:
    if torch.cuda.is_available():
        return torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
    return torch.device("cpu")


def fast_precision() -> Literal["fp32", "bf16"]:
    """bf16 where the machine has instructions for it. A CPU without them multiplies bf16 several times slower than fp32."""
    if torch.cuda.is_available():
        return "bf16"
    known = torch.cpu.get_capabilities()
    return "bf16" if any(known.get(name) for name in ("amx_bf16", "avx512_bf16", "bf16")) else "fp32"


def setup() -> tuple[int, int]:
    """(rank, world size); joins the process group when started by torchrun (nccl on GPUs, gloo on CPUs)."""
    if "RANK" not in os.environ or int(os.environ["WORLD_SIZE"]) == 1:
        return 0, 1
    if not dist.is_initialized():
        if torch.cuda.is_available():
            torch.cuda.set_device(device())
        elif os.environ.get("LOCAL_WORLD_SIZE") == os.environ["WORLD_SIZE"]:
            # All on this machine. By the host's name gloo may pick an interface that ranks cannot meet on, and hang there.
            for _, name in socket.if_nameindex():
                if name in ("lo", "lo0"):
                    os.environ.setdefault("GLOO_SOCKET_IFNAME", name)
        # Ranks wait for rank 0 while it tokenises or evaluates: hours, not the half hour after which a group gives up.
        dist.init_process_group("nccl" if torch.cuda.is_available() else "gloo", timeout=timedelta(days=7))
    return dist.get_rank(), dist.get_world_size()


def finish() -> None:
    """Leave the process group; without it gloo may abort while Python exits."""
    if dist.is_initialized():
        dist.barrier()
        dist.destroy_process_group()


def world() -> int:
    return dist.get_world_size() if dist.is_initialized() else 1


def rank() -> int:
    return dist.get_rank() if dist.is_initialized() else 0


def barrier() -> None:
    if dist.is_initialized():
        dist.barrier()


def sum_over_ranks(*values: float) -> list[float]:
    """Each value summed over all ranks (fp64)."""
    if not dist.is_initialized():
        return list(values)
    total = torch.tensor(values, dtype=torch.float64, device=device())
    dist.all_reduce(total)
    return total.tolist()


def max_over_ranks(value: float) -> float:
    if not dist.is_initialized():
        return value
    most = torch.tensor(value, dtype=torch.float64, device=device())
    dist.all_reduce(most, op=dist.ReduceOp.MAX)
    return most.item()


def shard(model: Llama, precision: str) -> Llama:
    """FSDP2 over all ranks: each block is gathered when it is used; bf16 compute keeps fp32 shards and reductions."""
    if world() == 1:
        return model
    dtype = torch.bfloat16 if precision == "bf16" else torch.float32
    policy = MixedPrecisionPolicy(param_dtype=dtype, reduce_dtype=torch.float32, output_dtype=torch.float32)
    mesh = init_device_mesh(device().type, (world(),))
    for layer in model.model.layers:
        fully_shard(layer, mesh=mesh, mp_policy=policy)
    # The loops call other methods than `forward`; FSDP gathers the root's weights around these too.
    fully_shard(model, mesh=mesh, mp_policy=policy, reshard_after_forward=False)
    for method in ("hidden", "logits", "logprobs", "loss"):
        torch.distributed.fsdp.register_fsdp_forward_method(model, method)
    return model


@contextmanager
def autocast(precision: str) -> Iterator[None]:
    """bf16 compute on fp32 weights in one process; FSDP's own policy does the same when there are several."""
    enabled = precision == "bf16" and world() == 1
    with torch.autocast(device().type, torch.bfloat16, enabled=enabled):
        yield


def full(tensor: Tensor) -> Tensor:
    """The whole of a sharded tensor, on every rank (a collective); a plain tensor as it is."""
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


def full_state(model: Llama) -> dict[str, Tensor]:
    """All weights, whole, on every rank."""
    return {name: full(value.detach()) for name, value in model.state_dict().items()}
