"""A bounded fuzz run over the whole path: built and hostile answers, damaged at random, through the workers too.

What must hold for any text: a verdict, and a grader that goes on. (How long the longest took: octo bench grading.)
"""

from __future__ import annotations

import random

import pytest

from octothinker.bench.hostile import cases
from octothinker.bench.pairs import pairs
from octothinker.grade.pool import Grader
from octothinker.grade.verdict import Item

COUNT = 6_000
PIECES = [
    "\\frac{", "}", "{", "^", "_", "\\sqrt", "\\left(", "\\right)", ",", ";", "=", "<", ">", "\\cup", "[", ")", "\\text{",
    "\\begin{pmatrix}", "&", "\\\\", "!", "%", "\\%", "0", "7", "99999999999", "e", "i", "\\pi",
]  # fmt: skip


def damaged(text: str, rng: random.Random) -> str:
    for _ in range(rng.randint(1, 4)):
        at, end = sorted((rng.randint(0, len(text)), rng.randint(0, len(text))))
        piece = rng.choice(PIECES)
        text = rng.choice(
            (
                text[:at] + piece + text[at:],
                text[:at] + text[end:],
                text[:at] + 3 * text[at:end] + text[end:],
                text[:at] + text[at:end][::-1] + text[end:],
            )
        )[:2_000]
    return text


@pytest.mark.slow
def test_damaged_answers_get_a_verdict() -> None:
    rng = random.Random(0)
    golds = [(pair.gold, pair.response) for pair in pairs(COUNT // 2, seed=1)]
    golds += [(gold, response) for _, gold, response in cases()] * (1 + COUNT // 1_000)
    rng.shuffle(golds)
    with Grader() as grader:
        grader.start()
        for gold, response in golds[:COUNT]:
            (verdict,) = grader.grade([Item(damaged(response, rng), gold)])
            assert verdict.kind in ("equal", "different", "no_answer", "timeout", "bad_gold"), (gold, response)
        counts = grader.counts
        assert sum(counts[how] for how in ("fast", "guard", "slow", "rule", "timeout", "bad_gold")) == COUNT
        assert counts["slow"] > 20, "else the workers were not tried"
        (good,) = grader.grade([Item("\\boxed{\\frac{1}{2}}", "0.5")])
        assert good.correct is True
