"""Quality by the shape of a text: repeated lines, loops, menus, tables of numbers, pages with hardly a word.

Repeated lines and paragraphs are datatrove's `GopherRepetitionFilter` (Rae et al. 2021, table A1). Its rules on n-grams, and
FineWeb's and Gopher's quality filters, are left out: made for general prose, they drop a third to three quarters of maths
pages for symbols and lists, the n-grams at a fraction of the speed (`octo bench corpus filters` counts). Loops of words,
which the n-grams are there for, show in how well a text compresses.
"""

from __future__ import annotations

import re
import zlib
from functools import cached_property
from pathlib import Path
from typing import Any

from datatrove.data import Document
from datatrove.pipeline.filters.gopher_repetition_filter import GopherRepetitionFilter
from datatrove.utils.word_tokenizers import WordTokenizer

from octothinker.corpus.config import Filters
from octothinker.corpus.flow import sift
from octothinker.typed import version

SHORT_LINE = 30
_FORMULA = re.compile(r"\$\$.*?\$\$|\$[^$\n]{1,400}\$", re.DOTALL)
_MARKUP = re.compile(r"^(?:```\w*|[^\w\n]+)$\n?", re.MULTILINE)
"""Fences of code and rules of tables: the same line on every page that has any."""


class Words(WordTokenizer):
    """Words between spaces. (datatrove's own choice for English is spaCy, which cuts TeX to pieces, slowly.)"""

    def word_tokenize(self, text: str) -> list[str]:
        return text.split()

    def sent_tokenize(self, text: str) -> list[str]:
        return [line for line in text.split("\n") if line.strip()]

    def span_tokenize(self, text: str) -> list[tuple[int, int]]:
        return [match.span() for match in re.finditer(r"[^\n]+", text)]


class FilterJudge:
    """The first rule that a document breaks is the reason it is dropped for."""

    def __init__(self, config: Filters) -> None:
        self.config = config

    @cached_property
    def repetition(self) -> GopherRepetitionFilter:
        return GopherRepetitionFilter(language=Words(), top_n_grams=(), dup_n_grams=())

    def __call__(self, document: Document) -> str | None:
        text, config = document.text, self.config
        prose = _FORMULA.sub(" ", text)
        words = len(prose.split())
        if words < config.min_words:
            return "too_short"
        if words > config.max_words:
            return "too_long"
        lines = [line for line in text.split("\n") if line.strip()]
        if sum(len(line) <= SHORT_LINE for line in lines) > config.max_short_lines * len(lines):
            return "short_lines"
        letters = sum(map(str.isalpha, prose))
        if letters < config.min_letters * (len(prose) - sum(map(str.isspace, prose))):
            return "few_letters"
        raw = text.encode("utf-8", "replace")
        if len(zlib.compress(raw, 1)) < config.min_compressed * len(raw):
            return "loops"
        if config.repetition:
            found = self.repetition.filter(Document(text=_MARKUP.sub("", text), id=document.id))
            if found is not True:
                return f"repetition_{found[1]}" if isinstance(found, tuple) else "repetition"
        return None


@version(1)
def filters_stage(config: Filters, inputs: dict[str, Path], out: Path) -> dict[str, Any]:
    """inputs: `documents`. Keeps what reads like a text."""
    return sift(FilterJudge(config), inputs["documents"], out, config.engine, config.drop_limit)
