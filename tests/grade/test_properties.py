"""Laws that must hold for every input: exactness, no exceptions, agreement with an independent evaluation."""

from __future__ import annotations

import cmath
import math
from decimal import Decimal
from fractions import Fraction

from hypothesis import assume, given, settings
from hypothesis import strategies as st

from octothinker.grade import exact
from octothinker.grade.equal import _compare, equal, hopeless
from octothinker.grade.extract import after_anchor, boxed, last_number
from octothinker.grade.literal import literal
from octothinker.grade.normalize import clean
from octothinker.grade.parse import evaluate
from octothinker.grade.pool import usable_gold

fractions = st.fractions(min_value=-(10**6), max_value=10**6, max_denominator=10**4)
PIECES = (
    "0 1 2 7 12 1,000 3.5 .5 x y i e ab + - * / ^ _ ! = < > , ; : ( ) [ ] { } \\{ \\} & \\\\ % \\% $ \\$ ~ \\frac \\dfrac "
    "\\sqrt \\pi \\infty \\pm \\cup \\in \\le \\cdot \\text{ \\text{cm} \\boxed{ \\sin \\log_2 \\left( \\right) \\, \\! and or "
    "\\begin{pmatrix} \\end{pmatrix} \\overline{3} percent million eval( __import__ \u0665 \u221a \u00b2 \u2212 \n"
)
soup = st.lists(st.sampled_from([*PIECES.split(" "), " "]), max_size=25).map("".join)


def spellings(value: Fraction) -> list[str]:
    """Ways to write a rational that must all be read as the same number."""
    n, d = value.numerator, value.denominator
    sign = "-" if n < 0 else ""
    out = [f"\\frac{{{n}}}{{{d}}}", f"{sign}\\dfrac{{{abs(n)}}}{{{d}}}", f"{n}/{d}", f"$ {n} / {d} $"]
    if d == 1:
        out = [str(n), f"{n:,}", f"{n}.0", f"{n}^\\circ", f"{n} \\text{{ cm}}"]
    elif abs(n) > d:
        out.append(f"{sign}{abs(n) // d}\\frac{{{abs(n) % d}}}{{{d}}}")
    if d > 1 and 10**6 % d == 0:
        out.append(f"{Decimal(n) / Decimal(d):f}")
    return out


@given(fractions, st.data())
def test_every_spelling_of_a_rational_is_that_rational(value: Fraction, data: st.DataObject) -> None:
    one, other = data.draw(st.sampled_from(spellings(value))), data.draw(st.sampled_from(spellings(value)))
    assert equal(one, other) is True


@given(fractions, fractions, st.data())
def test_different_rationals_are_never_equal(a: Fraction, b: Fraction, data: st.DataObject) -> None:
    assume(a != b)
    one, other = data.draw(st.sampled_from(spellings(a))), data.draw(st.sampled_from(spellings(b)))
    assert equal(one, other) is False


@settings(max_examples=500)
@given(soup, soup)
def test_no_text_raises_and_every_verdict_is_one_of_three(gold: str, answer: str) -> None:
    assert equal(gold, answer) in (True, False, None)
    assert equal(gold, gold) in ((True, None) if clean(gold) else (False,))
    hopeless(gold, answer)
    usable_gold(gold)
    boxed(answer), last_number(answer), after_anchor(answer, "1")


@given(fractions, fractions, st.sampled_from(["", "\\%", "\\text{ cm}", " m", "^\\circ"]), st.data())
def test_the_short_way_of_two_numbers_is_the_long_way(a: Fraction, b: Fraction, unit: str, data: st.DataObject) -> None:
    value = data.draw(st.sampled_from([a, b, a / 100]))
    one, other = (clean(data.draw(st.sampled_from(spellings(v)))) for v in (a, value))
    other = clean(other + unit)
    assume(literal(one) and literal(other))
    assert _compare(one, other) is equal(one, other)


@given(st.text(max_size=60), st.text(max_size=60))
def test_no_unicode_raises(gold: str, answer: str) -> None:
    assert equal(gold, answer) in (True, False, None)
    assert literal(clean(answer)) is None or any(c in "0123456789" for c in clean(answer))


KINDS = ["number", "sum", "difference", "product", "quotient", "power", "sqrt"]


@st.composite
def expressions(draw: st.DrawFn, depth: int = 3) -> tuple[str, complex]:
    """LaTeX of a constant, and its value by ordinary complex arithmetic: an oracle that shares no code with ours."""
    kind = draw(st.sampled_from(KINDS if depth else ["number", "sqrt", "i", "pi"]))
    if kind == "number":
        n = draw(st.integers(0, 30))
        return str(n), n
    if kind == "i":
        return "i", 1j
    if kind == "pi":
        return "\\pi", math.pi
    if kind == "sqrt":
        n, d = draw(st.integers(1, 60)), draw(st.integers(1, 9))
        return f"\\sqrt{{\\frac{{{n}}}{{{d}}}}}", cmath.sqrt(n / d)
    a, x = draw(expressions(depth - 1))
    if kind == "power":
        n = draw(st.integers(0, 3))
        assume(x != 0 or n)
        return f"({a})^{{{n}}}", x**n
    b, y = draw(expressions(depth - 1))
    if kind == "quotient":
        assume(abs(y) > 1e-6)
        return f"\\frac{{{a}}}{{{b}}}", x / y
    sign = {"sum": "+", "difference": "-", "product": "\\cdot "}[kind]
    return f"\\left({a}{sign}({b})\\right)", x + y if kind == "sum" else x - y if kind == "difference" else x * y


def number(value: exact.Value) -> complex:
    def total(part: exact.Sum) -> complex:
        out = 0j
        for (radicand, i, letters), c in part.items():
            assert dict(letters).keys() <= {"\\pi"}
            out += float(c) * math.sqrt(radicand) * 1j**i * math.pi ** dict(letters).get("\\pi", 0)
        return out

    return total(value[0]) / total(value[1])


@settings(max_examples=300)
@given(expressions())
def test_exact_values_agree_with_floating_point(pair: tuple[str, complex]) -> None:
    latex, expected = pair
    try:
        value = evaluate(clean(latex))
    except exact.Undecided:
        assume(False)
        return
    assume(abs(expected) < 1e9 and (not value[1] or abs(number((value[1], exact.ONE))) > 1e-3))
    assert abs(number(value) - expected) <= 1e-6 * max(1.0, abs(expected))


@settings(max_examples=200)
@given(expressions(), expressions())
def test_adding_and_taking_away_changes_nothing(a: tuple[str, complex], b: tuple[str, complex]) -> None:
    try:
        value, same = evaluate(clean(a[0])), evaluate(clean(f"({a[0]})+{b[0]}-({b[0]})"))
    except exact.Undecided:
        assume(False)
        return
    assert exact.equal_values(value, same)
    if equal(a[0], b[0]):
        assert cmath.isclose(a[1], b[1], rel_tol=1e-6, abs_tol=1e-6)


@given(st.integers(1, 400), st.integers(1, 400))
def test_square_roots_come_out_square_free(a: int, b: int) -> None:
    root = evaluate(f"{a}\\sqrt{{{b}}}")
    assert exact.equal_values(root, evaluate(f"\\sqrt{{{a * a * b}}}"))
    assert not exact.equal_values(root, evaluate(f"\\sqrt{{{a * a * b + 1}}}"))
