"""What extraction takes and gives: limits, pages, formulas, and the reason why a page gives nothing."""

from __future__ import annotations

import codecs
import re
from dataclasses import dataclass
from typing import NamedTuple

MARKUP = re.compile(r"<(/?)([a-zA-Z][a-zA-Z0-9:]*)[^<>]*?(/?)>")


def names(text: str) -> frozenset[str]:
    return frozenset(text.split())


IMPLIED_END = names(
    "p li td th tr dt dd option thead tbody tfoot colgroup rt rp html body head "
    "br img hr input meta link area base col embed source track wbr param frame"
)
"""Elements that end without an end tag, so that their start tags say nothing about depth."""
SCAN_DEPTH_FROM = 10_000
"""Tags in a page before its depth is counted: parsing takes time quadratic in the depth."""
UNWANTED = re.compile("[\0\ufdd0-\ufdef]")
"""NUL, and noncharacters of Unicode: no text has them, and the walk marks formulas with some."""


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Beyond these a page is given up, under the reason of that name."""

    bytes: int = 5_000_000
    depth: int = 512  # as browsers do
    formulas: int = 5_000
    seconds: float = 10.0
    """A page's time, counted by the process outside (pool.py): only there can it be held."""


class PageError(ValueError):
    """A page that gives no text; `reason` is one word, to be counted."""

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(f"{reason}: {detail}" if detail else reason)
        self.reason = reason


class Formula(NamedTuple):
    """TeX without delimiters; `kind` says what it was read from: annotation, mathml, script, image, delimited, …"""

    tex: str
    display: bool
    kind: str


class Page(NamedTuple):
    """Light Markdown; each formula stands in `text` as `$tex$` or `$$tex$$`, in the order of `formulas`."""

    title: str
    text: str
    formulas: list[Formula]


def decode(html: str | bytes, charset: str | None = None) -> str:
    """Text of a page: UTF-8 if it is that, else the charset of the HTTP header, else what the bytes look like."""
    if isinstance(html, str):
        return UNWANTED.sub("", html)
    try:
        text = html.decode()
    except UnicodeDecodeError:
        from resiliparse.parse.encoding import bytes_to_str, detect_encoding

        encoding = charset if charset and _known(charset) else detect_encoding(html) or "utf-8"
        return UNWANTED.sub("", bytes_to_str(html, encoding))
    return UNWANTED.sub("", text) if b"\0" in html or b"\xef\xb7" in html else text  # their first bytes in UTF-8


def _known(charset: str) -> bool:
    try:
        return bool(codecs.lookup(charset))
    except LookupError:
        return False


def check_depth(html: str, depth: int) -> None:
    """PageError when the elements of a long page nest deeper than any real page's; found without building its tree."""
    if html.count("<") < SCAN_DEPTH_FROM:
        return
    level = 0
    for end, name, closed in MARKUP.findall(html):
        if not closed and name.lower() not in IMPLIED_END:
            level = max(level - 1, 0) if end else level + 1
            if level > 8 * depth:
                raise PageError("too_deep", f"more than {depth} elements within each other")
