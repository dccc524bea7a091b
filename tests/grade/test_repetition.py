"""Repetition rate against counts made by hand."""

from __future__ import annotations

import pytest

from octothinker.grade.repetition import repetition_rate


def test_short_or_varied_text_does_not_repeat() -> None:
    assert repetition_rate([]) == 0.0
    assert repetition_rate([5] * 7) == 0.0  # no 8-gram fits
    assert repetition_rate(list(range(100))) == 0.0


def test_one_token_over_and_over() -> None:
    assert repetition_rate([5] * 100) == pytest.approx(1 - 1 / 93)  # 93 8-grams, one of them distinct


def test_loop_with_a_period() -> None:
    assert repetition_rate([1, 2, 3] * 20) == pytest.approx(1 - 3 / 53)  # 53 8-grams, three phases


def test_second_half_repeats_the_first() -> None:
    half = list(range(50))
    assert repetition_rate(half + half) == pytest.approx(1 - 50 / 93)  # 43 + 7 over the seam are distinct


def test_shorter_ngrams_see_shorter_loops() -> None:
    assert repetition_rate([1, 2, 1, 2], n=2) == pytest.approx(1 / 3)
    assert repetition_rate("abab", n=2) == pytest.approx(1 / 3)
