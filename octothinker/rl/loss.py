"""The policy loss, as a pure function of tensors: surrogate, aggregation and KL are separate choices.

The trainer divides by counts of the *whole* optimiser step (over micro-batches and ranks), passed in as `Totals`: a mean of
means would weigh tokens by the micro-batch they happen to sit in.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor


@dataclass(frozen=True)
class PolicyBatch:
    """Flat response tokens of a micro-batch; every tensor is (N,) and fp32 unless said otherwise."""

    logp: Tensor
    """Under the policy being trained, with gradient."""
    old_logp: Tensor
    """Under the policy at the start of the rollout step, from the trainer."""
    advantages: Tensor
    lengths: Tensor
    """int64: number of tokens of the response that the token belongs to (for `sequence_mean`)."""
    ref_logp: Tensor | None = None
    """Under the start model; needed when kl_coef > 0."""


@dataclass(frozen=True)
class Totals:
    """Counts over the whole optimiser step."""

    tokens: float
    sequences: float


@dataclass(frozen=True)
class LossOutput:
    loss: Tensor
    """Scalar: this micro-batch's share of the step's loss; shares add up to it."""
    clipped: Tensor
    """Number of tokens whose ratio was cut by the clip (scalar, no gradient)."""


def kl_k3(logp: Tensor, ref_logp: Tensor) -> Tensor:
    """Schulman's k3 estimate of KL(policy || reference) per token, >= 0, from samples of the policy."""
    log_ratio = ref_logp - logp
    return log_ratio.exp() - 1 - log_ratio


def weights(lengths: Tensor, totals: Totals, aggregate: Literal["token_mean", "sequence_mean"]) -> Tensor:
    """Weight (N,) of each token in the step's loss. token_mean: every token alike (DAPO); sequence_mean: every response
    alike, its tokens sharing that (GRPO as first published)."""
    if aggregate == "token_mean":
        return torch.full_like(lengths, 1.0 / totals.tokens, dtype=torch.float32)
    return 1.0 / (lengths.float() * totals.sequences)


def policy_loss(
    batch: PolicyBatch,
    totals: Totals,
    *,
    clip_low: float,
    clip_high: float,
    aggregate: Literal["token_mean", "sequence_mean"],
    kl_coef: float = 0.0,
) -> LossOutput:
    """PPO's clipped surrogate (Schulman et al. 2017, eq. 7), with the asymmetric clip of DAPO (Yu et al. 2025)."""
    ratio = (batch.logp - batch.old_logp).exp()
    plain = ratio * batch.advantages
    cut = ratio.clamp(1 - clip_low, 1 + clip_high) * batch.advantages
    per_token = -torch.minimum(plain, cut)
    if kl_coef > 0:
        if batch.ref_logp is None:
            raise ValueError("kl_coef > 0 needs ref_logp")
        per_token = per_token + kl_coef * kl_k3(batch.logp, batch.ref_logp)
    loss = (per_token * weights(batch.lengths, totals, aggregate)).sum()
    return LossOutput(loss, (cut < plain).sum().detach())
