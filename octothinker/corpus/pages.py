"""Web pages into documents, in the two passes that the field came to: a cheap look at every page, then extraction.

    pages ─ plain text ─ language of its prose ─> survivors ─ maths-aware extraction (a worker with limits) ─> documents

The first pass costs a tenth of the second. A page that is given up is a document without text that says why, and the ledger
counts it under that reason, as it does broken records of an archive.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

from datatrove.data import Document
from datatrove.pipeline.base import PipelineStep

from octothinker.corpus.config import Language
from octothinker.corpus.extract import Limits, plain_text
from octothinker.corpus.extract.page import PageError, decode
from octothinker.corpus.extract.pool import extract_all
from octothinker.corpus.language import LanguageJudge
from octothinker.corpus.read import RawPage, Reader
from octothinker.data.files import sha256
from octothinker.typed import digest

GIVEN_UP = "given_up"
"""Metadata field with the reason why there is no text."""


@dataclass(frozen=True, kw_only=True)
class Web:
    """Pages from archives (.warc, .gz, .zst), folders of HTML, or rows with a field of HTML."""

    path: str
    """A file, folder or glob, here or at any address that fsspec opens."""
    field: str | None = None
    """The field with the HTML in rows; None: found by its name."""
    year: str = ""
    """Where pages carry no date of their own."""
    licence: str = ""


@dataclass(frozen=True, kw_only=True)
class Extraction:
    """The limits of a page, and the language it must be in to be worth extracting."""

    limits: Limits = field(default_factory=Limits)
    recall: Language | None = field(default_factory=lambda: Language(minimum=0.5, characters=1500))
    """The first pass drops what is in another language for sure (`minimum`); None: every page is extracted."""


def content_of_pages(web: Web) -> dict[str, Any]:
    """What the pages are, wherever they lie: checksums of files here, names and sizes of what lies elsewhere."""
    files = Reader(web.path, web.field).files
    named = {str(Path(name).name): sha256(Path(name)) if Path(name).is_file() else size for name, size in files.items()}
    return {
        "files": digest([sorted(map(str, named.items()))]),
        "count": len(files),
        "field": web.field,
        "year": web.year,
    }


class WebPages(PipelineStep):
    """A task's share of all pages: whole files where there are enough for all tasks, else every `world`-th page."""

    name, type = "pages", "reader"

    def __init__(self, sources: dict[str, Web], extraction: Extraction) -> None:
        super().__init__()
        self.sources, self.extraction = sources, extraction
        self.language = LanguageJudge(extraction.recall) if extraction.recall else None

    def run(self, data: Any, rank: int = 0, world_size: int = 1) -> Iterator[Document]:
        for name, web in self.sources.items():
            reader = Reader(web.path, web.field)
            whole = len(reader.files) >= world_size
            if whole:
                reader.files = dict(list(reader.files.items())[rank::world_size])
            yield from self._pages(iter(reader) if whole else islice(reader, rank, None, world_size), name, web)
            if whole or rank == 0:  # else every task meets the same broken records
                yield from _broken(reader, name)

    def _pages(self, pages: Iterator[RawPage], name: str, web: Web) -> Iterator[Document]:
        gone: list[Document] = []

        def survivors() -> Iterator[RawPage]:
            for raw in pages:
                reason = self._foreign(raw)
                if reason is None:
                    yield raw
                else:
                    gone.append(_document(raw, name, web, "", {GIVEN_UP: reason}))

        for result in extract_all(survivors(), 1, self.extraction.limits):
            yield from gone
            gone.clear()
            if result.page is None:
                yield _document(result.raw, name, web, "", {GIVEN_UP: result.reason, "detail": result.detail[:200]})
            else:
                kinds = dict(sorted(Counter(formula.kind for formula in result.page.formulas).items()))
                yield _document(
                    result.raw, name, web, result.page.text, {"title": result.page.title, "formulas": kinds}
                )
        yield from gone

    def _foreign(self, raw: RawPage) -> str | None:
        """Why the first pass gives a page up. Only a language that is found counts: extraction may find more text."""
        if self.language is None or len(raw.html) > self.extraction.limits.bytes:
            return None
        try:
            text = plain_text(decode(raw.html, raw.charset), self.extraction.limits)
        except PageError:  # extraction will say the same, and count it
            return None
        language, probability = self.language.detect(text)
        config = self.language.config
        return (
            f"not_{'_'.join(config.keep)}"
            if language and language not in config.keep and probability >= config.minimum
            else None
        )


def _document(raw: RawPage, name: str, web: Web, text: str, more: dict[str, Any]) -> Document:
    key = hashlib.blake2b(b"\0".join([raw.url.encode("utf-8", "replace"), raw.date.encode(), raw.html]), digest_size=12)
    metadata = {
        "url": raw.url,
        "source": name,
        "year": (raw.date or web.year)[:4],
        "date": raw.date,
        "licence": web.licence,
        **more,
    }
    return Document(text=text, id=key.hexdigest(), metadata={k: v for k, v in metadata.items() if v != ""})


def _broken(reader: Reader, name: str) -> Iterator[Document]:
    """A document without text for every record that could not be read."""
    for reason, number in sorted(reader.broken.items()):
        places = reader.samples.get(reason, [])
        for i in range(number):
            where = places[i] if i < len(places) else ""
            yield Document(
                text="", id=f"{name}:{reason}:{i}", metadata={GIVEN_UP: reason, "where": where, "source": name}
            )
