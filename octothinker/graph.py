"""From an Experiment to its stages, in an order in which each comes after what it needs.

    tokenizer (or the start model's) ── shards.<source> ─┐
    midtrain.base.s0 ── midtrain.stable.s0 ─┬─ midtrain.short.s0 ─┬─ rl.short.s0 ── eval.rl-short.s0
                                            └─ midtrain.long.s0   └─ eval.short.s0
    problems.<name> ────────────────────────────────────── rl, eval
    contamination: every shards.<source> and the RL prompts against the evaluation's problems

Tokenizer, shards and problems are shared by all seeds; the rest exists once a seed. What a branch takes over from its parent
(learning rate, checkpoint) is resolved here, so it is part of the branch's identity.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from octothinker.config import Experiment, Midtrain
from octothinker.stage import External, Stage, external, load
from octothinker.train.schedule import lr_at
from octothinker.typed import ConfigError

FUNCTIONS = {
    "tokenizer": "octothinker.data.stages:tokenizer_stage",
    "shards": "octothinker.data.stages:shards_stage",
    "problems": "octothinker.data.stages:problems_stage",
    "contamination": "octothinker.data.contamination:contamination_stage",
    "midtrain": "octothinker.train.loop:midtrain_stage",
    "rl": "octothinker.rl.loop:rl_stage",
    "eval": "octothinker.evals.run:eval_stage",
}
CONFIGS = {
    "tokenizer": "octothinker.data.stages:TokenizerRun",
    "shards": "octothinker.data.stages:ShardsRun",
    "problems": "octothinker.data.stages:ProblemsRun",
    "contamination": "octothinker.data.contamination:ContaminationRun",
    "midtrain": "octothinker.train.loop:MidtrainRun",
    "rl": "octothinker.rl.loop:RLRun",
    "eval": "octothinker.evals.run:EvalRun",
}


def _stage(kind: str, name: str, config: Any, inputs: dict[str, Stage | External], **labels: Any) -> Stage:
    return Stage(name=name, kind=kind, fn=FUNCTIONS[kind], config=config, inputs=inputs, **labels)


def expand(experiment: Experiment, cache: Path | None = None) -> list[Stage]:
    """All stages for all seeds. `cache` is a file that remembers checksums of an existing model (stage.external)."""
    start = external(experiment.model.path, cache) if experiment.model.path else None
    stages: list[Stage] = []
    tokenizer: Stage | External
    if experiment.tokenizer is not None:
        tokenizer = _stage("tokenizer", "tokenizer", load(CONFIGS["tokenizer"]).of(experiment), {})
        stages.append(tokenizer)
    else:
        assert start is not None  # Experiment checks that one of the two is given
        tokenizer = start

    used = [name for stage in experiment.midtrain for name, share in stage.mixture.items() if share > 0]
    shards = {}
    for name in dict.fromkeys(used):
        config = load(CONFIGS["shards"]).of(experiment, name)
        shards[name] = _stage("shards", f"shards.{name}", config, {"tokenizer": tokenizer})
    sets = [*experiment.eval.problems]
    if experiment.rl:
        sets += [experiment.rl.problems, experiment.rl.eval_problems or experiment.rl.problems]
    problems = {}
    for name in dict.fromkeys(sets):
        problems[name] = _stage("problems", f"problems.{name}", load(CONFIGS["problems"]).of(experiment, name), {})
    stages += [*shards.values(), *problems.values()]
    if experiment.eval.problems and (shards or experiment.rl):
        looked: dict[str, Stage | External] = {"tokenizer": tokenizer}
        looked |= {f"shards.{name}": stage for name, stage in shards.items()}
        looked |= {f"tests.{name}": problems[name] for name in experiment.eval.problems}
        if experiment.rl:
            looked["prompts"] = problems[experiment.rl.problems]
        stages.append(_stage("contamination", "contamination", load(CONFIGS["contamination"])(), looked))
    for seed in experiment.seeds:
        stages += _seed_stages(experiment, seed, start, tokenizer, shards, problems)
    return stages


def _seed_stages(
    experiment: Experiment,
    seed: int,
    start: External | None,
    tokenizer: Stage | External,
    shards: dict[str, Stage],
    problems: dict[str, Stage],
) -> list[Stage]:
    stages: list[Stage] = []
    models: dict[str, Stage | External] = {"start": start} if start else {}
    rates: dict[str, float] = {}
    for config in experiment.midtrain:
        fork, rates[config.name] = resolve_branch(experiment, config, rates)
        inputs: dict[str, Stage | External] = {"tokenizer": tokenizer}
        model = None
        if config.parent is not None or start is not None:
            inputs["parent"] = models[config.parent or "start"]
        elif experiment.model.config is not None and experiment.tokenizer is not None:
            model = dataclasses.replace(experiment.model.config, vocab_size=experiment.tokenizer.vocab_size)
        inputs |= {f"shards.{name}": shards[name] for name, share in config.mixture.items() if share > 0}
        run = load(CONFIGS["midtrain"])(
            stage=config, lr=rates[config.name], model=model, fork_step=fork, seed=seed, threads=experiment.threads
        )
        stage = _stage("midtrain", f"midtrain.{config.name}.s{seed}", run, inputs, seed=seed, init=config.name)
        models[config.name] = stage
        stages.append(stage)

    def measure(name: str, init: str, model: Stage | External) -> None:
        config = load(CONFIGS["eval"]).of(experiment, seed)
        inputs: dict[str, Stage | External] = {"model": model}
        inputs |= {f"problems.{name}": problems[name] for name in experiment.eval.problems}
        stages.append(_stage("eval", f"eval.{name}.s{seed}", config, inputs, seed=seed, init=init))

    for init in experiment.rl_from or [stage.name for stage in experiment.midtrain] or ["start"]:
        if experiment.eval.problems:
            measure(init, init, models[init])
        if experiment.rl is not None and experiment.rl_from:
            inputs = {"model": models[init], "problems": problems[experiment.rl.problems]}
            if experiment.rl.eval_problems:
                inputs["eval_problems"] = problems[experiment.rl.eval_problems]
            config = load(CONFIGS["rl"])(rl=experiment.rl, seed=seed, threads=experiment.threads)
            trained = _stage("rl", f"rl.{init}.s{seed}", config, inputs, seed=seed, init=init)
            stages.append(trained)
            if experiment.eval.problems:
                measure(f"rl-{init}", init, trained)
    return stages


def resolve_branch(experiment: Experiment, stage: Midtrain, rates: dict[str, float]) -> tuple[int | None, float]:
    """(the parent's step to fork from or None for its end, peak learning rate); `rates` has the earlier stages' peaks."""
    where = f"midtrain.{stage.name}"
    parent = experiment.stage(stage.parent) if stage.parent else None
    if parent is None:
        if stage.fork_step is not None or stage.fork_tokens is not None:
            raise ConfigError(f"{where}: a fork point needs a `parent` stage")
        if stage.schedule.lr is None:
            raise ConfigError(f"{where}.schedule.lr: needed, there is no parent stage to take the rate from")
        return None, stage.schedule.lr
    fork = _fork_step(where, stage, parent)
    if stage.schedule.lr is not None:
        return fork, stage.schedule.lr
    total = parent.steps * parent.tokens_per_step
    tokens = total if fork is None else fork * parent.tokens_per_step
    return fork, lr_at(parent.schedule, rates[parent.name], tokens, total)


def _fork_step(where: str, stage: Midtrain, parent: Midtrain) -> int | None:
    if stage.fork_step is None and stage.fork_tokens is None:
        return None
    if stage.fork_step is not None:
        field, wanted, unit = "fork_step", stage.fork_step, 1
    else:
        field, wanted, unit = "fork_tokens", int(stage.fork_tokens or 0), parent.tokens_per_step
    steps = range(parent.keep_every, parent.steps, parent.keep_every) if parent.keep_every else range(0)
    kept = [*steps, parent.steps]
    if wanted % unit or wanted // unit not in kept:
        there = [step * unit for step in kept]
        shown = ", ".join(map(str, there if len(there) <= 12 else [*there[:6], "…", *there[-5:]]))
        raise ConfigError(
            f"{where}.{field}={wanted}: {parent.name} keeps no checkpoint there; it keeps {shown} "
            f"(midtrain.{parent.name}.keep_every={parent.keep_every} steps of {parent.tokens_per_step} tokens)"
        )
    step = wanted // unit
    return None if step == parent.steps else step  # the end is the end, however it is written


def check_forks(stages: Sequence[Stage], out: Path) -> None:
    """A finished parent may have been trained when fewer checkpoints were asked for: say so before anything runs."""
    for stage in stages:
        parent = stage.inputs.get("parent")
        if stage.kind != "midtrain" or stage.config.fork_step is None or not isinstance(parent, Stage):
            continue
        if not parent.done(out):
            continue
        folder = parent.folder(out) / "checkpoints"
        kept = sorted(int(f.name[5:]) for f in folder.glob("step-*") if f.name[5:].isdigit())
        if stage.config.fork_step not in kept:
            raise ConfigError(
                f"midtrain.{stage.init}: forks from step {stage.config.fork_step} of {parent.name}, but that was trained "
                f"keeping only steps {kept}; fork from one of these, or remove {parent.folder(out)} to train it again"
            )
