"""What the grader says about one response."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

VERSION = 3
"""Of the grader: raised when any verdict may change. Part of the keys of RL and evaluation, which are then done again;
`octo regrade` says first whether a reward flips."""

Kind = Literal["equal", "different", "no_answer", "truncated", "timeout", "bad_gold"]
Rule = Literal["boxed", "benchmark", "whole"]


@dataclass(frozen=True, slots=True)
class Item:
    """One response to grade.

    rule `boxed` (rewards): the last complete \\boxed{} and nothing else. rule `benchmark` (few-shot evaluation): the
    benchmark's anchor, then a box, then, if `answer` is "number", the last number. rule `whole`: free text (whole.py).
    """

    response: str
    gold: str
    rule: Rule = "boxed"
    truncated: bool = False
    """The response was cut off by the token limit."""
    answer: Literal["number", "expression"] = "expression"
    anchor: str = "answer is"
    """Words before the answer (plain text, any case); only for the rule `benchmark`."""
    places: int | None = None
    """Decimal places that numbers are rounded to on both sides; None: not at all. Only for the rule `whole`."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """`correct` is None when the response is not gradable (bad_gold, timeout): left out of accuracy, and counted."""

    correct: bool | None
    kind: Kind
    extracted: str | None
    how: Literal["rule", "fast", "guard", "slow"] = "rule"
    """Who decided: extraction alone, the exact path, a guard before the slow path, or math-verify."""
