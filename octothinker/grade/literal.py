r"""Plain numbers, exactly: the value as a fraction, the percent sign and the unit beside it.

`7`, `10,080`, `-\frac{35}{9}`, `1 2/3`, `0.\overline{3}`, `4.5*10^{33}`, `20\%`, `40\text{ feet}`, `5 million`
"""

from __future__ import annotations

import re
from fractions import Fraction
from functools import lru_cache
from typing import NamedTuple

from octothinker.grade.normalize import INTEGER, MAX_LENGTH


class Literal(NamedTuple):
    """A number with nothing left to compute."""

    value: Fraction
    percent: bool = False
    unit: str = ""
    """"" none, "?" some unit that UNITS does not know, else its canonical name."""
    quotient: bool = False
    """Written as a fraction."""
    places: int | None = None
    """Digits after the point of a decimal; None for everything else."""


_N = r"(?:[1-9][0-9]{0,2}(?:,[0-9]{3})+|[0-9]+)(?:\.[0-9]*)?|\.[0-9]+"
_LITERAL = re.compile(
    rf"""(?P<sign>[-+]?)\s*(?:
      (?P<repeating>[0-9]*\.[0-9]*)\\overline\{{(?P<cycle>[0-9]+)\}}
    | (?:(?P<whole>[0-9]+)\s*)?\\frac\s*(?:\{{\s*(?P<n>-?\s*(?:{_N}))\s*\}}|(?P<n1>[0-9]))
                               \s*(?:\{{\s*(?P<d>-?\s*(?:{_N}))\s*\}}|(?P<d1>[0-9]))
    | (?P<whole2>[0-9]+)\ (?P<n2>[0-9]+)\s?/\s?(?P<d2>[0-9]+)
    | (?:(?P<m>{_N})\s*\*\s*)?10\s*\^\s*(?:\{{\s*(?P<e>[-+]?[0-9]{{1,3}})\s*\}}|(?P<e1>-?[0-9]{{1,3}}))
    | (?P<a>{_N})(?:[eE](?P<e2>[-+]?[0-9]{{1,3}})|\s?/\s?(?P<b>{_N}))?
    )(?:\s*(?P<percent>\\%))?(?P<unit>\s*(?:\\text\{{[^{{}}]*\}}|[A-Za-z][A-Za-z. ]*)(?:\s*\^\s*\{{?[23]\}}?)?)?""",
    re.VERBOSE,
)


@lru_cache(maxsize=1 << 14)
def literal(text: str, loose: bool = False) -> Literal | None:
    """A cleaned text as a plain number; None if it is anything else. loose: `5 m` is five of some unit, not 5*m."""
    if INTEGER.fullmatch(text):
        return Literal(Fraction(int(text)))
    match = _LITERAL.fullmatch(text) if len(text) <= MAX_LENGTH else None
    if match is None:
        return None
    get = match.groupdict()
    scale, unit = _unit(get["unit"], loose) if get["unit"] else (1, "")
    number = _value(get)
    if scale == 0 or number is None:
        return None
    value, quotient, places = number
    return Literal(
        -value * scale if get["sign"] == "-" else value * scale, bool(get["percent"]), unit, quotient, places
    )


def _value(get: dict[str, str | None]) -> tuple[Fraction, bool, int | None] | None:
    """(value without its sign, written as a fraction?, decimal places) of a match; None: not a number (1/0, 2 7/3)."""
    if cycle := get["cycle"]:
        integer, _, fixed = (get["repeating"] or "").partition(".")
        return (
            Fraction(f"0{integer}.{fixed}0") + Fraction(int(cycle), (10 ** len(cycle) - 1) * 10 ** len(fixed)),
            False,
            None,
        )
    above, below = (get[x] or get[x + "1"] or get[x + "2"] for x in ("n", "d"))
    if above and below:
        whole, part = get["whole"] or get["whole2"], _number(above)
        if not _number(below) or (whole and not 0 < part < _number(below)):
            return None
        return int(whole or 0) + part / _number(below), not whole, None
    if exponent := get["e"] or get["e1"]:
        return _number(get["m"] or "1") * Fraction(10) ** int(exponent), False, None
    digits = get["a"] or "0"
    if get["b"]:
        divisor = _number(get["b"])
        return (_number(digits) / divisor, True, None) if divisor else None
    if get["e2"]:
        return _number(digits) * Fraction(10) ** int(get["e2"]), False, None
    return _number(digits), False, len(digits) - digits.index(".") - 1 if "." in digits else None


def _number(text: str) -> Fraction:
    return Fraction(("0" + text if text[0] == "." else text).replace(",", "").replace(" ", "").rstrip("."))


def equal_literals(gold: Literal, answer: Literal) -> bool:
    """Exact values; a decimal of six or more significant digits may be the rounding of the other. 50 is not 0.5.

    A percent sign counts (50% = 0.5), but may be left out of the answer, or added where the gold exceeds one. Units may
    be left out, but two known ones must be the same. For an integer, 60/12 leaves the division to be done.
    """
    if gold.unit and answer.unit and "?" not in (gold.unit, answer.unit) and gold.unit != answer.unit:
        return False
    if answer.quotient and not gold.quotient and gold.places is None and gold.value.denominator == 1:
        return False
    if gold.percent == answer.percent:
        return _same(gold, answer)
    if gold.percent:
        return _same(gold, answer) or gold.value / 100 == answer.value
    return gold.value == answer.value / 100 or (abs(gold.value) > 1 and _same(gold, answer))


def _same(gold: Literal, answer: Literal) -> bool:
    if gold.value == answer.value:
        return True
    places = min((x.places for x in (gold, answer) if x.places is not None), default=0)
    if places < 4:
        return False
    rounded = gold if gold.places == places else answer
    significant = abs(rounded.value) * 10**places >= 100_000
    return significant and abs(gold.value - answer.value) * 10**places * 2 <= 1


_ALIASES = (
    "cm centimeter centimetre|mm millimeter millimetre|km kilometer kilometre|m meter metre|in inch inche|ft foot feet"
    "|mi mile|yd yard|kg kilogram|g gram|lb pound|oz ounce|hour hr h|minute min|second sec s|day|week|month|year"
    "|dollar|cent|degree deg|radian rad|liter litre|ml milliliter|mph|kmph|gallon|north|south|east|west"
)
UNITS = {alias: names.split(" ")[0] for names in _ALIASES.split("|") for alias in names.split(" ")}
_SCALES = {"hundred": 100, "thousand": 10**3, "million": 10**6, "billion": 10**9, "trillion": 10**12, "dozen": 12}
_NO_UNIT = re.compile(
    r"\b(?:half|halves|thirds?|quarters?|squared|cubed|factorial)\b"
    r"|(?:four|fif|six|seven|eigh|nin|ten|eleven|twelf|teen|ie)ths?\b|(?:hundred|thousand|illion|dozen)"
)


def _unit(raw: str, loose: bool) -> tuple[int, str]:
    r"""(factor, canonical unit) of what stands behind a number; factor 0: that is no unit, but mathematics or prose.

    In \text{…} anything but an arithmetic word is a unit; bare words must be known, or stand apart and be long enough
    not to be a product of variables.
    """
    wrapped = "\\text" in raw
    words = re.sub(r"\\text\{([^{}]*)\}", r"\1", raw)
    base = re.sub(r"\s*\^.*|[.]", "", words).strip().lower()
    if base in _SCALES:
        return _SCALES[base], ""
    power = "2" if re.search(r"\^\s*\{?2|\bsq|square", words) else "3" if re.search(r"\^\s*\{?3|\bcu", words) else ""
    name = re.sub(r"^(?:square|sq|cubic|cu)\s+", "", base)
    if len(name) > 1 or wrapped or (loose and raw[0].isspace()):
        known = UNITS.get(name) or UNITS.get(name.removesuffix("s"))
        if known:
            return 1, known + power
    if _NO_UNIT.search(base) or not re.fullmatch(r"[a-z][a-z '/-]*", base):
        return 0, ""
    return (1, "?") if wrapped or re.fullmatch(r"\s[A-Za-z][a-z]{2,}(?: [a-z]+)*", words) else (0, "")
