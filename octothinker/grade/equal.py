"""Is this answer the gold answer? Exact, in-process, three verdicts: True, False, None (undecided).

    text -> clean -> shape (matrix, union, list, tuple, relation, ratio, text, scalar) -> elementwise -> Literal or Value

Against a gold that is a plain number only a plain number is an answer: a policy that writes `64-24+51` into its box has
computed nothing. What stays undecided goes past `hopeless` to math-verify in a worker process (pool.py).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache
from typing import NamedTuple

from octothinker.grade import exact
from octothinker.grade.normalize import INTEGER, MAX_LENGTH, NAME, THOUSANDS, Literal, clean, literal, squash
from octothinker.grade.parse import evaluate

MAX_NESTING, MAX_ITEMS = 12, 60
_DEPTH = re.compile(r"\\[{}]|\\begin\{[^{}]*\}|\\end\{[^{}]*\}|[(\[{}\])]")
_MATRIX = re.compile(r"[(\[]?\s*\\begin\{([pb]?matrix|array)\}(?:\{[lcr| ]*\})?(.*)\\end\{\1\}\s*[)\]]?", re.DOTALL)
_RELATION = re.compile(r"\\(?:le|ge|ne)(?![a-zA-Z])|[=<>]")
_BASED = re.compile(r"([0-9A-Fa-f ]+)_\s*(?:\{\s*([0-9]+)\s*\}|([0-9]+))")
_WORDS = re.compile(r"[A-Za-z]+(?:['. ]+[A-Za-z]+)*[.]?")
_GROUP = re.compile(r"^(-?)\s*[({]\s*([^-(){}][^(){}]*)[)}]$")
_UNIT = re.compile(r"\s*\\text\{[A-Za-z .]*\}(?:\s*\^\s*\{?[23]\}?)?$")
_PAIRS = {"(": ")", "[": "]", "\\{": "\\}"}


class Shape(NamedTuple):
    kind: str
    """matrix | union | tuple | list | relation | ratio | text | scalar"""
    parts: tuple[str, ...]
    mark: str = ""
    """The brackets of a tuple, the operators of a relation, the row lengths of a matrix; `{}` for a set."""


def equal(gold: str, answer: str) -> bool | None:
    """True and False are certain; None: not decided here. `gold` and `answer` are contents of boxes, as written."""
    if INTEGER.fullmatch(gold) and INTEGER.fullmatch(answer):
        return int(gold) == int(answer)
    if len(answer) > MAX_LENGTH and len(answer) > 2 * len(gold):
        return False
    g, a = clean(gold), clean(answer)
    if not g or not a:
        return False
    if squash(g) == squash(a):
        return True
    if nesting(a) > MAX_NESTING or a.count(",") > MAX_ITEMS:
        return False
    return _compare(g, a)


def nesting(text: str) -> int:
    """Depth of brackets of any kind."""
    depth = deepest = 0
    for match in _DEPTH.finditer(text):
        token = match.group()
        depth += 1 if token[-1] in "([{" or token.startswith("\\begin") else -1
        deepest = max(deepest, depth)
    return deepest


def _split(text: str, separator: re.Pattern[str]) -> tuple[list[str], list[str]]:
    """Parts of `text` at the separators outside all brackets, and these separators."""
    depth, start = 0, 0
    parts: list[str] = []
    found: list[str] = []
    events = [(m.start(), m, True) for m in _DEPTH.finditer(text)] + [(m.start(), m, False) for m in separator.finditer(text)]
    for position, match, bracket in sorted(events, key=lambda event: (event[0], not event[2])):
        token = match.group()
        if bracket:
            depth += 1 if token[-1] in "([{" or token.startswith("\\begin") else -1
        elif depth == 0 and position >= start and not token[0].isdigit():
            parts.append(text[start:position].strip())
            found.append(token)
            start = match.end()
    return [*parts, text[start:].strip()], found


_COMMA, _CUP, _COLON = re.compile(r"[,;]"), re.compile(r"\\cup(?![a-zA-Z])"), re.compile(":")
_BARE_COMMA = re.compile(rf"{THOUSANDS.pattern}|[,;]")
"""Outside brackets a thousands comma separates nothing; inside, `(4,112)` is a point."""


@lru_cache(maxsize=1 << 14)
def shape(text: str) -> Shape:
    """What kind of answer a cleaned text is. Pieces are not looked into."""
    matrix = _MATRIX.fullmatch(text)
    if matrix and matrix.group(2).count("\\begin") == 0:
        rows = [row.split("&") for row in re.split(r"\\\\(?:\[[^\]]*\])?", matrix.group(2)) if row.strip()]
        cells = tuple(cell.strip() for row in rows for cell in row)
        return Shape("matrix", cells, "|".join(str(len(row)) for row in rows))
    text = re.sub(r"^[A-Za-z]\s*\\in(?![a-zA-Z])\s*", "", text)
    parts, _ = _split(text, _CUP)
    if len(parts) > 1:
        return Shape("union", tuple(parts))
    items = _split(text, _BARE_COMMA)[0]
    if len(items) > 1:
        head, op = _split(items[0], _RELATION)
        if op == ["="] and NAME.fullmatch(head[0]) and not any(_RELATION.search(item) for item in items[1:]):
            items[0] = head[1]  # `x = 1, -2`
        return Shape("list", tuple(_spread(items)), "{}")
    parts, found = _split(text, _RELATION)
    if found:
        return Shape("relation", tuple(parts), " ".join(found))
    bracketed = _bracketed(text)
    if bracketed:
        return bracketed
    parts, found = _split(text, _COLON)
    if found and all(re.fullmatch(r"[0-9]+(?:\.[0-9]+)?", part) for part in parts):
        return Shape("ratio", tuple(parts))
    if _is_text(text):
        return Shape("text", (text,))
    spread = _spread([text])
    return Shape("list", tuple(spread), "{}") if len(spread) > 1 else Shape("scalar", (items[0],))


def _bracketed(text: str) -> Shape | None:
    """`(1,2)`, `[0,1)`, `\\{1,2\\}`; a single element in round brackets or braces is that element."""
    opening = "\\{" if text.startswith("\\{") else text[:1]
    closing = "\\}" if text.endswith("\\}") else text[-1:]
    if opening not in _PAIRS or closing not in _PAIRS.values() or nesting(text) > MAX_NESTING:
        return None
    inner = text[len(opening) : len(text) - len(closing)]
    depth = 1
    for match in _DEPTH.finditer(inner):
        depth += 1 if match.group()[-1] in "([{" or match.group().startswith("\\begin") else -1
        if depth == 0:  # the first bracket closes before the end: (a+1)(b+2)
            return None
    items = _split(inner, _COMMA)[0]
    if opening == "\\{":
        return Shape("list", tuple(_spread(items)), "{}") if closing == "\\}" else None
    if len(items) == 1:
        return shape(items[0]) if opening == "(" and closing == ")" else None
    return Shape("tuple", tuple(items), opening + closing)


def _spread(items: list[str]) -> list[str]:
    """`1 \\pm \\sqrt{5}` -> both values; the signs in one element go together."""
    out = []
    for item in items:
        if "\\pm" in item or "\\mp" in item:
            out += [re.sub(r"\\pm\s*", "+", re.sub(r"\\mp\s*", "-", item)), re.sub(r"\\pm\s*", "-", re.sub(r"\\mp\s*", "+", item))]
        else:
            out.append(item)
    return out


def _is_text(text: str) -> bool:
    """`Evelyn`, `LQSX`, \\text{even function} are words; `ab`, `x y` may be products of variables."""
    plain = re.sub(r"\\text\{([^{}]*)\}", r"\1", text)
    if not _WORDS.fullmatch(plain.strip()):
        return False
    return plain != text or any(len(word) > 3 or (len(word) > 1 and word[0].isupper()) for word in plain.split())


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
    if gold.kind == "relation" or answer.kind == "relation":
        return _relations(gold, answer, g, a)
    if gold.kind != answer.kind:
        return _mixed(gold, answer)
    if gold.kind == "scalar":
        return _scalars(gold.parts[0], answer.parts[0])
    if len(gold.parts) != len(answer.parts) or (gold.mark != answer.mark):
        return False
    if gold.kind in ("list", "union"):
        return _unordered(gold.parts, answer.parts)
    return _all(_compare(x, y) for x, y in zip(gold.parts, answer.parts, strict=True))


def _mixed(gold: Shape, answer: Shape) -> bool | None:
    """Different kinds: a point without its brackets, a set of one; otherwise they are different things."""
    kinds = {gold.kind, answer.kind}
    if kinds == {"list", "tuple"} and len(gold.parts) == len(answer.parts) > 1:
        brackets = gold.mark + answer.mark
        if "()" in brackets and "\\infty" not in "".join(gold.parts + answer.parts):
            return _all(_compare(x, y) for x, y in zip(gold.parts, answer.parts, strict=True))
        return False
    if kinds == {"list", "scalar"} and len(gold.parts) == len(answer.parts) == 1:
        return _compare(gold.parts[0], answer.parts[0])
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
    """Letters and digits of a text answer; case, spaces and punctuation do not matter, nor does a \\text{} around it."""
    return "".join(c for c in re.sub(r"\\text\{([^{}]*)\}", r"\1", text).casefold() if c.isalnum() or c in "+-=<>/*^:\\")


def _relations(gold: Shape, answer: Shape, g: str, a: str) -> bool | None:
    """Equations and inequalities; `x=5` is the answer 5 where the gold says so little."""
    named = {side.mark == "=" and NAME.fullmatch(side.parts[0]) is not None for side in (gold, answer)}
    if gold.kind != answer.kind:
        relation, other = (gold, a) if gold.kind == "relation" else (answer, g)
        if named == {True, False}:
            return _compare(*((relation.parts[1], other) if relation is gold else (other, relation.parts[1])))
        if relation is gold:
            return None if gold.mark != "=" and answer.kind in ("tuple", "union") else False
        return _chain(g, answer)
    if gold.mark.count(" ") or answer.mark.count(" "):  # chains: a < b < c
        if gold.mark == answer.mark and _all(_compare(x, y) for x, y in zip(gold.parts, answer.parts, strict=True)):
            return True
        return _chain(g, answer) if gold.mark == "=" and answer.parts[0] == gold.parts[0] else None
    return _single_relations(gold, answer)


def _chain(g: str, answer: Shape) -> bool | None:
    """`2+3 = 5` says 5 if it is true: every part must equal the next, and the last the gold (`6=5` is no 5)."""
    if set(answer.mark.split()) != {"="} or len(answer.parts) > 6:
        return False
    parts = answer.parts[1:] if NAME.fullmatch(answer.parts[0]) else answer.parts
    gold = shape(g).parts[-1]
    if _compare(gold, parts[-1]) is not True:
        return False
    try:
        last = evaluate(parts[-1])
        return all(exact.equal_values(evaluate(part), last) for part in parts[:-1])
    except exact.Undecided:
        return False


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
    factor = exact.proportion(sides[0], sides[1])
    if kinds[0] != kinds[1]:
        return False
    if factor is not None:
        return factor > 0 or kinds[0] in ("=", "\\ne")
    return False if exact.linear(sides[0]) and exact.linear(sides[1]) else None


def _scalars(g: str, a: str) -> bool | None:
    g, a = (_GROUP.sub(r"\1\2", THOUSANDS.sub(lambda m: m.group().replace(",", ""), text)) for text in (g, a))
    based = _BASED.fullmatch(g), _BASED.fullmatch(a)
    if based[0] or based[1]:
        return _bases(*based, g, a)
    if ":" in g:
        return _same_time(g, a)
    if "\\infty" in g or "\\infty" in a:
        return g.lstrip("+") == a.lstrip("+")
    gold, answer = literal(g), literal(a)
    if gold is not None:
        answer = answer or literal(a, True)
        return answer is not None and equal_literals(gold, answer)
    try:
        left = evaluate(_UNIT.sub("", g))
        if answer is not None and (answer.places or 0) >= 6 and not exact.has_letters(left):
            return None  # a decimal for \sqrt2: math-verify compares six digits
        return exact.equal_values(left, evaluate(_UNIT.sub("", a)))
    except exact.Undecided:
        return None


def _same_time(g: str, a: str) -> bool:
    """Of the day; a.m. and p.m. may be left out."""
    return _words(g) in (_words(a), _words(a) + "am", _words(a) + "pm")


def _bases(gold: re.Match[str] | None, answer: re.Match[str] | None, g: str, a: str) -> bool:
    """`52_8`: same digits and same base; the base may be left out of the answer, but not invented."""
    if gold is None:
        return answer is not None and (answer.group(2) or answer.group(3)) == "10" and _scalars(g, answer.group(1)) is True
    digits, base = gold.group(1), gold.group(2) or gold.group(3)
    if answer is None:
        return squash(a) == digits
    return digits == answer.group(1) and base == (answer.group(2) or answer.group(3))


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
    places = [x.places for x in (gold, answer) if x.places is not None]
    if not places:
        return False
    digits = min(places)
    if digits < 4:
        return False
    rounded = gold if gold.places == digits else answer
    significant = abs(rounded.value) * 10**digits >= 100_000
    return significant and abs(gold.value - answer.value) * 10**digits * 2 <= 1


_HEAVY = ("\\sum", "\\prod", "\\int", "\\lim", "\\binom", "\\det", "\\begin")
_CODE = re.compile(r"__|\b(?:import|eval|exec|open|lambda|getattr|globals|system|subprocess|compile)\b", re.IGNORECASE)


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
    exponents = [e for pair in re.findall(r"(?:\^|[eE])\s*(?:\{\s*[-+]?\s*([0-9]+)|[-+]?([0-9]+))", a) for e in pair if e]
    if any(len(e) > 3 for e in exponents) or re.search(r"\^\s*(?:\{[^{}]*|[^{}\s]\s*)\^", a) or a.count("^") > 12:
        return "tower"
    if re.search(r"[0-9]{3,}\s*\}?\)?\s*!|!\s*[!)}]*\s*!|\([-+*/^{}0-9\s]*\)\s*!", a):
        return "factorial"
    if any(heavy in a and heavy not in g for heavy in _HEAVY):
        return "operator"
    if set(re.findall(r"(\w)_\{?(\w+)", a)) != set(re.findall(r"(\w)_\{?(\w+)", g)):
        return "subscript"
    return None
