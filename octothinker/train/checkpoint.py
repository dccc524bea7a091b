"""Checkpoints that resume bit-equal, are never half-written, and load on another number of ranks.

    checkpoints/step-000040/
        weights-0-of-2.safetensors      this rank's rows of every weight and of both Adam moments
        weights-1-of-2.safetensors
        state.json                      counters; written last: a folder without it does not exist
    checkpoints/latest                  name of the newest complete folder

FSDP2 shards every tensor along its first axis in rank order, so joining the files in that order gives the whole tensor, and
any number of ranks can cut it again. safetensors only: nothing is unpickled.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor
from torch.distributed.tensor import DTensor, distribute_tensor

from octothinker.model.llama import Llama
from octothinker.records import read_json, write_json, write_text
from octothinker.train import dist
from octothinker.train.optim import Optimizers

MOMENTS = ("exp_avg", "exp_avg_sq", "momentum_buffer")  # AdamW has the first two, Muon the last


def save(
    root: Path,
    step: int,
    model: Llama,
    optimizers: Optimizers,
    state: dict[str, Any],
    *,
    keep_last: int,
    keep_every: int = 0,
) -> Path:
    """Write checkpoint `step` and drop older ones but the last `keep_last` and multiples of `keep_every`."""
    folder = root / f"step-{step:06d}"
    tmp = folder.with_suffix(".tmp")
    if dist.rank() == 0:
        shutil.rmtree(tmp, ignore_errors=True)
        tmp.mkdir(parents=True)
    dist.barrier()
    local = {}
    states = {parameter: state for optimizer in optimizers for parameter, state in optimizer.state.items()}
    for name, parameter in model.named_parameters():
        local[name] = _local(parameter)
        moments = states.get(parameter, {})
        for key in MOMENTS:
            if key in moments:
                local[f"{key}/{name}"] = _local(moments[key])
    steps = {float(state["step"]) for state in states.values() if "step" in state}
    if len(steps) > 1:
        raise RuntimeError(f"AdamW's step counts differ between parameters: {steps}")
    file = tmp / f"weights-{dist.rank()}-of-{dist.world()}.safetensors"
    save_file({k: v.contiguous() for k, v in local.items()}, file)
    with open(file, "rb") as written:
        os.fsync(written.fileno())
    dist.barrier()
    if dist.rank() == 0:
        write_json(tmp / "state.json", {"step": step, "adam_steps": steps.pop() if steps else 0.0, **state})
        shutil.rmtree(folder, ignore_errors=True)
        os.replace(tmp, folder)
        write_text(root / "latest", folder.name)
        kept = available(root)
        for old in kept[: -keep_last if keep_last else len(kept)]:
            if not (keep_every and old % keep_every == 0):
                shutil.rmtree(root / f"step-{old:06d}")
    dist.barrier()
    return folder


def _local(tensor: Tensor) -> Tensor:
    tensor = tensor.detach()
    return (tensor.to_local() if isinstance(tensor, DTensor) else tensor).cpu()


def available(root: Path) -> list[int]:
    """Steps with a complete checkpoint, rising."""
    folders = root.glob("step-*/state.json") if root.is_dir() else []
    return sorted(int(f.parent.name[5:]) for f in folders if not f.parent.name.endswith(".tmp"))


def latest(root: Path) -> Path | None:
    steps = available(root)
    return root / f"step-{steps[-1]:06d}" if steps else None


def load(folder: Path, model: Llama, optimizers: Optimizers) -> dict[str, Any]:
    """Weights, and moments for `optimizers` (may be none), whole or sharded, whatever wrote them. Returns the state."""
    state = read_json(folder / "state.json")
    files = sorted(folder.glob("weights-*.safetensors"), key=lambda f: int(f.stem.split("-")[1]))
    expected = int(files[0].stem.split("-")[3]) if files else 0
    if len(files) != expected or not files:
        raise FileNotFoundError(
            f"{folder}: {len(files)} of {expected or 'no'} weight files; the checkpoint is incomplete"
        )
    opened = [safe_open(f, framework="pt") for f in files]
    present = set(opened[0].keys())

    def whole(name: str, like: Tensor) -> Tensor:
        pieces = [f.get_tensor(name) for f in opened]
        value = (torch.cat(pieces) if len(pieces) > 1 else pieces[0]).reshape(like.shape).to(like.dtype)
        if isinstance(like, DTensor):
            return distribute_tensor(value.to(like.device), like.device_mesh, like.placements)
        return value.to(like.device)

    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.copy_(whole(name, parameter))
            moments = {key: whole(f"{key}/{name}", parameter) for key in MOMENTS if f"{key}/{name}" in present}
            for optimizer in optimizers:
                if moments and any(parameter is p for group in optimizer.param_groups for p in group["params"]):
                    count = {"step": torch.tensor(state["adam_steps"])} if "exp_avg" in moments else {}
                    optimizer.state[parameter] = count | moments
    return state
