"""A small but complete run folder in the format of the real one, in about a second: no model is trained.

Also a program: `python tests/report/make_run.py FOLDER` makes a larger one to look at.
"""

from __future__ import annotations

import json
import math
import random
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from octothinker.config import (
    RL,
    Eval,
    Experiment,
    LengthSchedule,
    Midtrain,
    ModelConfig,
    Problems,
    Schedule,
    Source,
    StartModel,
    TokenizerConfig,
)
from octothinker.records import write_json
from octothinker.typed import digest, to_json

HOSTILE = (
    '</script><img src=x onerror="window.pwned=1"><script>window.pwned=1</script>{{ 7*7 }} <!-- \u2028 &amp; \\boxed{1'
)
"""What a model might write; also used as a problem's question."""
# sampled accuracy at the easiest level before and after RL, boxed share and tokens likewise, share cut off after
ABILITY = {
    "base": (0.05, 0.08, 0.15, 0.30, 14, 95, 0.30),
    "stable": (0.08, 0.33, 0.20, 0.80, 30, 44, 0.06),
    "short": (0.30, 0.62, 0.45, 0.99, 26, 24, 0.00),
    "long": (0.26, 0.93, 0.45, 0.99, 58, 72, 0.03),
    "hybrid": (0.30, 0.84, 0.45, 0.99, 45, 55, 0.02),
}
SLOPE = {"long": 0.10, "hybrid": 0.15}
"""Accuracy lost with every level, after RL; 0.2 for the others."""


def make_experiment(
    seeds: Sequence[int] = (0, 1, 2), problems: int = 48, steps: int = 40, with_rl: bool = True
) -> Experiment:
    """A recipe of nano's shape: base, stable, three branches that fork from it, RL from all five."""

    def stage(name: str, parent: str | None, mixture: dict[str, float], tokens: int, **more: Any) -> Midtrain:
        decay, constant = Schedule(kind="cosine", final_ratio=0.1), Schedule(kind="constant", lr=3e-3)
        schedule = decay if parent == "stable" else constant
        return Midtrain(
            name=name,
            parent=parent,
            mixture=mixture,
            tokens=tokens,
            seq_len=256,
            batch_size=16,
            schedule=schedule,
            keep_every=16,
            **more,
        )

    shape = ModelConfig(
        vocab_size=384, hidden_size=64, intermediate_size=128, num_layers=2, num_heads=2, num_kv_heads=1, head_dim=32
    )
    names = ("prose", "maths", "qa_short", "qa_long")
    experiment = Experiment(
        name="nano-like",
        seeds=tuple(seeds),
        model=StartModel(config=shape),
        tokenizer=TokenizerConfig(vocab_size=384, sources=names),
        sources={name: Source(generator=f"octothinker.recipes.made_up:{name}") for name in names},
        problems={"heldout": Problems(path="heldout.jsonl"), "train": Problems(path="train.jsonl")},
        midtrain=(
            stage("base", None, {"prose": 0.9, "qa_short": 0.1}, 400_000),
            stage("stable", "base", {"prose": 0.25, "maths": 0.75}, 400_000),
            stage("short", "stable", {"maths": 0.5, "qa_short": 0.5}, 200_000, fork_step=64),
            stage("long", "stable", {"maths": 0.5, "qa_long": 0.5}, 200_000, fork_step=64),
            stage("hybrid", "stable", {"maths": 0.5, "qa_short": 0.25, "qa_long": 0.25}, 200_000, fork_step=64),
        ),
        rl=RL(
            problems="train",
            steps=steps,
            eval_problems="heldout",
            prompts_per_step=32,
            minibatch_prompts=16,
            length=LengthSchedule(limits=((0, 64), (steps // 2, 128))),
        ),
        rl_from=tuple(ABILITY),
        base="base",
        eval=Eval(problems=("heldout",), samples=4, limit=problems, max_tokens=128, pass_k=(1, 2, 4)),
    )
    return experiment if with_rl else replace(experiment, rl=None, rl_from=(), base="start")


def make_run(folder: Path, *, unfinished: bool = False, hostile: bool = True, **recipe: Any) -> Path:
    """Write a run folder; `unfinished`: one RL still runs, another failed, run.json has no time yet."""
    experiment = make_experiment(**recipe)
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / "experiment.json", to_json(experiment))
    info = {
        "argv": ["octo", "run", "nano"],
        "commit": "c0ffee",
        "version": "0.1.0",
        "python": "3.11.9",
        "torch": "2.13.0",
        "platform": "Linux",
        "cpu": "a processor",
        "threads": "1",
        "started": 1.8e9,
    }
    write_json(folder / "run.json", {**info, "seconds": None if unfinished else 812.5})
    names: list[tuple[str, str, str | None, int | None]] = [("tokenizer", "tokenizer", None, None)]
    names += [(f"shards.{name}", "shards", None, None) for name in experiment.sources]
    names += [(f"problems.{name}", "problems", None, None) for name in experiment.problems]
    names += [("contamination", "contamination", None, None)]
    for seed in experiment.seeds:
        names += [(f"midtrain.{m.name}.s{seed}", "midtrain", m.name, seed) for m in experiment.midtrain]
        names += [(f"eval.{m.name}.s{seed}", "eval", m.name, seed) for m in experiment.midtrain]
        for init in experiment.rl_from:
            names += [
                (f"rl.{init}.s{seed}", "rl", init, seed),
                (f"eval.rl-{init}.s{seed}", "eval", init, seed),
            ]
    plan: list[dict[str, Any]] = []
    for name, kind, about, number in names:
        key = digest([name, to_json(experiment)])
        entry = {"name": name, "kind": kind, "key": key, "folder": f"stages/{name}-{key}"}
        plan.append({**entry, "inputs": {}, "seed": number, "init": about})
        running = unfinished and name == "rl.hybrid.s0"
        failed = unfinished and name == "rl.stable.s0"
        if unfinished and name in ("eval.rl-hybrid.s0", "eval.rl-stable.s0"):
            continue
        stage = folder / "stages" / (f"{name}-{key}" + (".tmp" if running or failed else ""))
        stage.mkdir(parents=True)
        rng = random.Random(name)
        result = _WRITERS[kind](stage, experiment, about, name, rng, hostile) if about else {}
        if failed:
            (stage / "error.txt").write_text("RuntimeError: loss is not finite\n\nTraceback …\n")
        if not running and not failed:
            manifest = {"name": name, "kind": kind, "key": key, "version": 1, "code": "0123456789abcdef"}
            write_json(stage / "manifest.json", {**manifest, "started": 1.8e9, "seconds": 10.0, "result": result})
    write_json(folder / "plan.json", plan)
    return folder


def _jsonl(path: Path, rows: list[dict[str, Any]]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def _midtrain(stage: Path, e: Experiment, init: str, name: str, rng: random.Random, hostile: bool) -> dict[str, Any]:
    config = e.stage(init)
    rows = []
    for step in range(config.steps):
        done = (step + 1) / config.steps
        lr = 3e-3 if config.parent != "stable" else 3e-3 * (0.1 + 0.45 * (1 + math.cos(math.pi * done)))
        loss = {"base": 4.0, "stable": 2.2}.get(init, 1.7) - 1.2 * (1 - math.exp(-3 * done)) + rng.gauss(0, 0.03)
        rows.append(
            {
                "step": step,
                "tokens": (step + 1) * config.tokens_per_step,
                "loss": loss,
                "lr": lr,
                "grad_norm": 1.0,
                "tokens_per_second": 2e4,
                "skipped": 0,
            }
        )
    _jsonl(stage / "metrics.jsonl", rows)
    shares = {source: share * (1 + rng.uniform(-0.004, 0.004)) for source, share in config.mixture.items()}
    return {
        "tokens": rows[-1]["tokens"],
        "steps": config.steps,
        "loss": rows[-1]["loss"],
        "final_lr": rows[-1]["lr"],
        "shares": shares,
        "epochs": {source: 2.5 * share for source, share in shares.items()},
    }


def _rl(stage: Path, e: Experiment, init: str, name: str, rng: random.Random, hostile: bool) -> dict[str, Any]:
    assert e.rl
    before, after, box0, box1, length0, length1, cut = ABILITY[init]
    rows = []
    for step in range(e.rl.steps):
        done = 1 - math.exp(-3 * step / e.rl.steps)
        accuracy = min(1.0, max(0.0, before + (after - before) * done + rng.gauss(0, 0.04)))
        length = length0 + (length1 - length0) * done + rng.gauss(0, 2)
        row = {
            "step": step,
            "reward": 2 * accuracy - 1,
            "accuracy": accuracy,
            "boxed": box0 + (box1 - box0) * done,
            "length_mean": length,
            "length_correct": length * 0.8,
            "length_max": 128,
            "truncation": cut * done,
            "repetition": cut * done / 2,
            "entropy": 0.9 - 0.6 * done + rng.gauss(0, 0.02),
            "kl_start": 0.05 * done,
            "clip_fraction": 0.01 + rng.uniform(0, 0.01),
            "zero_variance": 0.6 - 0.3 * done,
            "logp_gap": 1e-4,
            "grad_norm": 0.4,
            "lr": 5e-5,
            "limit": 64 if step < e.rl.steps // 2 else 128,
            "rollout_tokens_per_second": 1e4,
            "update_tokens_per_second": 1e4,
            "seconds": 2.0,
        }
        if step % 4 == 0:
            row |= {"val_accuracy": accuracy, "val_length_correct": length, "val_truncation": cut * done}
        rows.append(row)
    _jsonl(stage / "metrics.jsonl", rows)
    return {"steps": e.rl.steps, "reward_first": rows[0]["reward"], "reward_last": rows[-1]["reward"]}


def _eval(stage: Path, e: Experiment, init: str, name: str, rng: random.Random, hostile: bool) -> dict[str, Any]:
    before, after, box0, box1, length0, length1, cut = ABILITY[init]
    trained = name.startswith("eval.rl-")
    top, box, length = (after, box1, length1) if trained else (before, box0, length0)
    cut = cut if trained else 0.0
    rows: list[dict[str, Any]] = []
    n = e.eval.limit or 0
    for i in range(n):
        level = 1 + i % 4
        difficulty = random.Random(i).gauss(0, 0.15)  # the problem's own, the same for every model
        chance = top - (SLOPE.get(init, 0.2) if trained else 0.07) * (level - 1) + difficulty * 4 * top * (1 - top)
        gold = str(i * 7 % 100)
        question = HOSTILE if hostile and i == 0 else f"What is {i * 3} + {i * 4} - {i * 7 - int(gold)}?"
        for sample in range(-1, e.eval.samples):
            mode = "greedy" if sample < 0 else "sampled"
            p = chance * (1.3 if mode == "greedy" else 1.0)
            finished, right = rng.random() >= cut, rng.random() < p
            boxed = right or (finished and rng.random() < box)
            answer = gold if right else str(rng.randrange(100))
            work = "".join(f"{i * 3}+{j}={i * 3 + j}\n" for j in range(max(1, int(length / 10))))
            text = f"{work}So it is \\boxed{{{answer}}}." if boxed else f"{work}I think {answer}"
            rows.append(
                {
                    "set": "heldout",
                    "id": f"p{i}",
                    "level": str(level),
                    "question": question,
                    "gold": gold,
                    "mode": mode,
                    "sample": max(0, sample),
                    "response": (text if finished else work * 3) + (HOSTILE if hostile and init == "stable" else ""),
                    "tokens": max(1, round(rng.gauss(length, length / 5))) if finished else 128,
                    "finish": "stop" if finished else "length",
                    "correct": right,
                    "kind": "equal"
                    if right
                    else "truncated"
                    if not finished
                    else "different"
                    if boxed
                    else "no_answer",
                    "extracted": answer if boxed else None,
                    "boxed": boxed,
                }
            )
    _jsonl(stage / "samples.jsonl", rows)
    modes = {mode: [r for r in rows if r["mode"] == mode] for mode in ("greedy", "sampled")}
    measured = {mode: {"accuracy": sum(r["correct"] for r in rs) / len(rs)} for mode, rs in modes.items()}
    wrong = [1 - sum(r["correct"] for r in modes["sampled"] if r["id"] == f"p{i}") / e.eval.samples for i in range(n)]
    pass_k = {str(k): [1 - sum(w**k for w in wrong) / n, 0.0, 1.0] for k in e.eval.pass_k}
    write_json(stage / "results.json", {"protocol": {}, "sets": {"heldout": {"n": n, **measured, "pass_at_k": pass_k}}})
    return {}


_WRITERS = {"midtrain": _midtrain, "rl": _rl, "eval": _eval}

if __name__ == "__main__":
    make_run(
        Path(sys.argv[1]),
        problems=300,
        steps=80,
        unfinished="--unfinished" in sys.argv,
        seeds=(0,) if "--one" in sys.argv else (0, 1, 2),
    )
