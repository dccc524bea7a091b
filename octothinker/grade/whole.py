r"""The answer in free text that was asked for no box: the whole-response rule.

    last complete box (boxes joined by `,` or `and` are one list)   unless "final answer … is" comes after it
      -> what follows the last "final answer … is", "answer:", "answer is"
      -> the last formula ($…$, \(…\), \[…\], $$…$$) or number outside formulas, whichever comes last

A box that is opened and not closed: the text was cut off, and there is no answer. Of `a = b = c` the end is taken.
For texts of others, which follow no rule of ours (`octo grade --rule whole`); never for rewards.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from octothinker.grade.extract import boxes
from octothinker.grade.literal import literal
from octothinker.grade.normalize import MAX_LENGTH, clean
from octothinker.grade.shape import split

_DELIMITER = re.compile(r"\\\\|\\\$|\$\$?|\\[()\[\]]|\n")
_CLOSE = {"$": "$", "$$": "$$", "\\(": "\\)", "\\[": "\\]"}
_NUMBER = re.compile(
    r"(?<![A-Za-z0-9.])-?(?:[0-9]{1,3}(?:,[0-9]{3})+(?![0-9])|[0-9]{1,3}(?: [0-9]{3})+(?![0-9])|[0-9]+)"
    r"(?:[.,][0-9]+)?(?:\s?/\s?[0-9]+)?"
    r"|(?<![A-Za-z0-9])-?\.[0-9]+|-?\\frac\{[0-9]+\}\{[0-9]+\}"
)
_PERCENT = re.compile(r"\s*(?:\\?%|percent|pct|percentage)(?![a-z])")
_JOINS = re.compile(r"[^\n]{0,40}(?:,|\band\b|\bor\b)[^\n]{0,40}")
_ESCAPED_TWICE = re.compile(r"(?<!\\)\\\\(?=[a-zA-Z]{2})")
_BROKEN = re.compile(r"(?<!\$)\$[ \t]*\n[^$\n]*\n[ \t]*\$(?!\$)|\\\([ \t]*\n[^\n]*\n[ \t]*\\\)")
"""An inline formula stands on one line."""
_LISTED = re.compile(r"\s*(?:,|,?\s*(?:and|or))\s*")
_QUANTITY = re.compile(
    r"\|[A-Z]+\||\\frac\{[A-Z]+\}\{[A-Z]+\}|[A-Z]+(?:_\{?\w+\}?)?\s*[:/]\s*[A-Z]+(?:_\{?\w+\}?)?|[a-zA-Z]_\{?[0-9]\}?"
)
r"""Left sides that only name what is asked for: |AB|, \frac{AB}{CD}, S_1:S_2, x_1."""
_ROUNDED = re.compile(r"\\[dt]?frac\{[0-9.]+\}\{[0-9.]+\}|[0-9]*\.[0-9]+|(?<![0-9./])[0-9]+/[0-9]+")
_COMMA = re.compile(",")
_ANCHORS = (
    re.compile(r"final answer[^\n]{0,200}?\bis:?(?=\s)", re.IGNORECASE),
    re.compile(r"final answer:?|answer:|answer is", re.IGNORECASE),
)


def whole(text: str) -> str | None:
    """The answer of a free text as the content of a box; None: none is there, or it was cut off inside a box."""
    answer = _find(_BROKEN.sub(" ", _ESCAPED_TWICE.sub(r"\\", text)))
    return None if answer is None else _value(answer.replace("\\quad", "\\quad "))


def rounded(text: str, places: int) -> str:
    """The text with its decimals and fractions of numbers rounded: what a user grants who says `places`."""

    def one(match: re.Match[str]) -> str:
        number = literal(match.group())
        return match.group() if number is None else f"{float(round(number.value, places)):.{places}f}"

    return _ROUNDED.sub(one, text)


def _find(text: str) -> str | None:
    found, cut_off = boxes(text)
    if cut_off:
        return None
    end = found[-1][2] if found else 0
    tail = _last_anchor(_ANCHORS[0], text, end)
    if tail is not None and (answer := _first(tail)):
        return answer
    if found:
        last = len(found) - 1
        while last and found[last - 1][2] < found[last][0] and _joined(text[found[last - 1][2] + 1 : found[last][0]]):
            last -= 1
        parts = [text[content:stop].strip() for _, content, stop in found[last:]]
        return ", ".join(parts) + _percent(text, end + 1)
    for anchor in _ANCHORS:
        tail = _last_anchor(anchor, text, 0)
        if tail is not None and (answer := _first(tail)):
            return answer
    things = _things(text)
    return things[-1][2] if things else None


def _last_anchor(anchor: re.Pattern[str], text: str, start: int) -> str | None:
    """The text after the last `anchor`, up to "I hope"."""
    ends = [match.end() for match in anchor.finditer(text, start)]
    return text[ends[-1] :].split("I hope", 1)[0] if ends else None


def _first(tail: str) -> str | None:
    """The first formula or number of what follows an anchor, if it follows soon."""
    things = _things(tail)
    return things[0][2] if things and things[0][0] <= 100 else None


def _formulas(text: str) -> Iterator[tuple[int, int, str]]:
    """(start, end, content), in one pass. An inline formula ends with its line at the latest, and is none then."""
    opening, start, content = "", 0, 0
    for match in _DELIMITER.finditer(text):
        token = match.group()
        if not opening:
            if token in _CLOSE:
                opening, start, content = token, match.start(), match.end()
        elif token == _CLOSE[opening] or (opening, token) == ("$", "$$"):
            if inner := text[content : match.start()].strip():
                yield start, match.end(), inner
            opening = ""
        elif token == "\n" and opening in ("$", "\\("):
            opening = ""


def _things(text: str) -> list[tuple[int, int, str]]:
    """Formulas (those joined by `,` or `and` as one) and numbers outside them: (start, end, content), in their order."""
    out: list[tuple[int, int, str]] = []
    at, formula = 0, False
    for start, end, inner in _formulas(text):
        _numbers(text, at, start, out)
        content = inner + _percent(text, end)
        joined = formula and len(out[-1][2]) < MAX_LENGTH and _LISTED.fullmatch(text[at:start])
        if joined:
            out[-1] = (out[-1][0], end, f"{out[-1][2]}, {content}")
        else:
            out.append((start, end, content))
        at, formula = end, True
    _numbers(text, at, len(text), out)
    return out


def _numbers(text: str, start: int, end: int, out: list[tuple[int, int, str]]) -> None:
    for match in _NUMBER.finditer(text, start, end):
        number = match.group()
        if re.fullmatch(r"-?(?:0|[0-9]+),[0-9]+", number) and not re.fullmatch(r"-?[1-9][0-9]{0,2},[0-9]{3}", number):
            number = number.replace(",", ".")  # a decimal comma
        if number.startswith("-") and re.search(r"[0-9)]\s*$", text[max(0, match.start() - 20) : match.start()]):
            number = number[1:]
        out.append((match.start(), match.end(), number + _percent(text, match.end())))


def _percent(text: str, at: int) -> str:
    """What follows a formula or number may be its percent sign."""
    return "\\%" if _PERCENT.match(text[at : at + 14].replace("$", " ")) else ""


def _joined(gap: str) -> bool:
    return _JOINS.fullmatch(gap) is not None or (len(gap) <= 40 and not re.search("[A-Za-z0-9]", gap))


def _value(answer: str) -> str:
    """What is said of the thing asked for: of `a = b = c` the end, without its name; lists as lists.

    `x = 5` and `x + y = 1` stay: the grader reads assignments and equations.
    """
    if len(answer) > 2 * MAX_LENGTH:  # no final answer
        return answer
    text = clean(answer)
    if ";" in text and "=" in text:  # `p=5,q=2;p=7,q=2`: points
        groups = [split(group, _COMMA)[0] for group in text.split(";")]
        return ", ".join("(" + ",".join(part.rpartition("=")[2] for part in group) + ")" for group in groups)
    items, commas = split(text, _COMMA)
    if not commas:
        inner = split(text[1:-1], _COMMA)[1] if text.startswith("{") and text.endswith("}") else []
        return f"\\{{{text[1:-1]}\\}}" if inner else _end(answer)
    if all("=" in item and _QUANTITY.fullmatch(item.partition("=")[0].strip()) for item in items):
        return ", ".join(item.partition("=")[2] for item in items)
    if all(item.startswith("(") for item in items):  # a point named twice is one point
        return ", ".join(dict.fromkeys(item.replace(" ", "") for item in items))
    return answer


def _end(answer: str) -> str:
    parts, operators = split(answer, re.compile(r"=|\\approx(?![a-zA-Z])"))
    if "\\approx" in operators:
        parts = parts[: operators.index("\\approx") + 1] if len(parts) > 2 else parts
    named = _QUANTITY.fullmatch(parts[0]) or not re.search(r"(?<![\\a-z])[a-zA-Z]", "".join(parts))
    return parts[-1] if len(parts) > 2 or (named and operators == ["="]) else answer
