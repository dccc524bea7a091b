"""The cheap pass for recall: all text of a page, and text without its formulas for a language model to read."""

from __future__ import annotations

import re

from octothinker.corpus.extract.page import Limits, PageError, check_depth, decode

FORMULAS = re.compile(r"\$\$.*?\$\$|\$[^$\n]{1,400}\$|\\\(.*?\\\)|\\\[.*?\\\]|\\begin\{(\w+\*?)\}.*?\\end\{\1\}|```.*?```|`[^`\n]*`", re.S)
MARKS = re.compile(r"\\[a-zA-Z]+\*?|[\d_^{}\\=+*/<>|~#&@%()\[\]•·–—-]+|(?<!\w)[b-zB-HJ-Z](?!\w)")


def plain_text(html: str | bytes, limits: Limits | None = None) -> str:
    """All text of a page, quickly: for recall over everything, before any page is worth the maths-aware extraction."""
    from resiliparse.extract.html2text import extract_plain_text

    limits = limits or Limits()
    if len(html) > limits.bytes:
        raise PageError("too_large", f"{len(html)} bytes")
    text = decode(html)
    check_depth(text, limits.depth)
    return str(extract_plain_text(text, main_content=False, alt_texts=False, links=False, form_fields=False, noscript=False))


def strip_formulas(text: str) -> str:
    """Text without TeX, code, digits, marks and single letters: on the whole text, language identification loses a third
    of the English pages on mathematics."""
    return " ".join(MARKS.sub(" ", FORMULAS.sub(" ", text)).split())
