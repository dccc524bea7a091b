"""Where the answer is in a response: the last complete box, the text after an anchor, the last number.

All of it is linear in the length of the text: a response may be a megabyte of open braces.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from octothinker.grade.verdict import Item

_BRACE = re.compile(r"\\{1,2}boxed\s*\{|\\.|[{}]", re.DOTALL)
_NUMBER = re.compile(
    r"(?<![0-9.])-?\s?\$?(?:[1-9][0-9]{0,2}(?:,[0-9]{3})+(?![0-9])|[0-9]+)(?:\.[0-9]+)?(?:\s?/\s?[0-9]+(?![0-9.]))?|-?\.[0-9]+"
)
_SENTENCE_END = re.compile(r"[.!?](?=\s|$)")


def boxes(text: str) -> tuple[list[tuple[int, int, int]], bool]:
    """The boxes whose brace is closed, by counting braces (escaped ones do not count), as (start, content, end) in the order
    in which they open; and whether one was left open behind all of them. A box without braces (`\\boxed 5`) is none."""
    start = text.find("\\boxed")
    found: list[tuple[int, int, int]] = []
    open_braces: list[tuple[int, int]] = []  # (where its box starts or -1, where its content starts)
    for match in _BRACE.finditer(text, start) if start >= 0 else ():
        token = match.group()
        if token[-1] == "{" and token != "\\{":
            open_braces.append((match.start() if len(token) > 1 else -1, match.end()))
        elif token == "}" and open_braces:
            box, content = open_braces.pop()
            if box >= 0:
                found.append((box, content, match.start()))
    found.sort()
    return found, any(box > (found[-1][0] if found else -1) for box, _ in open_braces)


def boxed(text: str) -> str | None:
    """Content of the last \\boxed{…} that is closed; else None. Of two nested boxes the inner one is the last."""
    found, _ = boxes(text)
    return text[found[-1][1] : found[-1][2]].strip() if found else None


def last_number(text: str) -> str | None:
    """The last number: thousands commas, decimals and a/b kept whole; `20-5` ends in 5; "1,600." is 1,600."""
    found = None
    for match in _NUMBER.finditer(text):
        found = match
    return None if found is None else _signed(text, found)


def first_number(text: str) -> str | None:
    """As `last_number`, the first one."""
    found = _NUMBER.search(text)
    return None if found is None else _signed(text, found)


def _signed(text: str, match: re.Match[str]) -> str:
    """A minus behind a digit or a bracket, or in the middle of a word, is an operator, not a sign."""
    number, before = match.group(), text[max(0, match.start() - 40) : match.start()]
    if number.startswith("-") and (before[-1:].isalpha() or re.search(r"[0-9)\]}%]\s*$", before)):
        number = number[1:]
    return number.replace("$", "").replace(" ", "")


def after_anchor(text: str, anchor: str) -> str | None:
    """The rest of the line after the last `anchor` (any case), without the Minerva ending "I hope it is correct."."""
    ends = [match.end() for match in re.finditer(re.escape(anchor), text, re.IGNORECASE)]
    if not ends:
        return None
    line = text[ends[-1] :].lstrip(" :").split("\n", 1)[0]
    return line.split("I hope it is", 1)[0].strip() or None


def cut(text: str, continuations: Iterable[str]) -> str:
    """`text` up to the first of the strings with which a model goes on to a problem of its own."""
    places = [place for place in (text.find(string) for string in continuations if string) if place >= 0]
    return text[: min(places)] if places else text


def answer_of(item: Item, gold_is_number: bool) -> str | None:
    """The answer in a response by the item's rule; None: there is none."""
    if item.rule == "boxed":
        return boxed(item.response) or None
    numeric = item.answer == "number" and gold_is_number
    tail = after_anchor(item.response, item.anchor)
    if tail is not None:
        return boxed(tail) or (_number_in(tail) if numeric else tail) or tail
    box = boxed(item.response)
    if box:
        return box
    return last_number(item.response) if numeric and not item.truncated else None


def _number_in(tail: str) -> str | None:
    """`18 dollars. She has 3 left` -> 18; `5 + 3 = 8` -> 8: the first number of the sentence, after its last `=`."""
    end = _SENTENCE_END.search(tail)
    sentence = tail[: end.start()] if end else tail
    return first_number(sentence.rsplit("=", 1)[-1])
