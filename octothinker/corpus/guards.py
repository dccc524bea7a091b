"""Whether a rewrite may stand for its source: it keeps numbers, formulas and language, neither runs away nor repeats itself.

Pure functions of two texts; what a model wrote is compared, never evaluated. The guards see what is countable. That a kept
number still says the same they cannot see.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Set
from dataclasses import dataclass
from typing import Any

from octothinker.grade.repetition import repetition_rate
from octothinker.typed import check

_MARKS = re.compile(r"\\\\|\\\$|\$\$|\$|\\[\[\]()]|\n")
_CLOSES = {"$$": "$$", "$": "$", "\\[": "\\]", "\\(": "\\)"}
_NUMBER = re.compile(r"\d+(?:[.,]\d+)*")
_WORD = re.compile(r"[^\W_]+|[^\w\s]")
_DRESS = re.compile(r"\\(?:displaystyle|textstyle|left|right|limits|[,;:!]| )(?![A-Za-z])|[\s{}]|[.,;:]+$")
_REFUSAL = re.compile(
    r"\W*(?:i(?:['’]m| am)(?: very)? sorry\b|sorry, (?:but )?i\b|i apologi[sz]e\b|as an ai\b"
    r"|i (?:can(?:not|['’]t)|am (?:not able|unable) to|won['’]t be able to) (?:help|assist|rewrite|provide|do|comply|process)\b"
    r"|i don['’]t (?:see|have) (?:any|the) text\b|(?:please )?(?:provide|share|paste) (?:me )?(?:with )?the text\b)",
    re.IGNORECASE,
)
_PREAMBLE = re.compile(
    r"\A\s*(?:(?:sure|certainly|of course|okay|ok)[!,.]?\s*)?(?:here(?: is|['’]s)|below is)\b[^\n]{0,150}:\s*\n",
    re.IGNORECASE,
)
_FENCE = re.compile(r"\A\s*```(?:\w+)?[ \t]*\n(.*)\n```\s*\Z", re.S)
_TAGS = re.compile(r"\A\s*<document>\s*\n?(.*?)\n?\s*</document>\s*\Z", re.S)


@dataclass(frozen=True, kw_only=True)
class Guards:
    """Limits for a rewrite, each on one chunk and what became of it."""

    min_length: float = 0.3
    """Characters of the rewrite, of those of its source."""
    max_length: float = 1.6
    min_numbers: float = 0.8
    """Share of the source's distinct numbers that stand in the rewrite."""
    max_new_numbers: float = 0.4
    """Share of the rewrite's distinct numbers of several digits that stand nowhere in the source."""
    min_formulas: float = 0.8
    """Share of the source's distinct formulas that stand in the rewrite, white space, braces and \\left, \\right apart."""
    max_repetition: float = 0.15
    """How much larger the share of repeated 8-grams may be than the source's."""

    def __post_init__(self) -> None:
        check(0 <= self.min_length <= self.max_length, "guards: min_length must lie between 0 and max_length")


def tidy(answer: str) -> str:
    """The rewrite without what models put around it: `Here is the text:`, a code fence or the document's tags about it all."""
    text = _PREAMBLE.sub("", answer, count=1)
    for wrapping in (_FENCE, _TAGS):
        match = wrapping.match(text)
        if match and "```" not in match[1]:
            text = match[1]
    return text.strip()


def numbers(text: str) -> set[str]:
    """Distinct numbers as written, thousands' commas apart: `1,000` and `1000` are one."""
    found = (match[0] for match in _NUMBER.finditer(text))
    return {n.replace(",", "") if re.fullmatch(r"\d{1,3}(?:,\d{3})+(?:\.\d+)?", n) else n for n in found}


def formulas(text: str) -> set[str]:
    """Distinct formulas between dollars or \\( \\), \\[ \\], without what changes only their looks. A lone letter or number is
    none: prose may well say it without dollars. `$` begins one only before, and ends one only after, what is no blank: $5 or $6
    is money. Linear in the text."""
    found = set()
    start, wanted = 0, ""
    for mark in _MARKS.finditer(text):
        token, at = mark[0], mark.start()
        if token == "\n" and wanted == "$":
            wanted = ""
        elif (
            wanted
            and token == wanted
            and not (token == "$" and (text[at - 1].isspace() or text[at + 1 : at + 2].isdigit()))
        ):
            plain = _DRESS.sub("", text[start:at])
            found |= {plain} if len(plain) > 1 and not plain.isdecimal() else set()
            wanted = ""
        elif token in _CLOSES and (not wanted or wanted == token == "$"):
            start = mark.end()
            wanted = "" if token == "$" and text[start : start + 1].isspace() else _CLOSES[token]
    return found


def share_kept(source: Set[str], rewrite: Set[str]) -> float:
    """Share of `source` in `rewrite`; 1 when there was nothing to keep."""
    return len(source & rewrite) / len(source) if source else 1.0


def measure(source: str, rewrite: str) -> dict[str, float]:
    """What the guards look at: `length`, `numbers`, `new_numbers`, `formulas`, `repetition`."""
    before, after = numbers(source), numbers(rewrite)
    words = [_WORD.findall(text) for text in (source, rewrite)]
    return {
        "length": len(rewrite) / max(len(source), 1),
        "numbers": share_kept(before, after),
        "new_numbers": 1.0 - share_kept({n for n in after if len(n) > 1}, before),  # 1. 2. 3. are often a list's
        "formulas": share_kept(formulas(source), formulas(rewrite)),
        "repetition": max(0.0, repetition_rate(words[1]) - repetition_rate(words[0])),
    }


def reject(
    source: str, rewrite: str, cut_short: bool, guards: Guards, language: Callable[[str], str]
) -> tuple[str | None, dict[str, Any]]:
    """(why the rewrite must not stand for its source, or None; its measures). `language` names a text's, or ""."""
    if not rewrite.strip():
        return "empty", {}
    if cut_short:
        return "cut_short", {}
    if _REFUSAL.match(rewrite) and not _REFUSAL.match(source):
        return "refused", {}
    found = measure(source, rewrite)
    if found["repetition"] > guards.max_repetition:
        return "repeats", found
    if found["length"] > guards.max_length:
        return "too_long", found
    if found["length"] < guards.min_length:
        return "too_short", found
    if found["formulas"] < guards.min_formulas:
        return "lost_formulas", found
    if found["numbers"] < guards.min_numbers:
        return "lost_numbers", found
    if found["new_numbers"] > guards.max_new_numbers:
        return "new_numbers", found
    before, after = language(source), language(rewrite)
    if before and after and before != after:
        return "other_language", {**found, "language": after}
    return None, found
