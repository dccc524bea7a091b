"""Learning rate as a pure function of the tokens a stage has seen: resuming or branching needs no state but that count."""

from __future__ import annotations

import math

from octothinker.config import Schedule


def lr_at(schedule: Schedule, lr: float, tokens: int, total: int) -> float:
    """Rate for the step that starts after `tokens` of `total`; `lr` is the peak (`schedule.lr`, or the parent's rate).

    constant: lr · cosine: half a cosine from lr to lr*final_ratio · linear · 1-sqrt: lr*(1-sqrt(progress)) onto the final
    rate (Hägele et al. 2024). `warmup_tokens` rise linearly to lr first; the shape then covers what is left.
    """
    if tokens < schedule.warmup_tokens:
        return lr * (tokens + 1) / (schedule.warmup_tokens + 1)
    progress = (tokens - schedule.warmup_tokens) / max(total - schedule.warmup_tokens, 1)
    progress = min(max(progress, 0.0), 1.0)
    final = lr * schedule.final_ratio
    if schedule.kind == "constant":
        return lr
    if schedule.kind == "cosine":
        return final + (lr - final) * 0.5 * (1 + math.cos(math.pi * progress))
    if schedule.kind == "linear":
        return lr + (final - lr) * progress
    return final + (lr - final) * (1 - math.sqrt(progress))
