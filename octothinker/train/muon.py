"""Muon (Jordan et al. 2024) as torch.optim.Muon computes it, with matrices of one shape orthogonalised together.

A small model has dozens of small matrices: one by one, most of the time is calls.
"""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import torch
from torch import Tensor

MOMENTUM = 0.95
A, B, C = 3.4445, -4.7750, 2.0315  # of the quintic Newton-Schulz iteration
ITERATIONS = 5


def orthogonalise(x: Tensor) -> Tensor:
    """x (n, rows, columns), rows <= columns: each matrix's singular values pushed to about 1 (0.7 to 1.2)."""
    x = x / x.norm(dim=(1, 2), keepdim=True).clamp(min=1e-7)
    for _ in range(ITERATIONS):
        gram = x @ x.mT
        x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=B, alpha=C), x, beta=A)
    return x


class Muon(torch.optim.Optimizer):
    """For matrices only. Its update is scaled to AdamW's size, 0.2 in the mean square (Liu et al. 2025), so that one learning
    rate serves both."""

    def __init__(
        self, params: list[torch.nn.Parameter], lr: float, weight_decay: float, dtype: torch.dtype = torch.bfloat16
    ) -> None:
        super().__init__(params, {"lr": lr, "weight_decay": weight_decay})
        self.dtype = dtype  # of the iteration, which forgives bf16; a CPU without bf16 instructions does not

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]  # no closures here
        for group in self.param_groups:
            parameters = [p for p in group["params"] if p.grad is not None]
            if not parameters:
                continue
            gradients = [p.grad for p in parameters]
            for p in parameters:
                if "momentum_buffer" not in self.state[p]:
                    self.state[p]["momentum_buffer"] = torch.zeros_like(p)
            momenta = [self.state[p]["momentum_buffer"] for p in parameters]
            torch._foreach_lerp_(momenta, gradients, 1 - MOMENTUM)
            updates = torch._foreach_lerp(gradients, momenta, MOMENTUM)  # Nesterov's look ahead
            torch._foreach_mul_(parameters, 1 - group["lr"] * group["weight_decay"])
            alike: dict[tuple[int, ...], list[int]] = defaultdict(list)
            for i, p in enumerate(parameters):
                alike[tuple(sorted(p.shape))].append(i)
            for (_, columns), places in alike.items():
                wide = [updates[i] if updates[i].shape[1] == columns else updates[i].T for i in places]
                done = orthogonalise(torch.stack(wide).to(self.dtype))
                turned = [x if parameters[i].shape[1] == columns else x.T for i, x in zip(places, done, strict=True)]
                rate = 0.2 * columns**0.5 * group["lr"]
                for i, x in zip(places, turned, strict=True):
                    parameters[i].add_(x, alpha=-rate)
