"""Mid-training: one stage, from its parent's weights to a Hugging Face folder.

    shards --mixture--> batch(step) --rank, micro-batch--> loss / global tokens --> clip, guard, AdamW --> metrics, checkpoint

Stable and decay stages are the same function with another schedule (PAPER section 2). Everything a step needs is a pure
function of (recipe, seed, step), so a resume is a checkpoint and one integer, bit-equal on CPU.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from octothinker.config import Midtrain, ModelConfig
from octothinker.data.mixture import Batch, Mixture, explain_difference
from octothinker.data.shards import Shards
from octothinker.model.hf import load_model, save_model
from octothinker.model.llama import Llama
from octothinker.model.tokenizer import Tokenizer
from octothinker.records import Metrics, Progress
from octothinker.train import checkpoint, dist, optim
from octothinker.train.schedule import lr_at
from octothinker.typed import ConfigError, not_identity, version


@dataclass(frozen=True, kw_only=True)
class MidtrainRun:
    """A mid-training stage with everything resolved."""

    stage: Midtrain
    lr: float
    """Peak learning rate."""
    model: ModelConfig | None = None
    """Shape of a randomly initialised model; None: the weights come from the input `parent`."""
    fork_step: int | None = None
    """The parent's checkpoint to start from; None: its end."""
    seed: int = 0
    threads: int = not_identity(0)


def _initial(config: MidtrainRun, inputs: dict[str, Path], tokenizer: Tokenizer) -> tuple[Llama, Path | None]:
    """The model to start from, and the parent's checkpoint (for its Adam moments), if it has one."""
    if config.model is not None:
        model = Llama(config.model)
        model.init_weights(config.seed)
        return model, None
    parent = inputs["parent"]
    if not (parent / "model").is_dir():  # an existing Hugging Face folder
        return load_model(parent), None
    model = load_model(parent / "model")
    steps = checkpoint.available(parent / "checkpoints")
    step = steps[-1] if config.fork_step is None else config.fork_step
    if step not in steps:
        raise ConfigError(f"midtrain.{config.stage.name}: the parent keeps no checkpoint at step {step}, only {steps}")
    return model, parent / "checkpoints" / f"step-{step:06d}"


@version(1)
def midtrain_stage(config: MidtrainRun, inputs: dict[str, Path], out: Path) -> dict[str, Any]:
    """inputs: `tokenizer` (folder), `parent` (stage or Hugging Face folder; not for random weights), `shards.<source>`.
    Writes model/, checkpoints/, metrics.jsonl; returns the stage's result."""
    stage = config.stage
    rank, world = dist.setup()
    device = dist.device()
    tokenizer = Tokenizer.load(inputs["tokenizer"])
    shards = {name: Shards.open(inputs[f"shards.{name}"]) for name in stage.mixture if stage.mixture[name] > 0}
    weights = {name: stage.mixture[name] for name in shards}
    for name, source in shards.items():
        if source.tokenizer != tokenizer.hash:
            raise ConfigError(f"shards.{name} were made with another tokenizer than the model's; tokenise them again")
    # Named by the stage too: a branch that shares a source with its parent goes on in another order.
    seed = f"{config.seed}.{stage.name}"
    mixture = Mixture(shards, weights, seq_len=stage.seq_len, batch_size=stage.batch_size, seed=seed)
    if stage.batch_size % world:
        raise ConfigError(
            f"midtrain.{stage.name}.batch_size={stage.batch_size} must be a multiple of the {world} ranks"
        )

    model, fork = _initial(config, inputs, tokenizer)
    model = dist.shard(model.to(device), stage.precision)
    optimizers = optim.build(model, stage.optimizer, config.lr, stage.precision)
    guard = optim.Guard(stage.spike_factor, stage.max_bad_steps)
    if fork is not None:
        checkpoint.load(fork, model, optimizers if stage.carry_optimizer else [])
    first = 0
    if resume := checkpoint.latest(out / "checkpoints"):
        state = checkpoint.load(resume, model, optimizers)
        if state["data"] != mixture.plan:
            changed = explain_difference(state["data"], mixture.plan)
            raise ConfigError(f"{resume} was trained on other data ({changed}); remove {out} to start again")
        first = state["step"]
        guard = optim.Guard(stage.spike_factor, stage.max_bad_steps, **state["guard"])

    steps, every = stage.steps, stage.checkpoint_every or max(stage.steps // 10, 1)
    metrics = Metrics(out / "metrics.jsonl", first) if rank == 0 else None
    progress = (
        Progress(out, steps * stage.tokens_per_step, "tokens", first * stage.tokens_per_step) if rank == 0 else None
    )
    objective = torch.compile(model.loss) if stage.compile else model.loss
    loss = float("nan")
    for step in range(first, steps):
        began = time.perf_counter()
        batch = mixture.batch(step, rank, world).to(device)
        lr = lr_at(stage.schedule, config.lr, step * stage.tokens_per_step, steps * stage.tokens_per_step)
        loss = _accumulate(objective, batch, stage)
        norm, skipped = optim.gradient_step(model, optimizers, lr, stage.optimizer.clip_norm, guard, step, loss)
        tokens = (step + 1) * stage.tokens_per_step
        rate = stage.tokens_per_step / (time.perf_counter() - began)
        if metrics and progress:
            row = {"step": step, "tokens": tokens, "loss": loss, "lr": lr, "grad_norm": norm, "tokens_per_second": rate}
            metrics.log({**row, "skipped": skipped})
            progress.update(tokens, loss=loss, lr=lr)
        if (step + 1) % every == 0 or step + 1 == steps or (stage.keep_every and (step + 1) % stage.keep_every == 0):
            counters = {k: v for k, v in vars(guard).items() if k not in ("spike_factor", "max_bad_steps")}
            state = {"tokens": tokens, "data": mixture.plan, "guard": counters}
            keep = {"keep_last": stage.keep_last, "keep_every": stage.keep_every}
            checkpoint.save(out / "checkpoints", step + 1, model, optimizers, state, **keep)

    whole = dist.full_state(model)
    if rank == 0:
        plain = Llama(model.config)
        plain.load_state_dict(whole)
        save_model(out / "model", plain, tokenizer)
    dist.barrier()
    return {
        "steps": steps,
        "tokens": steps * stage.tokens_per_step,
        "loss": loss,
        "final_lr": lr_at(stage.schedule, config.lr, steps * stage.tokens_per_step, steps * stage.tokens_per_step),
        "skipped": guard.skipped,
        "shares": mixture.shares(steps),
        "epochs": mixture.epochs(steps),
        "parameters": model.config.num_parameters,
    }


def _accumulate(objective: Callable[..., Tensor], batch: Batch, stage: Midtrain) -> float:
    """Backward over this rank's micro-batches of the mean loss per target of the *global* batch; returns that mean.

    The count of targets is known before the first backward: dividing each micro-batch by its own count would weigh tokens
    of short documents more, and differently for every number of ranks.
    """
    count = dist.sum_over_ranks(float((batch.targets != -100).sum()))[0]
    total = 0.0
    for start in range(0, len(batch.inputs), stage.micro_batch):
        rows = slice(start, start + stage.micro_batch)
        segments = batch.segments[rows] if stage.document_mask else None
        with dist.autocast(stage.precision):
            loss = objective(batch.inputs[rows], batch.targets[rows], segments=segments) / count
        # FSDP averages gradients over ranks; the sum is wanted, the loss is already divided by the global count.
        (loss * dist.world()).backward()
        total += loss.item()
    return dist.sum_over_ranks(total)[0]
