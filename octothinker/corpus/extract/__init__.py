"""HTML -> text with its mathematics intact: `extract(html, url) -> Page`."""

from octothinker.corpus.extract.page import Formula, Limits, Page, PageError
from octothinker.corpus.extract.plain import plain_text, strip_formulas
from octothinker.corpus.extract.walk import extract

__all__ = ["Formula", "Limits", "Page", "PageError", "extract", "plain_text", "strip_formulas"]
