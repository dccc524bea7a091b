"""Group-relative advantages: a group's own mean reward is the baseline (GRPO, Shao et al. 2024)."""

from __future__ import annotations

from typing import Literal

import numpy as np

EPSILON = 1e-6  # PAPER section 3: (r - mean) / (std + 1e-6)


def advantages(rewards: list[float | None], kind: Literal["grpo", "dr_grpo"]) -> list[float]:
    """One advantage a response of one prompt's group; None is a response that could not be graded: 0, and no part of the
    baseline. `grpo` divides by the standard deviation (of a sample, n-1, as verl and TRL do); `dr_grpo` (Liu et al. 2025)
    does not."""
    graded = np.array([r for r in rewards if r is not None], dtype=np.float64)
    if len(graded) < 2:
        return [0.0] * len(rewards)
    mean, scale = graded.mean(), graded.std(ddof=1) + EPSILON if kind == "grpo" else 1.0
    return [0.0 if r is None else float((r - mean) / scale) for r in rewards]
