"""AdamW (or Muon) with the decay groups of the recipe, and a guard that never lets a broken gradient reach the weights."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

from octothinker.config import AdamW
from octothinker.model.llama import Llama
from octothinker.train.dist import full, sum_over_ranks, world
from octothinker.train.muon import Muon
from octothinker.typed import ConfigError


class TrainingStopped(RuntimeError):
    """Too many bad steps in a row; the message says what was seen and where the last good checkpoint is."""


Optimizers = list[torch.optim.Optimizer]


def build(model: Llama, config: AdamW, lr: float, precision: str = "bf16") -> Optimizers:
    """AdamW: matrices are decayed, norms and biases never, embeddings and the output head only with `decay_embeddings`.

    With `muon`, the hidden matrices go to Muon (muon.py, its iteration in `precision`), the rest stays with AdamW.
    """
    matrices: list[torch.nn.Parameter] = []
    embeddings: list[torch.nn.Parameter] = []
    vectors: list[torch.nn.Parameter] = []
    for name, parameter in model.named_parameters():
        embedding = "embed_tokens" in name or "lm_head" in name
        (vectors if parameter.ndim < 2 else embeddings if embedding else matrices).append(parameter)
    if config.muon and world() > 1:
        raise ConfigError("optimizer.muon: Muon needs whole matrices, FSDP2 shards them; use AdamW here")
    decay = config.weight_decay
    groups = [
        {"params": [] if config.muon else matrices, "weight_decay": decay},
        {"params": embeddings, "weight_decay": decay if config.decay_embeddings else 0.0},
        {"params": vectors, "weight_decay": 0.0},
    ]
    groups = [group for group in groups if group["params"]]
    built: Optimizers = [
        torch.optim.AdamW(groups, lr=lr, betas=(config.beta1, config.beta2), eps=config.eps, fused=True)
    ]
    if config.muon:
        dtype = torch.bfloat16 if precision == "bf16" else torch.float32
        built.append(Muon(matrices, lr=lr, weight_decay=decay, dtype=dtype))
    return built


@dataclass
class Guard:
    """Skips steps with a non-finite loss or gradient, or a gradient norm far above its running mean; counts them.

    The running mean moves with the clipped norm of good steps only, so one spike does not raise its own bar.
    """

    spike_factor: float
    max_bad_steps: int
    mean: float = 0.0
    seen: int = 0
    bad_in_a_row: int = 0
    skipped: int = 0

    WARMUP = 20  # steps before spikes are judged: early norms move fast

    def check(self, step: int, loss: float, norm: float) -> str | None:
        """None: go on with the step. Else why it must be skipped. Raises TrainingStopped after too many in a row."""
        why = None
        if not (math.isfinite(loss) and math.isfinite(norm)):
            why = f"non-finite loss ({loss}) or gradient norm ({norm})"
        elif self.seen >= self.WARMUP and norm > self.spike_factor * self.mean:
            why = f"gradient spike: norm {norm:.4g} is over {self.spike_factor:g} x its running mean {self.mean:.4g}"
        if why is None:
            self.bad_in_a_row = 0
            self.seen += 1
            decay = max(0.98 if self.seen > 50 else 1 - 1 / self.seen, 0.0)
            self.mean = decay * self.mean + (1 - decay) * norm
            return None
        self.skipped += 1
        self.bad_in_a_row += 1
        if self.bad_in_a_row >= self.max_bad_steps:
            raise TrainingStopped(
                f"stopped at step {step}: {self.bad_in_a_row} bad steps in a row, the last one with {why}. "
                "Lower the learning rate, look at the data of these steps (metrics.jsonl has their numbers), "
                "or raise max_bad_steps; the run resumes from its last checkpoint."
            )
        return why


def gradient_step(
    model: Llama, optimizers: Optimizers, lr: float, clip: float, guard: Guard, step: int, loss: float
) -> tuple[float, str | None]:
    """Clip, check, step, clear. Returns the gradient norm before clipping and why the step was skipped, if it was."""
    norm = full(torch.nn.utils.clip_grad_norm_(model.parameters(), clip)).item()
    # Every rank must take the same decision, or their weights part.
    bad_ranks = sum_over_ranks(0.0 if math.isfinite(loss) else 1.0)[0]
    why = guard.check(step, loss if bad_ranks == 0 else math.nan, norm)
    if why is None:
        for optimizer in optimizers:
            for group in optimizer.param_groups:
                group["lr"] = lr
            optimizer.step()
    model.zero_grad(set_to_none=True)
    return norm, why
