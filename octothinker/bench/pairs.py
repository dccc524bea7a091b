"""Pairs of a gold and a response whose truth is known by construction: spellings of one value, and of another one."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import NamedTuple


class Pair(NamedTuple):
    gold: str
    response: str
    equal: bool


def pairs(count: int, seed: int, group: int = 1) -> list[Pair]:
    """Half of them equal; `group` neighbours have one gold, as in RL. The mixture is that of MATH's golds, roughly: integers,
    rationals, closed forms, tuples and lists, polynomials. Every response works a little and boxes its answer."""
    rng = random.Random(seed)
    kinds: tuple[Callable[[random.Random], tuple[str, Sequence[str], Sequence[str]]], ...] = (
        *(_integer,) * 6, *(_rational,) * 2, _surd, _points, _polynomial,
    )  # fmt: skip
    out = []
    for i in range(count):
        if i % group == 0:
            gold, same, other = rng.choice(kinds)(rng)
        answer = rng.choice(same if i % 2 == 0 else other)
        response = f"Let me see. First $a={rng.randint(1, 99)}$, then we get the answer $\\boxed{{{answer}}}$."
        out.append(Pair(gold, response, i % 2 == 0))
    return out


def _integer(rng: random.Random) -> tuple[str, Sequence[str], Sequence[str]]:
    n = rng.choice((rng.randint(-99, 99), rng.randint(0, 10**6)))
    forms = (f"{n}", f"{n:,}", f"{n}.0", f"x={n}", f"{n}\\text{{ cm}}", f"{n}^\\circ")
    return str(n), forms, (str(n + 1), str(-n - 1), str(10 * n + 1))


def _rational(rng: random.Random) -> tuple[str, Sequence[str], Sequence[str]]:
    value = Fraction(rng.randint(-99, 99) * 2 + 1, rng.choice((2, 4, 5, 8, 6, 7, 12, 35)))
    n, d = value.numerator, value.denominator
    sign = "-" if n < 0 else ""
    forms = [f"\\frac{{{n}}}{{{d}}}", f"{sign}\\dfrac{{{abs(n)}}}{{{d}}}", f"{n}/{d}", f"\\frac{{{3 * n}}}{{{3 * d}}}"]
    if 1000 % d == 0:
        forms.append(f"{float(value):g}")
    return forms[0], forms, (f"\\frac{{{n + d}}}{{{d}}}",)


def _surd(rng: random.Random) -> tuple[str, Sequence[str], Sequence[str]]:
    a, b, c = rng.randint(1, 20), rng.randint(2, 9), rng.choice((2, 3, 5, 6, 7))
    forms = (f"{b}\\sqrt{{{c}}}+{a}", f"\\sqrt{{{b * b * c}}}+{a}", f"{a} + {b} \\sqrt {c}")
    return f"{a}+{b}\\sqrt{{{c}}}", forms, (f"{a}-{b}\\sqrt{{{c}}}",)


def _points(rng: random.Random) -> tuple[str, Sequence[str], Sequence[str]]:
    a, b = rng.sample(range(-20, 60), 2)
    if rng.random() < 0.5:
        return f"({a},{b})", (f"\\left( {a}, {b}.0 \\right)",), (f"({b},{a})",)
    return f"{a}, {b}", (f"{b},{a}", f"x={a} \\text{{ or }} x={b}"), (f"{a}, {b}, {a + b + 100}",)


def _polynomial(rng: random.Random) -> tuple[str, Sequence[str], Sequence[str]]:
    a, b = rng.randint(1, 9), rng.randint(1, 9)
    return f"x^2+{a + b}x+{a * b}", (f"(x+{a})(x+{b})", f"{a * b}+{a + b}x+x^2"), (f"(x+{a})(x-{b})",)
