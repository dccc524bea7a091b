"""The update: graded samples -> micro-batches of flat response tokens -> one optimiser step a mini-batch.

A group's responses share their prompt in a packed row (pack.py), and only the hidden states that predict a response token
reach the output head. A sample whose advantage is 0 has no gradient when there is no KL term: it is counted in the means and
not run through the network.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from octothinker.config import RL
from octothinker.data.problems import Problem
from octothinker.grade.verdict import Verdict
from octothinker.model.engine import Completion
from octothinker.model.llama import Llama
from octothinker.rl.loss import PolicyBatch, Totals, policy_loss
from octothinker.rl.pack import Rows, micro_batches
from octothinker.rl.rollout import Sample
from octothinker.train import dist, optim


def logprobs(model: Llama, rows: Rows, temperature: float, precision: str) -> Tensor:
    """fp32 log-probabilities (N,) of the response tokens of `rows`, sample after sample, at the sampling temperature."""
    with dist.autocast(precision):
        hidden = model.hidden(rows.tokens, segments=rows.segments, parents=rows.parents, positions=rows.positions)
        return model.logprobs(F.embedding(rows.predictors, hidden.flatten(0, 1)), rows.targets, temperature)


def _per_token(rows: Rows, values: list[float]) -> Tensor:
    """One value a sample -> (N,) fp32, one a response token."""
    counts = torch.tensor([len(s.completion.tokens) for s in rows.samples], device=rows.tokens.device)
    return torch.tensor(values, device=rows.tokens.device).repeat_interleave(counts)


def _rollout_logprobs(rows: Rows) -> Tensor:
    flat = [x for s in rows.samples for x in s.completion.logprobs]
    return torch.tensor(flat, device=rows.tokens.device)


def update(
    model: Llama,
    reference: Llama | None,
    optimizers: optim.Optimizers,
    guard: optim.Guard,
    samples: list[Sample],
    config: RL,
    lr: float,
    step: int,
) -> dict[str, float]:
    """All optimiser steps of one rollout step on this rank's samples. Returns metrics (sums already over ranks)."""
    device = next(model.parameters()).device
    groups = [samples[i : i + config.group_size] for i in range(0, len(samples), config.group_size)]
    if config.filter_zero_variance:
        groups = [g for g in groups if any(s.advantage != 0 for s in g)]
    size = max(config.minibatch_prompts // dist.world(), 1)
    count = config.prompts_per_step // config.minibatch_prompts
    minis = [[s for g in groups[i * size : (i + 1) * size] for s in g if s.reward is not None] for i in range(count)]
    batches = [_trainable(mini, config, device) for mini in minis]
    # Later mini-batches are off-policy: their old log-probs are taken before the first weight changes.
    old: list[list[Tensor | None]] = [[None] * len(batches[0])]
    for later in batches[1:]:
        with torch.no_grad():
            old.append([logprobs(model, rows, config.temperature, config.precision) for rows in later])

    gap = clipped = tokens_run = 0.0
    norms: list[float] = []
    skipped = 0
    for mini, mini_batches, old_logps in zip(minis, batches, old, strict=True):
        totals = Totals(*dist.sum_over_ranks(float(sum(len(s.completion.tokens) for s in mini)), float(len(mini))))
        loss_sum = 0.0
        for rows, old_logp in zip(mini_batches, old_logps, strict=True):
            logp = logprobs(model, rows, config.temperature, config.precision)
            ref_logp = None
            if config.kl_coef > 0 and reference is not None:
                with torch.no_grad():
                    ref_logp = logprobs(reference, rows, config.temperature, config.precision)
            live = 1.0 if rows.samples[0].reward is not None else 0.0
            batch = PolicyBatch(
                logp=logp,
                old_logp=logp.detach() if old_logp is None else old_logp,
                advantages=_per_token(rows, [live * s.advantage for s in rows.samples]),
                lengths=_per_token(rows, [float(len(s.completion.tokens)) for s in rows.samples]).long(),
                ref_logp=ref_logp,
            )
            out = policy_loss(
                batch,
                totals,
                clip_low=config.clip_low,
                clip_high=config.clip_high,
                aggregate=config.aggregate,
                kl_coef=config.kl_coef * live,
            )
            (out.loss * dist.world()).backward()  # FSDP averages over ranks; the counts are global already
            loss_sum += out.loss.item()
            clipped += out.clipped.item()
            tokens_run += live * len(logp)
            if old_logp is None and live:
                gap += (logp.detach() - _rollout_logprobs(rows)).abs().sum().item()
        if dist.sum_over_ranks(float(len(mini_batches)))[0] == 0:
            continue  # nothing to learn from: no gradient, and no step of pure momentum
        loss_sum = dist.sum_over_ranks(loss_sum)[0]
        norm, why = optim.gradient_step(model, optimizers, lr, config.optimizer.clip_norm, guard, step, loss_sum)
        norms.append(norm)
        skipped += why is not None
    first_tokens = sum(len(s.completion.tokens) for rows in batches[0] for s in rows.samples if s.reward is not None)
    gap, clipped, tokens_run, first = dist.sum_over_ranks(gap, clipped, tokens_run, float(first_tokens))
    return {
        "grad_norm": sum(norms) / max(len(norms), 1),
        "clip_fraction": clipped / max(tokens_run, 1.0),
        "logp_gap": gap / max(first, 1.0),
        "skipped": float(skipped),
        "update_tokens": tokens_run,
    }


def _trainable(mini: list[Sample], config: RL, device: torch.device) -> list[Rows]:
    """Micro-batches of the samples that have a gradient. All ranks need the same number of them (FSDP's collectives), so a
    rank with fewer repeats a sample under weight 0."""
    live = [s for s in mini if s.advantage != 0 or config.kl_coef > 0]
    rows = micro_batches(live, config.micro_batch_tokens, device)
    idle = int(dist.max_over_ranks(len(rows))) - len(rows)
    return rows + [_idle_rows(device)] * idle


def _idle_rows(device: torch.device) -> Rows:
    """A one-token row without a reward: it takes part in collectives and in nothing else."""
    completion = Completion(tokens=[0], logprobs=[0.0], finish="stop", text="")
    nothing = Problem(id="", question="", answer="", level="")
    verdict = Verdict(correct=None, kind="bad_gold", extracted=None)
    return micro_batches([Sample(nothing, 0, [0], completion, verdict, None, 0.0)], 1, device)[0]
