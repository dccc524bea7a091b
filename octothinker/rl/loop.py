"""R1-Zero style RL from any model: the same conditions for every start.

    step -> problems -> rollouts (engine) -> verdicts (grade) -> advantages -> update (GRPO) -> metrics, rollout store, checkpoint

Under torchrun every rank rolls out and grades its share of the prompts with a whole copy of the weights, and the update is
sharded (FSDP2). A step is a pure function of (weights, seed, step), so RL resumes bit-equal too.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from octothinker.config import RL, Problems
from octothinker.data.problems import Problem, gradable, read_problems
from octothinker.grade.pool import Grader
from octothinker.grade.repetition import repetition_rate
from octothinker.grade.verdict import VERSION
from octothinker.model.engine import Engine
from octothinker.model.hf import load_model, save_model
from octothinker.model.llama import Llama
from octothinker.model.tokenizer import Tokenizer
from octothinker.records import Metrics, Progress, read_jsonl
from octothinker.rl.length import limit_at
from octothinker.rl.loss import kl_k3
from octothinker.rl.pack import micro_batches
from octothinker.rl.rollout import Sample, collect, problems_at, write_rollouts
from octothinker.rl.update import logprobs, update
from octothinker.train import checkpoint, dist, optim
from octothinker.typed import ConfigError, check, not_identity, version

KL_SAMPLES = 32  # responses a step on which the KL to the start model is measured


@dataclass(frozen=True, kw_only=True)
class RLRun:
    """RL from one model with one seed."""

    rl: RL
    seed: int = 0
    grader: int = VERSION
    """Version of the grader that pays the rewards."""
    threads: int = not_identity(0)


def model_folder(path: Path) -> Path:
    """The Hugging Face folder of an input: a stage's model/, or the folder itself."""
    return path / "model" if (path / "model").is_dir() else path


@version(1)
def rl_stage(config: RLRun, inputs: dict[str, Path], out: Path) -> dict[str, Any]:
    """inputs: `model`, `problems`, optionally `eval_problems`. Writes model/, metrics.jsonl, rollouts/, checkpoints/."""
    rl = config.rl
    check(
        config.grader == VERSION,
        f"grader: planned with version {config.grader}, here is {VERSION}; start the run again",
    )
    rank, world = dist.setup()
    if rl.prompts_per_step % world or rl.minibatch_prompts % world:
        raise ConfigError(f"rl: prompts_per_step and minibatch_prompts must be multiples of the {world} ranks")
    device = dist.device()
    tokenizer = Tokenizer.load(model_folder(inputs["model"]))
    problems, bad = gradable(read_problems(Problems(path=str(inputs["problems"] / "problems.jsonl"))))
    check(bool(problems), f"rl.problems: no gold can be graded against; {bad[0] if bad else ''}")
    held_out: list[Problem] = []
    if "eval_problems" in inputs:
        held_out = gradable(read_problems(Problems(path=str(inputs["eval_problems"] / "problems.jsonl"))))[0]
        held_out = held_out[: rl.eval_limit]

    start = load_model(model_folder(inputs["model"])).to(device)
    reference = start.requires_grad_(False).eval()
    model = Llama(start.config).to(device)
    model.load_state_dict(start.state_dict())
    dtype = torch.bfloat16 if rl.precision == "bf16" else torch.float32
    engine = Engine(model, tokenizer, batch=rl.rollout_batch, dtype=dtype)
    model = dist.shard(model, rl.precision)
    optimizers = optim.build(model, rl.optimizer, rl.lr, rl.precision)
    guard = optim.Guard(spike_factor=1e9, max_bad_steps=5)  # RL gradients may spike by nature; only NaN is bad
    first = 0
    if resume := checkpoint.latest(out / "checkpoints"):
        first = checkpoint.load(resume, model, optimizers)["step"]
    (out / "rollouts").mkdir(exist_ok=True)
    metrics = Metrics(out / "metrics.jsonl", first) if rank == 0 else None
    progress = Progress(out, rl.steps, "steps", first) if rank == 0 else None
    truncation = [row["truncation"] for row in read_jsonl(out / "metrics.jsonl")] if rank == 0 else []

    with Grader() as grader:
        for step in range(first, rl.steps):
            began = time.perf_counter()
            limit = int(dist.max_over_ranks(limit_at(rl.length, step, truncation) if rank == 0 else 0))
            engine.load_weights(dist.full_state(model))
            row: dict[str, Any] = {"step": step, "limit": limit}
            if held_out and step % rl.eval_every == 0:
                row.update(validate(engine, grader, held_out, rl, limit))
            timer = time.perf_counter()
            chosen = problems_at(problems, step, rl.prompts_per_step, config.seed)
            seeds = [_request_seed(config.seed, step, i) for i in range(len(chosen))]
            samples = collect(engine, grader, chosen[rank::world], seeds[rank::world], rl, limit)
            rollout_seconds = time.perf_counter() - timer
            row.update(describe(samples, rl))
            row["kl_start"] = kl_to_start(reference, samples, rl)

            timer = time.perf_counter()
            lr = rl.lr * min(1.0, (step + 1) / (rl.lr_warmup_steps + 1))
            done = update(model, reference, optimizers, guard, samples, rl, lr, step)
            update_seconds = time.perf_counter() - timer
            updated = done.pop("update_tokens")
            row.update(done, lr=lr, update_tokens_per_second=updated / update_seconds)
            row["rollout_tokens_per_second"] = row["tokens"] / rollout_seconds
            row["seconds"] = time.perf_counter() - began

            suffix = "" if world == 1 else f"-rank{rank}"
            write_rollouts(out / "rollouts" / f"step-{step:06d}{suffix}.jsonl.zst", step, samples)
            truncation.append(row["truncation"])
            if metrics and progress:
                metrics.log(row)
                progress.update(step + 1, reward=row["reward"], length=row["length_mean"], truncated=row["truncation"])
            if (step + 1) % rl.checkpoint_every == 0 or step + 1 == rl.steps:
                checkpoint.save(out / "checkpoints", step + 1, model, optimizers, {}, keep_last=rl.keep_last)
        whole = dist.full_state(model)
        final: dict[str, Any] = {}
        if held_out:
            engine.load_weights(whole)
            final = validate(engine, grader, held_out, rl, rl.length.max_limit)
    if rank == 0:
        plain = Llama(model.config)
        plain.load_state_dict(whole)
        save_model(out / "model", plain, tokenizer)
    dist.barrier()
    rewards = [r["reward"] for r in read_jsonl(out / "metrics.jsonl")]
    edge = max(len(rewards) // 10, 1)
    means = {"reward_first": float(np.mean(rewards[:edge])), "reward_last": float(np.mean(rewards[-edge:]))}
    return {"steps": rl.steps, "bad_golds": len(bad), **means, **final}


def _request_seed(seed: int, step: int, index: int) -> int:
    return int(np.random.SeedSequence([seed, step, index]).generate_state(1, np.uint64)[0])


def describe(samples: list[Sample], rl: RL) -> dict[str, Any]:
    """What is recorded of a step's responses, over all ranks. Lengths in tokens; rates in 0..1."""
    lengths = np.array([len(s.completion.tokens) for s in samples], dtype=np.float64)
    correct = np.array([s.verdict.correct is True for s in samples])
    graded = [s.reward for s in samples if s.reward is not None]
    groups = [samples[i : i + rl.group_size] for i in range(0, len(samples), rl.group_size)]
    sums = dist.sum_over_ranks(
        len(samples),
        len(graded),
        float(sum(graded)),
        float(correct.sum()),
        sum(s.verdict.extracted is not None for s in samples),
        float(lengths.sum()),
        float(lengths[correct].sum()),
        sum(s.completion.finish == "length" for s in samples),
        sum(repetition_rate(s.completion.tokens) for s in samples),
        -sum(sum(s.completion.logprobs) for s in samples),
        len(groups),
        sum(all(s.advantage == 0 for s in group) for group in groups),
        sum(s.verdict.kind in ("no_answer", "truncated") for s in samples),
        sum(s.verdict.how in ("guard", "slow") for s in samples),
        sum(s.verdict.kind == "timeout" for s in samples),
        sum(s.verdict.how == "slow" and s.verdict.correct is True for s in samples),
    )
    n, n_graded, reward, right, boxed, tokens, tokens_right, cut, repeated, surprise, n_groups, flat, *grader = sums
    no_box, undecided, timeouts, slow_right = grader
    return {
        "reward": reward / max(n_graded, 1),
        "accuracy": right / n,
        "boxed": boxed / n,
        "length_mean": tokens / n,
        "length_correct": tokens_right / right if right else None,
        "length_max": dist.max_over_ranks(float(lengths.max())),
        "truncation": cut / n,
        "repetition": repeated / n,
        # The mean surprise of sampled tokens is an unbiased estimate of the sampling distribution's entropy.
        "entropy": surprise / tokens,
        "zero_variance": flat / n_groups,
        "ungraded": n - n_graded,
        "no_box": no_box / n,
        "undecided": undecided / n,  # by the exact path
        "timeouts": timeouts,
        # Of the right answers, those that math-verify called right: a sudden rise is the sign of reward hacking.
        "slow_true": slow_right / right if right else None,
        "tokens": tokens,
    }


@torch.no_grad()
def kl_to_start(reference: Llama, samples: list[Sample], rl: RL) -> float:
    """Mean per token of the k3 estimate of KL(policy || start model), on evenly chosen responses of this step."""
    chosen = samples[:: max(len(samples) // KL_SAMPLES, 1)][:KL_SAMPLES]
    total = count = 0.0
    for rows in micro_batches(chosen, rl.micro_batch_tokens, next(reference.parameters()).device):
        ref_logp = logprobs(reference, rows, rl.temperature, rl.precision)
        logp: Tensor = torch.tensor([x for s in rows.samples for x in s.completion.logprobs], device=ref_logp.device)
        total += kl_k3(logp, ref_logp).sum().item()
        count += len(logp)
    total, count = dist.sum_over_ranks(total, count)
    return total / max(count, 1.0)


def validate(engine: Engine, grader: Grader, problems: list[Problem], rl: RL, limit: int) -> dict[str, float | None]:
    """Greedy, one response a problem (PAPER section 3). Length is the mean over correct answers, as in the paper."""
    mine = problems[dist.rank() :: dist.world()]
    samples = collect(engine, grader, mine, [0] * len(mine), rl, limit, greedy=True)
    right = [s for s in samples if s.verdict.correct is True]
    sums = dist.sum_over_ranks(
        len(samples),
        len(right),
        sum(len(s.completion.tokens) for s in right),
        sum(s.completion.finish == "length" for s in samples),
    )
    n, correct, tokens, cut = sums
    return {
        "val_accuracy": correct / n,
        "val_length_correct": tokens / correct if correct else None,
        "val_truncation": cut / n,
    }
