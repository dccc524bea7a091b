r"""Is this answer the gold answer? Exact, in-process, three verdicts: True, False, None (undecided).

    text -> clean -> shape (matrix, union, tuple, list, relation, …) -> part by part -> Literal or exact value

Against a gold that is a plain number only a plain number is an answer: a policy that writes `64-24+51` into its box has
computed nothing. What stays undecided goes past `hopeless` to math-verify in a worker process (pool.py).
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from octothinker.grade import exact
from octothinker.grade.literal import equal_literals, literal
from octothinker.grade.normalize import INTEGER, MAX_LENGTH, NAME, THOUSANDS, clean, squash
from octothinker.grade.parse import evaluate
from octothinker.grade.shape import MAX_NESTING, Shape, nesting, shape

MAX_ITEMS = 60
_BASED = re.compile(r"([0-9A-Fa-f ]+)_\s*(?:\{\s*([0-9]+)\s*\}|([0-9]+))")
_PROSE = re.compile(r"(?=.*(?:^|\s)[A-Za-z]{3,}(?:\s|$))[A-Za-z0-9 .:'-]*")
_SIGNED_GROUP = re.compile(r"^(-?)\s*[({]\s*([^-(){}][^(){}]*)[)}]$")
_COMMAND = re.compile(r"\\text\{[^{}]*\}|\\[A-Za-z]+")
_VARIABLE = re.compile(r"(?<![A-Za-z])[a-cf-hj-zA-Z](?![A-Za-z])")  # e and i are constants, d stands in differentials
_UNIT = re.compile(r"\s*\\text\{[A-Za-z .]*\}(?:\s*\^\s*\{?[23]\}?)?$")


def equal(gold: str, answer: str) -> bool | None:
    """True and False are certain; None: not decided here. `gold` and `answer` are contents of boxes, as written."""
    if INTEGER.fullmatch(gold) and INTEGER.fullmatch(answer):
        return int(gold) == int(answer)
    if len(answer) > max(MAX_LENGTH, 2 * len(gold)):
        return False
    g, a = clean(gold), clean(answer)
    if not g or not a:
        return False
    if squash(g) == squash(a):
        return True
    gold_number, number = literal(g), literal(a)
    if gold_number and number:  # most pairs there are: what _compare says of them, without a look at their shape
        return equal_literals(gold_number, number)
    if nesting(a) > MAX_NESTING or a.count(",") > MAX_ITEMS:
        return False
    return _compare(g, a)


def _all(verdicts: Iterable[bool | None]) -> bool | None:
    result: bool | None = True
    for verdict in verdicts:
        if verdict is False:
            return False
        result = None if verdict is None else result
    return result


def _compare(g: str, a: str) -> bool | None:
    if squash(g) == squash(a):
        return True
    gold, answer = shape(g), shape(a)
    if "text" in (gold.kind, answer.kind):
        return _words(g) == _words(a)
    if gold.kind == answer.kind == "relation":
        return _relations(gold, answer)
    if gold.kind == "tuple" and gold.mark != "()" and (interval := _interval(answer)):  # (1,2) may be a point
        return _compare(g, interval)
    if gold.kind == "relation":
        interval = _interval(gold)
        return _compare(interval, a) if interval and answer.kind == "tuple" else _relation_and_other(gold, answer, a)
    if answer.kind == "relation":
        return _chain(g, answer)
    if gold.kind != answer.kind:
        return _mixed(gold, answer)
    if gold.kind == "scalar":
        return _scalars(gold.parts[0], answer.parts[0])
    if len(gold.parts) != len(answer.parts) or gold.mark != answer.mark:
        return False
    if gold.kind in ("list", "union"):
        return _unordered(gold.parts, answer.parts)
    return _all(_compare(x, y) for x, y in zip(gold.parts, answer.parts, strict=True))


def _mixed(gold: Shape, answer: Shape) -> bool | None:
    """Different kinds: a point without its brackets, a set of one, a ratio as a fraction; otherwise different things."""
    kinds = {gold.kind, answer.kind}
    if kinds == {"list", "tuple"} and len(gold.parts) == len(answer.parts):
        if "()" not in (gold.mark, answer.mark) or "\\infty" in "".join(gold.parts + answer.parts):
            return False
        return _all(_compare(x, y) for x, y in zip(gold.parts, answer.parts, strict=True))
    if kinds == {"list", "scalar"}:  # `100,200,300` may have been a list all along; `32,349` is no `32, 349`
        if len(gold.parts) + len(answer.parts) > 3:
            return ",".join(gold.parts) == ",".join(answer.parts)
        return len(gold.parts) == len(answer.parts) and _compare(gold.parts[0], answer.parts[0])
    if kinds == {"ratio", "scalar"}:  # 3:5 and 3/5, but not 5:45 and 1/9; 3:30 and 3:30 p.m.
        g, a = (re.sub(r"\\frac\{(\w+)\}\{(\w+)\}", r"\1/\2", ":".join(side.parts)) for side in (gold, answer))
        return g.replace("/", ":") == a.replace("/", ":") or _same_time(g, a)
    return None if "union" in kinds and "scalar" not in kinds else False


def _unordered(gold: tuple[str, ...], answer: tuple[str, ...]) -> bool | None:
    """Multisets: every gold element takes one equal element of the answer away."""
    left, undecided = list(answer), False
    for g in gold:
        verdicts = [_compare(g, a) for a in left]
        if True in verdicts:
            left.pop(verdicts.index(True))
        elif None in verdicts:
            undecided = True
        else:
            return False
    return None if undecided else True


def _words(text: str) -> str:
    r"""Letters, digits and operators of a text answer; case, spaces, punctuation and a \text{} around it do not matter."""
    plain = re.sub(r"\\text\{([^{}]*)\}", r"\1", text).casefold()
    return "".join(c for c in plain if c.isalnum() or c in "+-=<>/*^:\\")


def _same_time(g: str, a: str) -> bool:
    """Of the day; a.m. and p.m. may be left out of the answer."""
    return _words(g) in (_words(a), _words(a) + "am", _words(a) + "pm")


def _is_assignment(relation: Shape) -> bool:
    return relation.mark == "=" and NAME.fullmatch(relation.parts[0]) is not None


def _relation_and_other(gold: Shape, answer: Shape, a: str) -> bool | None:
    """To the gold `x=5` the answer 5 is right; to `2x+z=1` the answer 1 is not; `x>2` may be (2,\\infty)."""
    if _is_assignment(gold):
        return _compare(gold.parts[1], a)
    return None if gold.mark != "=" and answer.kind in ("tuple", "union") else False


def _interval(relation: Shape) -> str | None:
    r"""`-2 < x \le 7` -> (-2,7]"""
    marks = (
        [{"<": "()", "\\le": "[]"}.get(mark) for mark in relation.mark.split()] if relation.kind == "relation" else []
    )
    if len(marks) != 2 or None in marks or not NAME.fullmatch(relation.parts[1]):
        return None
    left, right = marks[0] or "", marks[1] or ""
    return f"{left[0]}{relation.parts[0]},{relation.parts[2]}{right[1]}"


def _chain(g: str, answer: Shape) -> bool | None:
    """`x = 5` and `2+3 = 5` say 5, if they are true: the last part must equal the gold, and the parts each other."""
    if _is_assignment(answer):
        return _compare(g, answer.parts[1])
    if set(answer.mark.split()) != {"="} or len(answer.parts) > 6 or _compare(g, answer.parts[-1]) is not True:
        return False
    parts = answer.parts[1:] if NAME.fullmatch(answer.parts[0]) else answer.parts
    try:
        last = evaluate(parts[-1])
        return all(exact.equal_values(evaluate(part), last) for part in parts[:-1])
    except exact.Undecided:
        return False


def _relations(gold: Shape, answer: Shape) -> bool | None:
    if len(gold.parts) == len(answer.parts) == 2:
        return _single_relations(gold, answer)
    if gold.mark == answer.mark:  # a < b < c
        same = _all(_compare(x, y) for x, y in zip(gold.parts, answer.parts, strict=True))
        return same or None
    if _is_assignment(gold) and squash(gold.parts[0]) == squash(answer.parts[0]):
        return _chain(gold.parts[1], answer)
    return None


def _single_relations(gold: Shape, answer: Shape) -> bool | None:
    """One operator each: equal when left minus right is the same up to a factor (positive for < and \\le)."""
    try:
        sides = []
        for relation in (gold, answer):
            left, right = (evaluate(part) for part in relation.parts)
            if relation.mark in (">", "\\ge"):
                left, right = right, left
            sides.append(exact.add(left, exact.negative(right)))
    except exact.Undecided:
        same = gold.mark == answer.mark == "=" and squash(gold.parts[0]) == squash(answer.parts[0])
        return _compare(gold.parts[1], answer.parts[1]) if same else None
    kinds = [relation.mark.replace(">", "<").replace("\\ge", "\\le") for relation in (gold, answer)]
    if kinds[0] != kinds[1]:
        return False
    factor = exact.proportion(sides[0], sides[1])
    if factor is not None:
        return factor > 0 or kinds[0] in ("=", "\\ne")
    return False if exact.linear(sides[0]) and exact.linear(sides[1]) else None


def _scalars(g: str, a: str) -> bool | None:
    g, a = (_SIGNED_GROUP.sub(r"\1\2", THOUSANDS.sub(lambda m: m.group().replace(",", ""), text)) for text in (g, a))
    based = _BASED.fullmatch(g), _BASED.fullmatch(a)
    if based[0] or based[1]:
        return _same_base(*based, g, a)
    if ":" in g:
        return _same_time(g, a)
    if "\\infty" in g or "\\infty" in a:
        return g.lstrip("+") == a.lstrip("+")
    gold, answer = literal(g), literal(a)
    if gold is not None:
        answer = answer or literal(a, loose=True)
        return answer is not None and equal_literals(gold, answer)
    if _PROSE.fullmatch(g):
        return _words(g) == _words(a)
    try:
        left = evaluate(_UNIT.sub("", g))
        if answer is not None and (answer.places or 0) >= 6 and not exact.has_letters(left):
            return None  # a decimal for \sqrt2: math-verify compares six digits
        return exact.equal_values(left, evaluate(_UNIT.sub("", a)))
    except exact.Undecided:  # a number is no function of a variable
        return False if answer is not None and _VARIABLE.search(_COMMAND.sub(" ", g)) else None


def _same_base(gold: re.Match[str] | None, answer: re.Match[str] | None, g: str, a: str) -> bool:
    """`52_8`: same digits and same base; the base may be left out of the answer, but not invented (but for 10)."""
    base = [(m.group(2) or m.group(3)) if m else None for m in (gold, answer)]
    if gold is None:
        return answer is not None and base[1] == "10" and _scalars(g, answer.group(1)) is True
    digits = answer.group(1) if answer else squash(a)
    return digits == gold.group(1) and base[1] in (None, base[0])


_HEAVY = ("\\sum", "\\prod", "\\int", "\\lim", "\\binom", "\\det", "\\begin")
_CODE = re.compile(r"__|\b(?:import|eval|exec|open|lambda|getattr|globals|system|subprocess|compile)\b", re.IGNORECASE)
_EXPONENT = re.compile(r"(?:\^|[eE])\s*\{?\s*[-+]?\s*([0-9]+)")
_TOWER = re.compile(r"\^\s*(?:\{[^{}]*|[^{}\s]\s*)\^")
_POWERS = re.compile(r"[)}]\s*\^\s*\{?\s*-?([0-9]+)\}?\s*[)}]+\s*\^")
_INDEX = re.compile(r"\[\s*[0-9]{3,}\s*\]")
_FACTORIAL = re.compile(r"[0-9]{3,}\s*\}?\)?\s*!|!\s*[!)}]*\s*!|\([-+*/^{}0-9\s]*\)\s*!")
_SUBSCRIPT = re.compile(r"(\w)_\{?(\w+)")


def _towering(a: str) -> bool:
    """An exponent or root that no computer algebra system should be asked to work out."""
    return bool(_TOWER.search(a) or _POWERS.search(a) or _INDEX.search(a)) or a.count("^") > 12


def hopeless(gold: str, answer: str) -> str | None:
    """Why an undecided pair must not reach the slow path (then the answer is wrong), or None. Both as written."""
    g, a = clean(gold), clean(answer)
    if _CODE.search(a):
        return "code"
    if not a.isascii():
        return "characters"
    if len(a) > MAX_LENGTH or nesting(a) > MAX_NESTING or a.count(",") > MAX_ITEMS:
        return "size"
    if re.search(r"[0-9]{31}", a) and not re.search(r"[0-9]{31}", g):
        return "digits"
    if any(len(e) > 2 for e in set(_EXPONENT.findall(a)) - set(_EXPONENT.findall(g))) or _towering(a):
        return "tower"
    if _FACTORIAL.search(a):
        return "factorial"
    if any(heavy in a and heavy not in g for heavy in _HEAVY):
        return "operator"
    return "subscript" if set(_SUBSCRIPT.findall(a)) != set(_SUBSCRIPT.findall(g)) else None
