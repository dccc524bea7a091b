"""Templates: the exact bytes of a prompt decide what an RL run learns, so they are pinned here."""

from __future__ import annotations

import pytest

from octothinker.data.prompts import render
from octothinker.typed import ConfigError


def test_simple_is_the_papers_template() -> None:
    assert render("simple", "What is 2+3?") == "Question:What is 2+3?\nAnswer:"


def test_complex_asks_for_a_box_and_ends_where_the_assistant_speaks() -> None:
    prompt = render("complex", "What is 2+3?")
    assert "\\boxed{}" in prompt and "User: What is 2+3?\n" in prompt
    assert prompt.endswith("\nAssistant:")


@pytest.mark.parametrize(
    ("template", "question", "expected"),
    [
        ("Q: {question} A:", "x", "Q: x A:"),
        ("{ {0} {question} \\boxed{}", "a{b}", "{ {0} a{b} \\boxed{}"),  # str.format would raise on every one of these
        ("{question}", "{question}", "{question}"),
        ("{question}|{question}", "{q}", "{q}|{q}"),
    ],
)
def test_a_template_of_ones_own_is_filled_in_literally(template: str, question: str, expected: str) -> None:
    assert render(template, question) == expected


@pytest.mark.parametrize("template", ["simpel", "", "{Question}", "few_shot", "{ question }"])
def test_a_template_that_is_none_is_refused_by_name(template: str) -> None:
    with pytest.raises(ConfigError, match="template="):
        render(template, "x")


def test_a_misspelt_name_is_answered_with_the_right_one() -> None:
    with pytest.raises(ConfigError, match="did you mean 'simple'"):
        render("simpel", "x")
