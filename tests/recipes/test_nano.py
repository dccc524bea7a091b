"""The nano experiment's texts: no evaluation problem is in any of them, and what they say is right where it should be."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import islice

import pytest

from octothinker.data.documents import texts
from octothinker.recipes import nano_problems as nano
from octothinker.recipes.nano import nano as recipe

EXPRESSION = re.compile(r"\d+(?:[+-]\d+)+")
STORY = re.compile(r"has (\d+) \w+((?:, (?:gets|loses) \d+)+)")


def chains(text: str) -> Iterator[nano.Chain]:
    """Every whole expression of a text, written out or told as a story. What is left over on the way to an answer stands
    there by itself: `5+2-1=7-1=6` holds two."""
    found = EXPRESSION.findall(text)
    for first, moves in STORY.findall(text):
        steps = re.findall(r"(gets|loses) (\d+)", moves)
        found.append(first + "".join(("+" if word == "gets" else "-") + n for word, n in steps))
    for expression in found:
        numbers = re.findall(r"\d+", expression)
        operations = re.findall(r"[+-]", expression)
        yield nano.Chain(int(numbers[0]), tuple(zip(operations, map(int, numbers[1:]), strict=True)))


def test_chains_reads_both_forms() -> None:
    text = "Ann has 5 pens, gets 2, loses 1: 5+2-1=7-1=6 pens."
    assert {c.expression for c in chains(text)} == {"5+2-1", "7-1"}


@pytest.mark.parametrize("name", recipe().sources)
def test_no_evaluation_problem_is_in_any_training_text(name: str) -> None:
    test = {
        next(chains(row["question"])).expression
        for row in nano.problems(**recipe().problems["test"].args)  # the very problems the experiment is measured on
    }
    seen = count = 0
    for text in islice(texts(recipe().sources[name]), 1500):
        for chain in chains(text):
            count += 1
            seen += chain.expression in test
    assert seen == 0
    assert count > 1000 or name == "prose"


def test_the_check_above_sees_a_leak() -> None:
    row = next(nano.problems("test", 1, 6))
    (whole, *_) = chains(f"Question:{row['question']}")
    assert nano.split_of(whole) == "test"


def test_rl_prompts_and_evaluation_problems_are_apart() -> None:
    sets = {name: {row["question"] for row in nano.problems(**p.args)} for name, p in recipe().problems.items()}
    assert len(sets["test"]) == 240 and len(sets["train"]) == 2000
    ways = {name: {next(chains(q)).expression for q in questions} for name, questions in sets.items()}
    assert not ways["test"] & ways["train"]


@pytest.mark.parametrize("split", ["train", "test"])
def test_answers_are_right_and_levels_are_operations(split: nano.Split) -> None:
    for row in nano.problems(split, 100, 0):
        chain = next(chains(row["question"]))
        assert len(chain.steps) == int(row["level"]) + 1
        assert row["answer"] == str(chain.totals[-1])
        assert all(0 <= total <= nano.TOP for total in chain.totals)
        assert all(1 <= n <= nano.LARGEST_OPERAND for _, n in chain.steps)


@pytest.mark.parametrize("style", ["short", "long", "bare-boxed"])
def test_solutions_are_right_and_end_in_a_box(style: str) -> None:
    for row in nano.qa({style: 1.0}, 0, 200):
        chain = next(chains(row["question"]))
        assert row["answer"].endswith(f"\\boxed{{{chain.totals[-1]}}}")
        for equation in re.findall(r"[\d+=-]{5,}", row["answer"]):
            values = {eval_sum(side) for side in equation.split("=") if side}
            assert len(values) == 1, equation


def eval_sum(expression: str) -> int:
    return sum(int(term) for term in re.findall(r"[+-]?\d+", expression))


def test_the_web_is_messy() -> None:
    """Guesses are wrong about half of the time, and an unboxed solution holds no box."""
    guesses = list(nano.qa({"guess": 1.0}, 0, 400))
    wrong = sum(row["answer"] != str(next(chains(row["question"])).totals[-1]) for row in guesses)
    assert 120 < wrong < 280
    assert not any("\\boxed" in row["answer"] for row in nano.qa({"long-unboxed": 1.0, "short-unboxed": 1.0}, 0, 100))


def test_the_same_seed_gives_the_same_texts() -> None:
    assert list(nano.worked_text(1, 20)) == list(nano.worked_text(1, 20)) != list(nano.worked_text(2, 20))


def test_every_branch_gets_the_same_but_its_question_answer_data() -> None:
    branches = {name: recipe().stage(name) for name in ("short", "long", "hybrid")}
    for stage in branches.values():
        assert (stage.parent, stage.tokens, stage.schedule) == (
            "stable",
            branches["short"].tokens,
            branches["short"].schedule,
        )
        assert {k: v for k, v in stage.mixture.items() if "_qa" not in k} == {"prose": 0.1, "worked": 0.3}
    assert recipe().rl_from == ("base", "short", "long", "hybrid")
