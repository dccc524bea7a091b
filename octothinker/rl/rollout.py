"""From a rollout step's number to graded responses: which problems, what was answered, what it is worth.

step --seeded order--> problems --template--> prompts --engine--> responses --grade--> rewards --group--> advantages
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import zstandard

from octothinker.config import RL
from octothinker.data.problems import Problem
from octothinker.data.prompts import render
from octothinker.grade.pool import Grader, Item
from octothinker.grade.verdict import Verdict
from octothinker.model.engine import Completion, Engine, Request
from octothinker.model.tokenizer import Tokenizer
from octothinker.rl.advantage import advantages


@dataclass(frozen=True)
class Sample:
    """One response, with everything the update and the records need."""

    problem: Problem
    number: int
    """Place in its group."""
    prompt: list[int]
    completion: Completion
    verdict: Verdict
    reward: float | None
    """None: could not be graded; it takes no part in the update."""
    advantage: float


def prompt_tokens(tokenizer: Tokenizer, template: str, question: str) -> list[int]:
    ids = tokenizer.encode(render(template, question))
    return [tokenizer.bos_id, *ids] if tokenizer.add_bos and tokenizer.bos_id is not None else ids


def problems_at(problems: list[Problem], step: int, count: int, seed: int) -> list[Problem]:
    """The `count` problems of rollout step `step`: epochs over all of them, each in a new seeded order."""
    chosen = []
    for i in range(step * count, (step + 1) * count):
        epoch, place = divmod(i, len(problems))
        chosen.append(int(np.random.default_rng([seed, epoch]).permutation(len(problems))[place]))
    return [problems[i] for i in chosen]


def collect(
    engine: Engine,
    grader: Grader,
    problems: list[Problem],
    seeds: list[int],
    config: RL,
    limit: int,
    *,
    greedy: bool = False,
) -> list[Sample]:
    """`group_size` graded responses to each problem, group after group; or one greedy response each. `seeds`: one a problem."""
    tokenizer = engine.tokenizer
    requests = [
        Request(
            prompt=prompt_tokens(tokenizer, config.template, problem.question),
            max_tokens=limit,
            n=1 if greedy else config.group_size,
            temperature=0.0 if greedy else config.temperature,
            seed=seed,
            stop=config.stop,
        )
        for problem, seed in zip(problems, seeds, strict=True)
    ]
    groups = engine.generate(requests)
    verdicts = iter(
        grader.grade(
            [
                Item(response=c.text, gold=problem.answer, truncated=c.finish == "length")
                for problem, group in zip(problems, groups, strict=True)
                for c in group
            ]
        )
    )
    samples = []
    for problem, request, group in zip(problems, requests, groups, strict=True):
        graded = [next(verdicts) for _ in group]
        worth = rewards(graded, [c.finish for c in group], config)
        values = advantages(worth, config.advantage)
        for number, item in enumerate(zip(group, graded, worth, values, strict=True)):
            samples.append(Sample(problem, number, request.prompt, *item))
    return samples


def rewards(verdicts: Sequence[Verdict], finishes: Sequence[str], config: RL) -> list[float | None]:
    """A reward for each response; None: no part of the update, as the gold is unusable or (DAPO's overlong filtering) the
    response was cut off. One that the grader ran out of time on counts as wrong here, or hanging the grader would pay."""
    return [
        None
        if verdict.kind == "bad_gold" or (config.mask_truncated and finish == "length")
        else config.reward_correct
        if verdict.correct
        else config.reward_wrong
        for verdict, finish in zip(verdicts, finishes, strict=True)
    ]


def write_rollouts(path: Path, step: int, samples: list[Sample]) -> None:
    """Every response of a step, one JSON line each (zstd), so that it can be graded again."""
    rows = [json.dumps(_row(step, sample), ensure_ascii=False) + "\n" for sample in samples]
    tmp = path.with_name(path.name + ".tmp")
    tmp.write_bytes(zstandard.compress("".join(rows).encode()))
    os.replace(tmp, path)


def _row(step: int, sample: Sample) -> dict[str, Any]:
    return {
        "step": step,
        "id": sample.problem.id,
        "level": sample.problem.level,
        "question": sample.problem.question,
        "gold": sample.problem.answer,
        "sample": sample.number,
        "response": sample.completion.text,
        "tokens": len(sample.completion.tokens),
        "finish": sample.completion.finish,
        "reward": sample.reward,
        "advantage": sample.advantage,
        "kind": sample.verdict.kind,
        "extracted": sample.verdict.extracted,
    }
