"""Exact values of closed-form answers, without sympy and without floats.

A value is a quotient of two sums of terms `rational * sqrt(n) * i^0|1 * letters`, n square-free:

    \\frac{1+\\sqrt5}{2}a^2   ->   { sqrt(1) a^2: 1/2, sqrt(5) a^2: 1/2 } / { 1: 1 }

Square roots of different square-free integers (and their multiples by i, pi, e, free letters) are linearly independent
over the rationals, so two values are equal exactly when their cross products have the same terms. What lies outside
(functions, letters in exponents, nested roots) or grows too large is `Undecided`: the limits bound time and memory.
"""

from __future__ import annotations

import math
from fractions import Fraction
from functools import lru_cache

Letters = tuple[tuple[str, int], ...]
Term = tuple[int, int, Letters]
"""(square-free radicand, power of i: 0 or 1, ((letter, power), …) sorted)."""
Number = int | Fraction  # integers stay integers: several times as fast
Sum = dict[Term, Number]
Value = tuple[Sum, Sum]

MAX_TERMS, MAX_BITS, MAX_RADICAND, MAX_FACTORIAL = 64, 1 << 15, 10**12, 3000
UNIT: Term = (1, 0, ())
ONE: Sum = {UNIT: 1}


class Undecided(Exception):
    """Outside what can be computed exactly here."""


def equal_values(a: Value, b: Value) -> bool:
    return _mul(a[0], b[1]) == _mul(b[0], a[1])


def proportion(a: Value, b: Value) -> Fraction | None:
    """The rational c != 0 with a = c*b; None if there is none."""
    left, right = _mul(a[0], b[1]), _mul(b[0], a[1])
    if not left or left.keys() != right.keys():
        return None
    ratios = {Fraction(left[term]) / right[term] for term in left}
    return ratios.pop() if len(ratios) == 1 else None


def linear(value: Value) -> bool:
    """No product of letters in it, and no letter in a denominator."""
    return all(sum(p for _, p in t[2]) <= 1 for t in value[0]) and not any(t[2] for t in value[1])


def has_letters(value: Value) -> bool:
    return any(letters for part in value for _, _, letters in part)


def rational(value: Value) -> Fraction | None:
    top, bottom = value
    if not top:
        return Fraction(0)
    return Fraction(top[UNIT]) / bottom[UNIT] if top.keys() == bottom.keys() == {UNIT} else None


def constant(number: Number) -> Value:
    return ({UNIT: number.numerator if number.denominator == 1 else number} if number else {}), ONE


def letter(name: str) -> Value:
    return {(1, 1, ()) if name == "i" else (1, 0, ((name, 1),)): 1}, ONE


def add(a: Value, b: Value) -> Value:
    if a[1] == b[1]:
        return _simple(_collect([*a[0].items(), *b[0].items()]), a[1])
    return _simple(_collect([*_mul(a[0], b[1]).items(), *_mul(b[0], a[1]).items()]), _mul(a[1], b[1]))


def negative(a: Value) -> Value:
    return {term: -c for term, c in a[0].items()}, a[1]


def mul(a: Value, b: Value) -> Value:
    return _simple(_mul(a[0], b[0]), _mul(a[1], b[1]))


def inverse(a: Value) -> Value:
    if not a[0]:
        raise Undecided("division by zero")
    return _simple(a[1], a[0])


def factorial(a: Value) -> Value:
    n = rational(a)
    if n is None or n.denominator != 1 or not 0 <= n <= MAX_FACTORIAL:
        raise Undecided("factorial")
    return constant(math.factorial(n.numerator))


def power(base: Value, exponent: Value) -> Value:
    number = rational(exponent)
    if number is None or (not base[0] and number <= 0):
        raise Undecided("exponent")
    if number.denominator != 1:
        return power(root(base, number.denominator), constant(number.numerator))
    sizes = [n.bit_length() for part in base for t, c in part.items() for n in (c.numerator, c.denominator, t[0])]
    if abs(number) > (12 if max(map(len, base)) > 1 else MAX_BITS // max(sizes)):
        raise Undecided("exponent")
    out, square, k = constant(1), base if number > 0 else inverse(base), abs(number.numerator)
    while k:
        out = mul(out, square) if k & 1 else out
        k >>= 1
        square = mul(square, square) if k else square
    return out


def root(a: Value, index: int) -> Value:
    """Square root of a rational (negative: times i); a higher root only where it comes out rational."""
    number = rational(a)
    if number is None:
        raise Undecided("nested root")
    if number == 0:
        return a
    above, below = abs(number.numerator), number.denominator
    if index == 2:
        outside, inside = _square_part(above * below)
        return {(inside, int(number < 0), ()): Fraction(outside, below)}, ONE
    if number < 0 and index % 2 == 0:
        raise Undecided("even root of a negative number")
    exact = Fraction(_integer_root(above, index), _integer_root(below, index))
    return constant(exact if number > 0 else -exact)


def _integer_root(n: int, index: int) -> int:
    if not 2 < index <= 64 or n.bit_length() > 512:
        raise Undecided("root")
    near = round(2 ** (math.log2(n) / index))
    for candidate in (near - 1, near, near + 1):
        if candidate**index == n:
            return candidate
    raise Undecided("root")


@lru_cache(maxsize=4096)
def _square_part(n: int) -> tuple[int, int]:
    """n = outside^2 * inside, inside square-free. Trial division to the cube root leaves at most two primes."""
    whole = math.isqrt(n)
    if whole * whole == n:
        return whole, 1
    if n > MAX_RADICAND:
        raise Undecided("radicand")
    outside, inside, d = 1, 1, 2
    while d * d * d <= n:
        while n % (d * d) == 0:
            outside, n = outside * d, n // (d * d)
        if n % d == 0:
            inside, n = inside * d, n // d
        d += 1
    whole = math.isqrt(n)
    return (outside * whole, inside) if whole * whole == n else (outside, inside * n)


def _simple(top: Sum, bottom: Sum) -> Value:
    """A rational denominator goes into the numerator."""
    if bottom is ONE or bottom.keys() != {UNIT}:
        return top, bottom
    divisor = Fraction(bottom[UNIT])
    return {term: c / divisor for term, c in top.items()}, ONE


def _mul(p: Sum, q: Sum) -> Sum:
    if p is ONE or q is ONE:
        return q if p is ONE else p
    if len(p) * len(q) > MAX_TERMS * 8:
        raise Undecided("too many terms")
    products = []
    for (r1, i1, l1), c1 in p.items():
        for (r2, i2, l2), c2 in q.items():
            common = math.gcd(r1, r2)
            term = (r1 * r2 // common**2, i1 ^ i2, _letters(l1, l2) if l1 and l2 else l1 or l2)
            products.append((term, c1 * c2 * (-common if i1 and i2 else common)))
    return _collect(products)


def _letters(a: Letters, b: Letters) -> Letters:
    both = dict(a)
    for name, exponent in b:
        both[name] = both.get(name, 0) + exponent
    return tuple(sorted(both.items()))


def _collect(terms: list[tuple[Term, Number]]) -> Sum:
    out: Sum = {}
    for term, c in terms:
        out[term] = out.get(term, 0) + c
    if 0 in out.values():
        out = {term: c for term, c in out.items() if c}
    if len(out) > MAX_TERMS or any(
        c.numerator.bit_length() > 4 * MAX_BITS or c.denominator.bit_length() > 4 * MAX_BITS for c in out.values()
    ):
        raise Undecided("too large")
    return out
