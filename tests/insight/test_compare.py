"""Intervals against known cases, and every line of the verdict's rule."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from octothinker.insight.compare import (
    COLLAPSED,
    COLUMNS,
    FIT,
    LITTLE,
    RAMBLES,
    RULE,
    UNSURE,
    Estimate,
    Tally,
    difference,
    estimate,
    tally,
    verdict,
)


def make(right: Any, samples: int = 1, first: int = 0, tokens: Any = 10) -> Tally:
    """A tally with `right` correct answers of `samples` for each problem."""
    right = np.asarray(right, dtype=float)
    sums = np.zeros((len(right), len(COLUMNS)))
    sums[:, COLUMNS.index("samples")] = sums[:, COLUMNS.index("graded")] = samples
    sums[:, COLUMNS.index("right")] = right
    sums[:, COLUMNS.index("tokens")] = np.asarray(tokens) * samples
    return Tally(tuple(f"p{i + first:05d}" for i in range(len(right))), ("1",) * len(right), sums)


def width(e: Estimate | None) -> float:
    assert e
    return e.high - e.low


def sample(**changes: Any) -> dict[str, Any]:
    row = {"id": "a", "level": 2, "correct": True, "boxed": True, "finish": "stop", "tokens": 10}
    return {**row, **changes}


def test_tally_counts_by_hand() -> None:
    t = tally([
        sample(),
        sample(correct=False, boxed=False, finish="length", tokens=30),
        sample(id="b", correct=None, tokens=20),  # not gradable: in no accuracy, but it has a box and a length
        sample(id="b", correct=False, tokens=20),
    ])  # fmt: skip
    assert t.ids == ("a", "b") and t.levels == ("2", "2")
    assert t.value("accuracy") == pytest.approx(1 / 3)
    assert t.value("boxed") == pytest.approx(3 / 4)
    assert t.value("accuracy_given_box") == pytest.approx(1 / 2)
    assert t.value("truncation") == pytest.approx(1 / 4)
    assert t.value("length") == pytest.approx(20)


def test_nothing_to_count_is_none_and_not_zero() -> None:
    t = tally([sample(boxed=False), sample(correct=None, boxed=False)])
    assert t.value("accuracy_given_box") is None
    assert estimate([t], "accuracy_given_box") is None
    assert estimate([tally([])]) is None
    assert difference([], []) is None


def test_levels_are_cut_out() -> None:
    t = tally([sample(id="a", level=1), sample(id="b", level=2, correct=False), sample(id="c", level=3)])
    assert t.at(["1"]).value("accuracy") == 1.0
    assert t.at(["2", "3"]).value("accuracy") == 0.5


def test_single_share_agrees_with_the_textbook() -> None:
    e = estimate([make([1] * 120 + [0] * 280)])  # 30% of 400: 1.96 * sqrt(.3 * .7 / 400) = .0449
    assert e and e.value == pytest.approx(0.3)
    assert e.low == pytest.approx(0.3 - 0.045, abs=0.006)
    assert e.high == pytest.approx(0.3 + 0.045, abs=0.006)


def test_paired_difference_agrees_with_mcnemar() -> None:
    # 400 problems: 60 learnt, 20 lost. 1.96 * sqrt(80 - 40**2 / 400) / 400 = .0427
    before = make([0] * 60 + [1] * 20 + [1] * 100 + [0] * 220)
    after = make([1] * 60 + [0] * 20 + [1] * 100 + [0] * 220)
    e = difference([after], [before])
    assert e and e.value == pytest.approx(0.1)
    assert (e.low, e.high) == (pytest.approx(0.1 - 0.0427, abs=0.006), pytest.approx(0.1 + 0.0427, abs=0.006))


def test_more_samples_of_the_same_problem_are_no_new_problems() -> None:
    right = [1] * 30 + [0] * 70
    once, often = estimate([make(right)]), estimate([make([8 * r for r in right], samples=8)])
    assert once and often and often.low == pytest.approx(once.low) and often.high == pytest.approx(once.high)


def test_pairing_narrows() -> None:
    rng = np.random.default_rng(0)
    right = rng.integers(0, 2, 200)
    same, shuffled = make(right), make(rng.permutation(right))
    assert width(difference([same], [same])) < width(difference([shuffled], [same])) / 3


def test_none_right_is_not_certainty() -> None:
    zero = make([0] * 200)
    e, gain = estimate([zero]), difference([zero], [zero])
    assert e and e.low == 0.0 and 0.005 < e.high < 0.03
    assert gain and gain.value == 0.0 and -0.03 < gain.low < 0 < gain.high < 0.03
    full = estimate([make([1] * 200)])
    assert full and full.high == 1.0 and full.low < 1.0


def test_length_has_no_pseudo_problems() -> None:
    e = difference([make([0] * 50, tokens=30)], [make([1] * 50, tokens=10)], "length")
    assert e == Estimate(20.0, 20.0, 20.0)


def test_same_samples_same_interval() -> None:
    pair = [make([1, 0] * 40)], [make([0, 0, 1, 0] * 20)]
    assert difference(*pair) == difference(*pair)


def test_seeds_that_agree_cost_nothing_and_seeds_that_scatter_widen() -> None:
    before = make([20] * 200, samples=100)
    agree = [make([50] * 200, samples=100)] * 3
    scatter = [make([r] * 200, samples=100) for r in (30, 50, 70)]
    one, alike, apart = (difference(side, [before] * len(side)) for side in (agree[:1], agree, scatter))
    assert one and alike and apart
    assert alike == one
    assert apart.value == pytest.approx(0.3)
    # three numbers .1 .3 .5: a t interval of 4.303 * .2 / sqrt(3) = .497 half width
    assert 0.9 < width(apart) < 1.05


def test_sides_must_pair_by_seed() -> None:
    with pytest.raises(ValueError, match="2 seeds after, 1 before"):
        difference([make([1]), make([1])], [make([0])])


@pytest.mark.parametrize(("seeds", "scatter", "least"), [(1, 0.0, 0.90), (3, 0.0, 0.92), (3, 0.1, 0.84)])
def test_interval_covers_the_truth(seeds: int, scatter: float, least: float) -> None:
    """150 simulated experiments: problems of different difficulty, 8 samples each, a true gain of 30 points."""
    rng = np.random.default_rng(1)
    hits = 0
    for _ in range(150):
        hard = rng.uniform(-0.2, 0.2, 120)
        before = [make(rng.binomial(8, 0.25 + hard), samples=8) for _ in range(seeds)]
        luck = rng.normal(0, scatter, seeds).clip(-0.2, 0.2)
        after = [make(rng.binomial(8, 0.55 + hard + u), samples=8) for u in luck]
        e = difference(after, before)
        hits += bool(e and e.low <= 0.3 <= e.high)
    assert hits / 150 >= least


GAIN = Estimate(0.30, 0.25, 0.35)


@pytest.mark.parametrize(
    ("word", "arguments"),
    [
        (FIT, {}),
        (FIT, {"truncation": 0.19, "repetition": 0.49, "validation": [0.1, 0.2, 0.3, 0.4]}),
        (FIT, {"validation": [0.1, 0.6, 0.1, 0.1, 0.1]}),  # one lucky validation is no peak: medians of three count
        (RAMBLES, {"truncation": 0.20}),
        (COLLAPSED, {"truncation": 0.51}),
        (COLLAPSED, {"repetition": 0.51}),
        (COLLAPSED, {"gain": Estimate(-0.1, -0.15, -0.01)}),
        (COLLAPSED, {"validation": [0.4, 0.5, 0.5, 0.1, 0.1, 0.1]}),
        (LITTLE, {"gain": Estimate(0.01, -0.02, 0.04), "validation": [0.02, 0.03, 0.02, 0.01, 0.01, 0.0]}),
        (LITTLE, {"gain": Estimate(0.09, 0.08, 0.15)}),
        (LITTLE, {"gain": Estimate(-0.01, -0.05, 0.03)}),
        (UNSURE, {"gain": Estimate(0.30, 0.10, 0.50)}),
    ],
)
def test_verdict(word: str, arguments: dict[str, Any]) -> None:
    settings: dict[str, Any] = {"gain": GAIN, "truncation": 0.0} | arguments
    found = verdict(**settings)
    assert found.word == word
    assert found.reason


def test_every_verdict_is_in_the_rule() -> None:
    assert {word for word, _ in RULE} == {FIT, RAMBLES, UNSURE, LITTLE, COLLAPSED}
