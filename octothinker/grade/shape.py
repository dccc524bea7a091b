r"""What kind of thing an answer is: `(1,2)` a tuple, `1, -2` a list, `\{1\} \cup [2,3)` a union, `x = 5` a relation, …

One level deep; equal.py looks into the parts. Brackets of any kind nest: separators count outside them only.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Literal, NamedTuple

from octothinker.grade.normalize import NAME, THOUSANDS

MAX_NESTING = 12
RELATION = re.compile(r"\\(?:le|ge|ne)(?![a-zA-Z])|[=<>]")
_BRACKET = re.compile(r"\\[{}]|\\begin\{[^{}]*\}|\\end\{[^{}]*\}|[(\[{}\])]")
_MATRIX = re.compile(r"[(\[]?\s*\\begin\{([pb]?matrix|array)\}(?:\{[lcr| ]*\})?(.*)\\end\{\1\}\s*[)\]]?", re.DOTALL)
_COMMA, _CUP, _COLON = re.compile(r"[,;]"), re.compile(r"\\cup(?![a-zA-Z])"), re.compile(":")
_BARE_COMMA = re.compile(rf"{THOUSANDS.pattern}|[,;]")
"""Outside brackets a thousands comma separates nothing; inside, `(4,112)` is a point."""
_PM, _MP = re.compile(r"\\pm(?![a-zA-Z])"), re.compile(r"\\mp(?![a-zA-Z])")
_WORDS = re.compile(r"[A-Za-z]+(?:['. ]+[A-Za-z]+)*[.]?")


class Shape(NamedTuple):
    kind: Literal["matrix", "union", "tuple", "list", "relation", "ratio", "text", "scalar"]
    parts: tuple[str, ...]
    mark: str = ""
    """The brackets of a tuple, the operators of a relation, the row lengths of a matrix; `{}` for a list or set."""


def _step(bracket: str) -> int:
    return 1 if bracket[-1] in "([{" or bracket.startswith("\\begin") else -1


def nesting(text: str) -> int:
    """Depth of brackets of any kind."""
    depth = deepest = 0
    for match in _BRACKET.finditer(text):
        depth += _step(match.group())
        deepest = max(deepest, depth)
    return deepest


def split(text: str, separator: re.Pattern[str]) -> tuple[list[str], list[str]]:
    """Parts of `text` at the separators outside all brackets, and these separators."""
    events = [(m.start(), False, m) for m in _BRACKET.finditer(text)]
    events += [(m.start(), True, m) for m in separator.finditer(text)]
    parts: list[str] = []
    found: list[str] = []
    depth = start = 0
    for position, separates, match in sorted(events, key=lambda event: event[:2]):
        if not separates:
            depth += _step(match.group())
        elif depth == 0 and position >= start and not match.group()[0].isdigit():
            parts.append(text[start:position].strip())
            found.append(match.group())
            start = match.end()
    return [*parts, text[start:].strip()], found


@lru_cache(maxsize=1 << 14)
def shape(text: str) -> Shape:
    """Shape of a cleaned text."""
    matrix = _MATRIX.fullmatch(text)
    if matrix and "\\begin" not in matrix.group(2):
        rows = [row.split("&") for row in re.split(r"\\\\(?:\[[^\]]*\])?", matrix.group(2)) if row.strip()]
        return Shape("matrix", tuple(c.strip() for row in rows for c in row), "|".join(str(len(row)) for row in rows))
    text = re.sub(r"^[A-Za-z]\s*\\in(?![a-zA-Z])\s*", "", text)
    parts, _ = split(text, _CUP)
    if len(parts) > 1:
        return Shape("union", tuple(parts))
    items, _ = split(text, _BARE_COMMA)
    if len(items) > 1:
        head, operator = split(items[0], RELATION)
        if operator == ["="] and NAME.fullmatch(head[0]) and not any(RELATION.search(item) for item in items[1:]):
            items[0] = head[1]  # `x = 1, -2`
        return Shape("list", tuple(_both_signs(items)), "{}")
    parts, found = split(text, RELATION)
    if found:
        return Shape("relation", tuple(parts), " ".join(found))
    bracketed = _bracketed(text)
    if bracketed:
        return bracketed
    parts, found = split(text, _COLON)
    if found and all(re.fullmatch(r"[0-9]+(?:\.[0-9]+)?", part) for part in parts):
        return Shape("ratio", tuple(parts))
    if _is_text(text):
        return Shape("text", (text,))
    signs = _both_signs([text])
    return Shape("list", tuple(signs), "{}") if len(signs) > 1 else Shape("scalar", (text,))


def _bracketed(text: str) -> Shape | None:
    r"""`(1,2)`, `[0,1)`, `\{1,2\}`; a single element in round brackets is that element."""
    opening = "\\{" if text.startswith("\\{") else text[:1]
    closing = "\\}" if text.endswith("\\}") else text[-1:]
    if opening not in ("(", "[", "\\{") or closing not in (")", "]", "\\}") or nesting(text) > MAX_NESTING:
        return None
    inner = text[len(opening) : len(text) - len(closing)]
    depth = 1
    for match in _BRACKET.finditer(inner):
        depth += _step(match.group())
        if depth == 0:  # the first bracket closes before the end: (a+1)(b+2)
            return None
    items, _ = split(inner, _COMMA)
    if opening == "\\{":
        return Shape("list", tuple(_both_signs(items)), "{}") if closing == "\\}" else None
    if len(items) == 1:
        return shape(items[0]) if opening + closing == "()" else None
    return Shape("tuple", tuple(items), opening + closing)


def _both_signs(items: list[str]) -> list[str]:
    r"""`1 \pm \sqrt{5}` -> both values; the signs inside one element go together."""
    out = []
    for item in items:
        if _PM.search(item) or _MP.search(item):
            out += [_PM.sub("+", _MP.sub("-", item)), _PM.sub("-", _MP.sub("+", item))]
        else:
            out.append(item)
    return out


def _is_text(text: str) -> bool:
    r"""`Evelyn`, `LQSX`, \text{even function} are words; `ab`, `x y` may be products of variables."""
    plain = re.sub(r"\\text\{([^{}]*)\}", r"\1", text)
    if not _WORDS.fullmatch(plain.strip()):
        return False
    return plain != text or any(len(word) > 3 or (len(word) > 1 and word[0].isupper()) for word in plain.split())
