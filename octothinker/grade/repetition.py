"""How much of a response is a loop: the sign of a model that rambles until the limit cuts it off."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

NGRAM = 8
"""Long enough that honest working repeats few of them, short enough to see a loop of one line."""


def repetition_rate(tokens: Sequence[Hashable], n: int = NGRAM) -> float:
    """Share of the response's n-grams that occurred in it before: 1 - distinct n-grams / n-grams, in [0, 1).

    The "rep-n" of Welleck et al. 2019 (arXiv 1908.04319). 0.0 for a response of fewer than n tokens. A response that is
    one token over and over tends to 1; a text of which the second half repeats the first gives about one half.
    """
    total = len(tokens) - n + 1
    if total < 1:
        return 0.0
    return 1.0 - len(set(zip(*(tokens[i : i + total] for i in range(n)), strict=True))) / total
