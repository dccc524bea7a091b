"""Rewrites that must not stand for their source, and properties of the guards and of the chunks."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from octothinker.corpus.chunks import chunks, joined
from octothinker.corpus.guards import Guards, formulas, measure, numbers, reject, share_kept, tidy

SOURCE = """Solving a quadratic. We want the roots of $x^2 - 5x + 6 = 0$.

The discriminant is $$b^2 - 4ac = 25 - 24 = 1$$ so the roots are \\(x = 3\\) and \\(x = 2\\). Checking the sum: it is 5, as
it must be, and the product of both is 6. A table of 1,250 such equations was computed in 1987 for the journal."""
GOOD = """# Solving a quadratic

We want the roots of $x^2-5x+6=0$. The discriminant is

$$b^2 - 4ac = 25 - 24 = 1,$$

so the roots are $x = 3$ and $x = 2$. Their sum is 5 and their product is 6, as they must be. (In 1987 a table of 1250 such
equations was computed.)"""


def verdict(
    rewrite: str, source: str = SOURCE, cut_short: bool = False, language: dict[str, str] | None = None
) -> str | None:
    return reject(source, rewrite, cut_short, Guards(), lambda text: (language or {}).get(text[:3], "en"))[0]


@pytest.mark.parametrize(
    ("rewrite", "why"),
    [
        (GOOD, None),
        (SOURCE, None),
        ("", "empty"),
        (" \n ", "empty"),
        ("I'm sorry, but I can't help with that text.", "refused"),
        ("I cannot rewrite this text, as it is " + GOOD, "refused"),
        (GOOD.replace("$x^2-5x+6=0$", "the equation").replace("b^2 - 4ac = 25 - 24 = 1,", "D"), "lost_formulas"),
        (GOOD.replace("25 - 24", "26 - 25"), "lost_formulas"),
        (GOOD + " ".join(f"{n} times {n + 41} is {n * 83}." for n in range(30, 40)), "new_numbers"),
        (GOOD + "\n\nThe roots are both of them positive numbers, as one sees at once." * 20, "repeats"),
        (GOOD + " ".join(f"w{chr(97 + i % 26)}{chr(97 + i // 26)}" for i in range(300)), "too_long"),
        ("The roots of $x^2-5x+6=0$ are $x=3$, $x=2$.", "too_short"),
        ("Wir suchen " + GOOD, "other_language"),
    ],
)  # fmt: skip
def test_what_is_rejected_and_why(rewrite: str, why: str | None) -> None:
    assert verdict(rewrite, language={"Wir": "de"}) == why


def test_numbers_that_are_gone() -> None:
    assert verdict(GOOD, source=SOURCE + " It took 17 days, 33 people and 78 machines.") == "lost_numbers"


def test_cut_short_is_no_rewrite_however_good() -> None:
    assert verdict(GOOD, cut_short=True) == "cut_short"
    assert (
        verdict("Sorry, I had no time for $x$." * 3, source="Sorry, I had no time for $x$." * 3) is None
    )  # its own words


@pytest.mark.parametrize(
    "answer",
    [
        "Here is the rewritten text:\n\nA = 1",
        "Sure! Here's a cleaned-up version of the text:\nA = 1",
        "```markdown\nA = 1\n```",
        "<document>\nA = 1\n</document>",
        "  A = 1\n",
    ],
)
def test_what_models_put_around_is_taken_off(answer: str) -> None:
    assert tidy(answer) == "A = 1"
    assert tidy("Here is a proof: let x be 1.") == "Here is a proof: let x be 1."
    assert tidy("```\na\n```\ntext\n```\nb\n```") == "```\na\n```\ntext\n```\nb\n```"


def test_numbers_and_formulas_by_hand() -> None:
    assert numbers("1,250 and 1250, 3.14, 1/2, x2, 12,34") == {"1250", "3.14", "1", "2", "12,34"}
    text = (
        r"$a+b$ and \(c + d\), \[e=\frac{1}{2}.\] $$\left( f \right)$$ costs $5 or $6; $x$, $12$, \$g+h\$, $\lambda_1$"
    )
    assert formulas(text) == {"a+b", "c+d", r"e=\frac12", "(f)", r"\lambda_1"}
    assert measure("a 1 2 3 4", "b 1 2 3 40") == {
        "length": 10 / 9, "numbers": 0.75, "new_numbers": 1.0, "formulas": 1.0, "repetition": 0.0
    }  # fmt: skip


TEXTS = st.text(st.sampled_from("ab1 2$\\[]().\n{}^=x,"), max_size=200) | st.text(max_size=80)


@settings(max_examples=50)
@given(TEXTS)
def test_a_text_may_stand_for_itself(text: str) -> None:
    assert verdict(text, source=text) is None or not text.strip()


@settings(max_examples=50)
@given(TEXTS, TEXTS)
def test_measures_are_shares(source: str, rewrite: str) -> None:
    found = measure(source, rewrite)
    assert all(0.0 <= found[name] <= 1.0 for name in ("numbers", "new_numbers", "formulas", "repetition"))
    assert found["numbers"] == share_kept(numbers(source), numbers(rewrite))
    assert numbers(rewrite) >= numbers(source) or found["numbers"] < 1
    assert formulas(rewrite) >= formulas(source) or found["formulas"] < 1


@settings(max_examples=50)
@given(st.sets(st.integers(10, 10_000), min_size=5, max_size=30), st.data())
def test_a_rewrite_that_loses_more_numbers_than_allowed_is_rejected(values: set[int], data: st.DataObject) -> None:
    kept = data.draw(st.sets(st.sampled_from(sorted(values))))
    prose = "".join(f"{a}{b} " for a in "abcdefgh" for b in "ijklmnopq")
    why = verdict(prose + ", ".join(map(str, sorted(kept))), source=prose + ", ".join(map(str, sorted(values))))
    assert (why == "lost_numbers") == (len(kept) / len(values) < Guards().min_numbers)


@settings(max_examples=50)
@given(
    st.lists(
        st.sampled_from(
            ["word ", "\n\n", "$$x+y$$", "\n", "\\[", "\\]", "$$", "A sentence. ", "```", "\\begin{a}", "\\end{a}"]
        )
    ),
    st.integers(5, 60),
)
def test_chunks_are_the_text_and_cut_no_formula(parts: list[str], limit: int) -> None:
    text = "".join(parts)
    pieces = chunks(text, limit)
    assert "".join(pieces) == text and all(len(piece) <= limit for piece in pieces)
    plain = "word word\n\n$$x+y$$ word. " * 5
    assert all(piece.count("$$") % 2 == 0 for piece in chunks(plain, max(limit, 20)))


def test_chunks_end_where_a_reader_would_pause() -> None:
    text = "One. Two.\n\nThree three three. Four.\nFive five five five."
    assert chunks(text, 22) == ["One. Two.\n\n", "Three three three. ", "Four.\nFive five five ", "five."]
    pieces = chunks("aaa aaa.\n\nbbb bbb.\n\nccc ccc.", 20)
    assert pieces == ["aaa aaa.\n\nbbb bbb.\n\n"[:20], "ccc ccc."]
    assert joined(pieces, ["A", "C"]) == "A\n\nC"
    assert joined(["one ", "two\n", "three"], ["1", "2", "3"]) == "1 2\n3"


@pytest.mark.timeout(60)
@pytest.mark.parametrize("piece", ["\\[", "$$", "\\begin{a}", "$", "\\(", "1,", "{", "```", " \n", "\\left"])
def test_hostile_texts_take_no_time(piece: str) -> None:
    """Quadratic work on this much would take minutes, and the limit would end it."""
    text = piece * (200_000 // len(piece))
    assert "".join(chunks(text, 12_000)) == text
    short = piece * (12_000 // len(piece))
    reject(short, short + "x", False, Guards(), lambda text: "en")
