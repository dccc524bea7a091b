"""This grader as a reward function of other trainers.

TRL's GRPOTrainer: the data set has a column `answer` (or `gold`, or `solution`) with the gold.

    GRPOTrainer(model, reward_funcs=boxed_reward, …)          trl grpo --reward_funcs octothinker.grade.rewards.boxed_reward

verl: `reward_model.ground_truth` of a row is the gold.

    reward.custom_reward_function.path=pkg://octothinker.grade.rewards reward.custom_reward_function.name=compute_score

1 for a right answer in the last complete box, else 0; an answer that the grader ran out of time on is worth 0. Every process
has one grader, which its threads share and which ends with it.
"""

from __future__ import annotations

import atexit
import os
from functools import lru_cache
from typing import Any

from octothinker.grade.pool import Grader, Item

GOLDS = ("answer", "gold", "solution")


@lru_cache(maxsize=1)
def _grader(process: int) -> Grader:
    """One a process: a fork must not read from its parent's workers."""
    grader = Grader()
    atexit.register(grader.close)
    return grader


def boxed_reward(completions: list[Any], **columns: Any) -> list[float | None]:
    """A reward function of TRL. `completions`: texts, or conversations, whose last message is read. None, which TRL leaves out
    of the reward: the gold is unusable. ValueError: no column holds the golds."""
    name = next((name for name in GOLDS if name in columns), None)
    if name is None:
        raise ValueError(f"boxed_reward: the data set needs a column with the golds, one of {', '.join(GOLDS)}")
    texts = [c if isinstance(c, str) else c[-1]["content"] for c in completions]
    items = [Item(text, gold) for text, gold in zip(texts, columns[name], strict=True)]
    verdicts = _grader(os.getpid()).grade(items)
    return [None if v.kind == "bad_gold" else float(v.correct is True) for v in verdicts]


def compute_score(
    data_source: str, solution_str: str, ground_truth: str, extra_info: dict[str, Any] | None = None, **_: Any
) -> dict[str, Any]:
    """A reward function of verl: {"score": 1.0 or 0.0, "acc", "pred", "kind", "how"}, the last two as in a Verdict."""
    (verdict,) = _grader(os.getpid()).grade([Item(solution_str, ground_truth)])
    right = verdict.correct is True
    return {
        "score": float(right),
        "acc": right,
        "pred": verdict.extracted or "",
        "kind": verdict.kind,
        "how": verdict.how,
    }
