"""Our side: what users run. The stages themselves, paced where they log a step; the engine itself for rollouts."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from octothinker.bench.with_graders import grading as grading
from octothinker.bench.worker import Tick
from octothinker.config import RL, AdamW, LengthSchedule, Midtrain, Schedule
from octothinker.grade.pool import Grader, Item
from octothinker.grade.verdict import Verdict
from octothinker.model.engine import Engine, Request
from octothinker.model.hf import load_model
from octothinker.model.tokenizer import Tokenizer
from octothinker.rl import loop as rl_loop
from octothinker.train import loop as train_loop

FOREVER = 1_000_000  # steps
NO_TOKEN = 2**31 - 1  # beyond any vocabulary


class Endless(Tokenizer):
    """No token ends a text: every response has the same length, as on the peer's side."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.eos_ids = (NO_TOKEN,)


class Alternating(Grader):
    """Grades, and then calls every other response right: an untrained model would leave all groups without a gradient."""

    def grade(self, items: Sequence[Item]) -> list[Verdict]:
        super().grade(items)
        return [Verdict(i % 2 == 0, "equal" if i % 2 == 0 else "different", None) for i in range(len(items))]


def paced(tick: Tick, steps: int) -> type:
    """Stands in for the loops' `Metrics`: a row is the end of a step."""

    class Paced:
        def __init__(self, path: Path, first: int) -> None:
            self.done = 0

        def log(self, row: dict[str, Any]) -> None:
            self.done += 1
            if row["skipped"]:
                raise RuntimeError(f"step {row['step']} was skipped: less work than the peer's")
            if self.done % steps == 0:
                tick()

    return Paced


def rollout(spec: dict[str, Any], tick: Tick) -> None:
    folder = Path(spec["folder"])
    dtype = torch.bfloat16 if spec["setting"]["precision"] == "bf16" else torch.float32
    engine = Engine(load_model(folder, dtype), Endless.load(folder), batch=spec["batch"], dtype=dtype)
    for seed in range(FOREVER):
        ask = {"max_tokens": spec["tokens"], "n": spec["group"]}
        groups = engine.generate(
            [Request(prompt=p, seed=FOREVER * seed + i, **ask) for i, p in enumerate(spec["prompts"])]
        )
        if any(len(c.tokens) != spec["tokens"] for group in groups for c in group):
            raise RuntimeError("a response ended early")
        tick()


def midtrain(spec: dict[str, Any], tick: Tick) -> None:
    setattr(train_loop, "Metrics", paced(tick, spec["steps"]))  # noqa: B010
    stage = Midtrain(
        name="bench",
        mixture={"bench": 1.0},
        tokens=FOREVER * spec["batch"] * spec["seq_len"],
        seq_len=spec["seq_len"],
        batch_size=spec["batch"],
        micro_batch=spec["batch"],
        schedule=Schedule(kind="constant", lr=spec["lr"]),
        checkpoint_every=FOREVER,
        **spec["setting"],
    )
    inputs = {"parent": Path(spec["folder"]), "tokenizer": Path(spec["folder"]), "shards.bench": Path(spec["shards"])}
    with tempfile.TemporaryDirectory() as out:
        train_loop.midtrain_stage(train_loop.MidtrainRun(stage=stage, lr=spec["lr"]), inputs, Path(out))


def grpo(spec: dict[str, Any], tick: Tick) -> None:
    for name, double in {"Metrics": paced(tick, spec["steps"]), "Tokenizer": Endless, "Grader": Alternating}.items():
        setattr(rl_loop, name, double)
    rl = RL(
        problems="bench",
        steps=FOREVER,
        prompts_per_step=len(spec["prompts"]),
        minibatch_prompts=len(spec["prompts"]),
        group_size=spec["group"],
        length=LengthSchedule(limits=((0, spec["tokens"]),)),
        lr=spec["lr"],
        optimizer=AdamW(beta2=0.999, weight_decay=0.0),
        checkpoint_every=FOREVER,
        **spec["setting"],
    )
    inputs = {"model": Path(spec["folder"]), "problems": Path(spec["problems"])}
    with tempfile.TemporaryDirectory() as out:
        rl_loop.rl_stage(rl_loop.RLRun(rl=rl), inputs, Path(out))
