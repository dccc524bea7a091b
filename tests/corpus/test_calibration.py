"""Thresholds and calibration, by hand and by property."""

from __future__ import annotations

import itertools
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from octothinker.corpus.calibration import THRESHOLDS, at, choose, expected_error, f1_interval, reliability, table

P = [0.9, 0.8, 0.6, 0.4, 0.1]
Y = [True, True, False, True, False]


def test_by_hand() -> None:
    assert at(0.5, P, Y) == {"threshold": 0.5, "kept": 0.6, "precision": 2 / 3, "recall": 2 / 3, "f1": 2 / 3}
    assert at(0.95, P, Y) == {"threshold": 0.95, "kept": 0.0, "precision": None, "recall": 0.0, "f1": 0.0}
    rows = reliability(P, Y, bins=2)
    assert [row["n"] for row in rows] == [2, 3]
    assert rows[0]["probability"] == pytest.approx(0.25) and rows[0]["positive"] == 0.5
    # two at a gap of .25, three at a gap of (2.3 - 2) / 3
    assert expected_error(rows) == pytest.approx((2 * 0.25 + 0.3) / 5)
    assert math.isnan(expected_error(reliability([], [])))


def test_the_threshold_has_a_reason() -> None:
    rows = table(P, Y)
    threshold, why = choose(rows, "recall_at_precision", 0.9)
    assert threshold == 0.75 and why == (
        "the most recall (0.667) with a precision of at least 0.9 (it is 1.000) on held-out sites"
    )
    assert choose(rows, "recall_at_precision", 0.7)[0] == 0.3  # .75 is enough now: all are found from .15 to .4
    assert choose(rows, "f1", 0.0)[0] == 0.3
    threshold, why = choose(table(P, [not y for y in Y]), "recall_at_precision", 0.9)
    assert threshold == 0.05 and "no threshold has a precision of 0.9" in why
    assert "allow no measurement" in choose(table(P, [False] * 5), "recall_at_precision", 0.9)[1]


@settings(max_examples=50)
@given(st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=1))
def test_raising_the_threshold_never_finds_more(pairs: list[tuple[float, bool]]) -> None:
    p, y = [a for a, _ in pairs], [b for _, b in pairs]
    rows = table(p, y)
    assert len(rows) == len(THRESHOLDS)
    for low, high in itertools.pairwise(rows):
        assert low["kept"] >= high["kept"] and (low["recall"] or 0) >= (high["recall"] or 0)
    bins = reliability(p, y)
    assert sum(row["n"] for row in bins) == len(pairs) and 0 <= expected_error(bins) <= 1
    assert sum(row["n"] * (row["positive"] or 0) for row in bins) == pytest.approx(sum(y))


def test_f1_is_as_sure_as_there_are_sites() -> None:
    """Ten sites, nine of them all right and one all wrong, of one page each or of a hundred: the pages make it no surer."""
    right = [0.0 if site == 9 else 1.0 for site in range(10)]
    one = f1_interval(right, [True] * 10, [str(site) for site in range(10)])
    many = f1_interval(right * 100, [True] * 1000, [str(i % 10) for i in range(1000)])
    assert one is not None and one == many and one[0] < 18 / 19 < one[1] == 1.0
    apart = f1_interval(right * 100, [True] * 1000, [str(i) for i in range(1000)])
    assert apart is not None and one[0] < apart[0] < 18 / 19 < apart[1] < 1.0
    assert f1_interval([0.0, 1.0], [False, True], ["a", "b"]) == (1, 1)  # a draw without b has no F1
    assert f1_interval([0.0], [False], ["a"]) is None


def test_of_equal_thresholds_the_one_in_the_middle() -> None:
    rows = table([0.995, 0.99, 0.88], [True, True, False])
    assert choose(rows, "f1", 0.0)[0] == 0.95  # .9, .95, .98 and .99 are as good; .945 lies between
