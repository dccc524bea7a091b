"""Numbers worked out by hand, and the promises that intervals make."""

from __future__ import annotations

import itertools
import random
from typing import Any

import pytest

from octothinker.evals.metrics import accuracy, maj_at_k, measure, pass_at_k, pass_at_k_interval, summarise, wilson


@pytest.mark.parametrize(
    ("n", "right", "k", "expected"),
    [
        (4, 2, 1, 0.5),
        (4, 2, 2, 5 / 6),
        (4, 2, 3, 1.0),
        (4, 0, 4, 0.0),
        (4, 4, 1, 1.0),
        (16, 1, 8, 0.5),
        (256, 3, 1, 3 / 256),
    ],
)
def test_pass_at_k_by_hand(n: int, right: int, k: int, expected: float) -> None:
    assert pass_at_k(n, right, k) == pytest.approx(expected)


def test_pass_at_k_is_the_share_of_all_subsets_with_a_right_sample() -> None:
    for right in range(7):
        samples = [True] * right + [False] * (6 - right)
        for k in range(1, 7):
            subsets = list(itertools.combinations(samples, k))
            assert pass_at_k(6, right, k) == pytest.approx(sum(map(any, subsets)) / len(subsets))


@pytest.mark.parametrize("k", [0, 5])
def test_pass_at_k_needs_k_samples(k: int) -> None:
    with pytest.raises(ValueError, match="n=4"):
        pass_at_k(4, 2, k)


def test_wilson_by_hand() -> None:
    """Published values for 8 of 10 and 0 of 40."""
    assert wilson(0.8, 10) == pytest.approx((0.4902, 0.9433), abs=1e-4)
    assert wilson(0.0, 40) == pytest.approx((0.0, 0.0876), abs=1e-4)
    assert wilson(1.0, 40) == pytest.approx((0.9124, 1.0), abs=1e-4)


def test_greedy_accuracy_is_plain_wilson() -> None:
    assert accuracy([[True]] * 8 + [[False]] * 2) == pytest.approx((0.8, *wilson(0.8, 10)))


def test_samples_that_always_agree_are_worth_one() -> None:
    """Counting 8 x 10 equal samples as 80 would make the interval a third as wide as it is."""
    assert accuracy([[True] * 8] * 8 + [[False] * 8] * 2) == pytest.approx((0.8, *wilson(0.8, 10)))


def test_samples_that_are_independent_are_worth_nearly_all() -> None:
    rng = random.Random(0)
    value = accuracy([[rng.random() < 0.5 for _ in range(8)] for _ in range(200)])
    assert value is not None
    p, low, high = value
    width = wilson(p, 1600)[1] - wilson(p, 1600)[0]
    assert width <= high - low < 1.15 * width


def test_problems_without_a_graded_sample_are_left_out() -> None:
    assert accuracy([[True], [], [False]]) == accuracy([[True], [False]])
    assert accuracy([[], []]) is None


def test_intervals_cover_the_truth() -> None:
    """300 evaluations of 60 problems x 4 samples, of every difficulty: the truth is outside some 5% of the intervals."""
    rng, hits = random.Random(1), 0
    for _ in range(300):
        chances = [rng.random() for _ in range(60)]
        value = accuracy([[rng.random() < chance for _ in range(4)] for chance in chances])
        assert value is not None
        hits += value[1] <= 0.5 <= value[2]
    assert 0.91 <= hits / 300 <= 0.99


def test_pass_at_k_intervals() -> None:
    problems = [[True, False]] * 10 + [[False, False]] * 10
    value = pass_at_k_interval(problems, 2)
    assert value is not None
    mean, low, high = value
    assert mean == 0.5
    assert 0.2 < low < 0.4 < 0.6 < high < 0.8
    assert pass_at_k_interval(problems, 2) == value, "the same samples give the same interval"
    assert pass_at_k_interval(problems, 3) is None
    assert pass_at_k_interval([[False, False]] * 40, 2) == pytest.approx((0.0, 0.0, 0.0876), abs=1e-4)


def sample(id: str, correct: bool | None, **fields: Any) -> dict[str, Any]:
    kind = {True: "equal", False: "different", None: "timeout"}[correct]
    row = {
        "id": id,
        "level": "1",
        "mode": "sampled",
        "correct": correct,
        "kind": kind,
        "extracted": "7",
        "boxed": True,
        "finish": "stop",
        "tokens": 10,
    }
    return {**row, **fields}


def test_measure_by_hand() -> None:
    rows = [
        sample("a", True),
        sample("a", False, tokens=30),
        sample("b", True, boxed=False),
        sample("b", False, boxed=False, finish="length", kind="truncated", tokens=50),
        sample("c", None),
    ]
    measured = measure(rows)
    assert measured is not None
    assert measured.pop("ci") == pytest.approx(wilson(0.5, 4), abs=1e-9)
    assert measured == {
        "accuracy": 0.5,  # of the four that could be graded
        "boxed": 0.6,
        "accuracy_given_box": 0.5,
        "truncation": 0.2,
        "mean_length": 22.0,
        "kinds": {"different": 1, "equal": 2, "timeout": 1, "truncated": 1},
        "graded": 4,
        "samples": 5 / 3,
        "paper": None,
    }
    assert measure([]) is None
    nothing = measure([sample("a", None)])
    assert nothing is not None
    assert (nothing["accuracy"], nothing["ci"], nothing["graded"]) == (None, None, 0)


def test_summary_by_level_and_mode() -> None:
    rows = [sample("a", True), sample("a", False), sample("b", False, level="10"), sample("b", False, level="10")]
    rows += [sample("a", True, mode="greedy"), sample("b", False, mode="greedy", level="10")]
    summary = summarise(rows, [1, 2, 4], seed=0)
    assert summary["n"] == 2
    assert (summary["greedy"]["accuracy"], summary["sampled"]["accuracy"]) == (0.5, 0.25)
    assert {k: v[0] for k, v in summary["pass_at_k"].items()} == {"1": 0.25, "2": 0.5}
    assert list(summary["by_level"]) == ["1", "10"]
    assert summary["by_level"]["1"]["sampled"]["accuracy"] == 0.5
    assert summarise([sample("a", True, level="")], [], 0)["by_level"] == {}


def test_majority_by_hand() -> None:
    def votes(id: str, *answers: str | None) -> list[dict[str, Any]]:
        return [sample(id, answer == "7", extracted=answer) for answer in answers]

    value, low, high = maj_at_k([votes("a", "7", " 7", "7", "5"), votes("b", "7", "5", "5", "5")], 4) or (0, 0, 0)
    assert value == 0.5 and low == 0.0 and high == 1.0
    assert (maj_at_k([votes("a", "7", "5", None, None)], 4) or (0,))[0] == 0.5, "a tie is shared, no answer never wins"
    assert (maj_at_k([votes("a", None, None)], 2) or (1,))[0] == 0.0
    assert maj_at_k([votes("a", "7")], 2) is None
    assert (maj_at_k([votes("a", "7", "5")], 1) or (0,))[0] == pytest.approx(0.5, abs=0.15)


def test_the_papers_verdict_stands_beside_ours() -> None:
    measured = measure([sample("a", True, paper=False), sample("b", True, paper=True), sample("c", False)])
    assert measured is not None
    assert measured["paper"][0] == 0.5 and measured["accuracy"] == pytest.approx(2 / 3)
