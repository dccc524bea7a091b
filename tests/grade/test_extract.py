"""Extraction: where the answer is. The rules are what a reward is paid for, so each case is spelled out."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from octothinker.grade.extract import after_anchor, answer_of, boxed, cut, last_number
from octothinker.grade.verdict import Item


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("so \\boxed{42}.", "42"),
        ("\\boxed{1} then \\boxed{2}", "2"),
        ("\\boxed{\\frac{1}{2}} done", "\\frac{1}{2}"),
        ("\\boxed {7}", "7"),
        ("\\boxed{ 7 }", "7"),
        ("\\boxed{\\{1,2\\}}", "\\{1,2\\}"),
        ("\\boxed{\\left\\{ 1 \\right.}", "\\left\\{ 1 \\right."),  # an escaped brace needs no partner
        ("\\boxed{a \\\\ b}", "a \\\\ b"),
        ("\\\\boxed{5}", "5"),  # over-escaped
        ("\\boxed{1} and \\boxed{2", "1"),  # the last one was cut off: the last *complete* one counts
        ("\\boxed{1 \\boxed{2}", "2"),
        ("\\boxed{\\boxed{3}}", "3"),
        ("}}} \\boxed{4} {{{", "4"),
        ("\\boxed{}", ""),
        ("\\boxed{", None),
        ("\\boxed{5", None),
        ("\\boxed 5", None),
        ("\\fbox{5}", None),
        ("boxed{5}", None),
        ("", None),
        ("\\boxed{\n7\n}", "7"),
    ],
)
def test_boxed(text: str, expected: str | None) -> None:
    assert boxed(text) == expected


@given(
    st.text(alphabet="ab\\ {}1", max_size=30),
    st.text(alphabet="ab }1", max_size=10),
    st.text(alphabet="12+ab", max_size=9),
)
def test_the_last_box_is_found_whatever_surrounds_it(before: str, after: str, content: str) -> None:
    assert boxed(before.rstrip("\\") + "\\boxed{" + content + "}" + after) == content


@pytest.mark.parametrize("junk", ["\\boxed{" * 150_000, "{" * 1_000_000, "\\" * 1_000_001, "\\boxed" + " " * 1_000_000])
def test_a_megabyte_of_junk_is_read_once(junk: str) -> None:
    """A search that starts again at every brace would take hours on these."""
    assert boxed(junk) is None
    assert boxed(junk + " \\boxed{5}") == "5"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("the total is 1,600.", "1,600"),
        ("it costs $18", "18"),
        ("x = -5", "-5"),
        ("20-5", "5"),
        ("(3) - 4", "4"),
        ("COVID-19", "19"),
        ("minus -$3.50 left", "-3.50"),
        ("3/4 of it", "3/4"),
        ("32, 349", "349"),
        (".5", ".5"),
        ("3.", "3"),
        ("none", None),
    ],
)
def test_last_number(text: str, expected: str | None) -> None:
    assert last_number(text) == expected


def test_after_anchor_takes_the_last_one_and_one_line() -> None:
    text = "The answer is 3. No: the ANSWER IS: 4 apples.\nThe end 5"
    assert after_anchor(text, "answer is") == "4 apples."
    assert after_anchor("The final answer is $5$. I hope it is correct.", "final answer is") == "$5$."
    assert after_anchor("nothing here", "answer is") is None


def test_cut_ends_before_the_problem_a_model_makes_up() -> None:
    assert cut("A: 5\nQ: what?\n\nProblem: 7", ["\nProblem:", "\nQ:"]) == "A: 5"
    assert cut("A: 5", ["\nQ:", ""]) == "A: 5"


def item(response: str, answer: str = "number", truncated: bool = False) -> Item:
    return Item(response, "8", "benchmark", truncated, answer, "answer is")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("response", "expected"),
    [
        ("5 + 3 = 8. The answer is 8.", "8"),
        ("The answer is 5 + 3 = 8 apples. She has 2 pears.", "8"),
        ("The answer is $1,800 per year.", "1,800"),
        ("The answer is \\boxed{8}. 9", "8"),
        ("So \\boxed{8} apples, of 12", "8"),  # no anchor: the box
        ("He has 12 and eats 4, so 8", "8"),  # neither: the last number
        ("nothing", None),
    ],
)
def test_number_benchmarks_read_anchor_then_box_then_last_number(response: str, expected: str | None) -> None:
    assert answer_of(item(response), gold_is_number=True) == expected


def test_a_truncated_answer_is_not_read_off_its_last_number() -> None:
    assert answer_of(item("first 12, then 8", truncated=True), gold_is_number=True) is None
    assert answer_of(item("The answer is 8", truncated=True), gold_is_number=True) == "8"


def test_expressions_and_words_are_taken_whole() -> None:
    assert answer_of(item("The answer is $x = 3$. I hope it is correct.", "expression"), True) == "$x = 3$."
    assert answer_of(item("The answer is 3:30 p.m.."), gold_is_number=False) == "3:30 p.m.."
    assert answer_of(item("12 and 4", "expression"), gold_is_number=True) is None


def test_rewards_read_the_box_and_nothing_else() -> None:
    assert answer_of(Item("The answer is 8.", "8"), gold_is_number=True) is None
    assert answer_of(Item("The answer is 8. \\boxed{}", "8"), gold_is_number=True) is None
    assert answer_of(Item("The answer is 9. \\boxed{8}", "8"), gold_is_number=True) == "8"
