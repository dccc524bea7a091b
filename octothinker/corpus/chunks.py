"""A long text in pieces that a model can rewrite one by one, cut where a reader would pause, never inside a formula."""

from __future__ import annotations

import bisect
import re

_MARKS = re.compile(r"\$\$|\\\[|\\\]|```|\\(?:begin|end)\{\w+\*?\}")
_CLOSES = {"$$": "$$", "\\[": "\\]", "```": "```"}
_PLACES = [re.compile(place) for place in (r"\n[ \t]*\n\s*", r"\n", r"(?<=[.!?])\s+", r"\s+")]
"""Ends of paragraphs before ends of lines, of sentences, of words."""


def chunks(text: str, limit: int) -> list[str]:
    """Pieces of at most `limit` characters that are the text when they are joined. A formula or a word of more than `limit`
    is cut all the same. Linear in the text, whatever is in it."""
    whole = _blocks(text, limit)
    pieces, start = [], 0
    while len(text) - start > limit:
        end = _cut(text, start, start + limit, whole)
        pieces.append(text[start:end])
        start = end
    return [*pieces, text[start:]]


def _blocks(text: str, limit: int) -> list[tuple[int, int]]:
    """Where displayed formulas, code and environments of at most `limit` characters begin and end: what is not cut."""
    found: list[tuple[int, int]] = []
    start, wanted = 0, ""
    for mark in _MARKS.finditer(text):
        if wanted and mark.start() - start > limit:
            wanted = ""  # it was never closed
        if wanted:
            if mark[0] == wanted:
                found.append((start, mark.end()))
                wanted = ""
        elif mark[0].startswith("\\begin"):
            start, wanted = mark.start(), mark[0].replace("begin", "end", 1)
        else:
            start, wanted = mark.start(), _CLOSES.get(mark[0], "")
    return [(a, b) for a, b in found if b - a <= limit]


def _cut(text: str, start: int, end: int, whole: list[tuple[int, int]]) -> int:
    """The best place to cut in the second half of [start, end], else anywhere in it."""

    def good(at: int) -> bool:
        i = bisect.bisect_left(whole, (at, 0)) - 1  # the last block that begins before it
        return i < 0 or at >= whole[i][1]

    places = [[m.end() for m in place.finditer(text, start, end) if good(m.end())] for place in _PLACES]
    for low in (start + (end - start) // 2, start + 1):
        for ends in places:
            if ends and ends[-1] >= low:
                return ends[-1]
    return end


def joined(pieces: list[str], rewrites: list[str]) -> str:
    """The rewrites, parted as their sources were: by a blank line, unless the text was cut within a paragraph or a line."""
    text = before = ""
    for piece, rewrite in zip(pieces, rewrites, strict=True):
        if text:
            text += "\n\n" if re.search(r"\n[ \t]*\n\s*\Z", before) else "\n" if before.endswith("\n") else " "
        text, before = text + rewrite.strip(), piece[-200:]
    return text
