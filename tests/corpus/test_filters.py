"""Each rule on a text made for it, and maths that must pass all of them."""

from __future__ import annotations

import random

import pytest
from datatrove.data import Document

from octothinker.corpus.config import Filters
from octothinker.corpus.filters import FilterJudge

WORDS = "the a of set group ring field such that every element has inverse under map kernel image finite order"


def prose(count: int, seed: int = 0) -> str:
    rng = random.Random(seed)
    return "\n".join(" ".join(rng.choices(WORDS.split(), k=15)) + f" $x_{{{i}}}^2 + {i}$." for i in range(count // 15))


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (prose(300), None),
        ("Theorem.\n" + "\n".join(f"$$a_{i} = \\frac{{1}}{{{i}}}$$ and so on it goes for all of them" for i in range(20)), None),
        ("Only $x$ here", "too_short"),
        (prose(300) + "\n" + "\n".join(f"item {i}" for i in range(400)), "short_lines"),
        ("\n".join(f"{i} | {i * i} | {i**3} ; {i**4} , {i**5} and {i} / {i}" for i in range(100, 140)), "few_letters"),
        (" ".join(["round and round it goes"] * 400), "loops"),
        (prose(150) + "\n" + "\n".join(["see the table of contents for more of this"] * 12), "repetition_dup_line_frac"),
    ],
)  # fmt: skip
def test_rules(text: str, reason: str | None) -> None:
    assert FilterJudge(Filters())(Document(text=text, id="d")) == reason


def test_every_rule_can_be_set() -> None:
    text = prose(300)
    assert FilterJudge(Filters(max_words=100))(Document(text=text, id="d")) == "too_long"
    assert FilterJudge(Filters(min_compressed=0.9))(Document(text=text, id="d")) == "loops"
    repeated = prose(150) + "\n" + "\n".join(["see the table of contents for more of this"] * 12)
    assert FilterJudge(Filters(repetition=False))(Document(text=repeated, id="d")) is None
