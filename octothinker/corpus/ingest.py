"""Documents that are text already (jsonl, parquet, the hub) into the shards that all further steps read.

sources ─ rows ─ every shards-th, or every shards-th file ─> 00000.jsonl.zst … with metadata.source and metadata.year
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

from datatrove.data import Document
from datatrove.pipeline.base import PipelineStep

from octothinker.config import Source
from octothinker.corpus.config import Engine
from octothinker.corpus.flow import Sieve, run_tasks, settle, writer
from octothinker.corpus.pages import GIVEN_UP, Extraction, Web, WebPages, content_of_pages
from octothinker.corpus.recipe import Corpus
from octothinker.data.documents import call_generator, renderer
from octothinker.data.files import Position, Row, find, read
from octothinker.data.stages import check_unchanged, content_of
from octothinker.typed import check, not_identity, version

ID_FIELDS, DATE_FIELDS = ("id", "url", "uuid"), ("year", "date", "timestamp", "warc_date", "created", "crawl")


@dataclass(frozen=True, kw_only=True)
class Ingest:
    """What is read; `content` says what pages and sources hold, wherever they lie."""

    pages: dict[str, Web] = field(metadata={"identity": False})
    sources: dict[str, Source] = field(metadata={"identity": False})
    content: dict[str, dict[str, Any]]
    extraction: Extraction
    shards: int
    drop_limit: float = not_identity(0.95)
    engine: Engine = field(default_factory=Engine, metadata={"identity": False})

    def __post_init__(self) -> None:
        check(self.shards > 0, "shards must be at least 1")

    @classmethod
    def of(cls, corpus: Corpus) -> Ingest:
        return cls(
            pages=corpus.pages,
            sources=corpus.sources,
            content=_content(corpus.pages, corpus.sources),
            extraction=corpus.extraction,
            shards=corpus.shards,
        )


def _content(pages: dict[str, Web], sources: dict[str, Source]) -> dict[str, dict[str, Any]]:
    found = {f"pages.{name}": content_of_pages(web) for name, web in pages.items()}
    return found | {f"sources.{name}": content_of(f"sources.{name}", source) for name, source in sources.items()}


def document_of(row: Row, text: str, source: str) -> Document:
    """A document named by its own id or address, else by its place; every other plain field becomes metadata."""
    fields = dict(row.fields)
    nested = fields.pop("metadata", None)
    fields |= nested if isinstance(nested, dict) else {}
    fields.pop("text", None)
    name = next((fields[key] for key in ID_FIELDS if isinstance(fields.get(key), str) and fields[key]), None)
    metadata = {
        key: value for key, value in fields.items() if isinstance(value, (str, int, float, bool)) and key != "id"
    }
    metadata["source"] = source
    year = year_of(metadata)
    if year:
        metadata["year"] = year
    return Document(text=text, id=name or f"{source}:{Path(row.label).name}:{row.number}", metadata=metadata)


def year_of(metadata: dict[str, Any]) -> str:
    """The year in the first of the usual fields that has one; "" without."""
    for key in DATE_FIELDS:
        match = re.search(r"(?<!\d)(?:19|20)\d\d(?!\d)", str(metadata.get(key, "")))
        if match:
            return match[0]
    return ""


class Rows(PipelineStep):
    """A task's share of all sources, after what the step before it reads."""

    name, type = "rows", "reader"

    def __init__(self, sources: dict[str, Source]) -> None:
        super().__init__()
        self.sources = sources

    def run(self, data: Any, rank: int = 0, world_size: int = 1) -> Iterator[Document]:
        yield from data or ()
        for name, source in self.sources.items():
            render, _ = renderer(source)
            for row in share(source, rank, world_size):
                text = render(row)
                yield document_of(row, text, name)


def share(source: Source, rank: int, world: int) -> Iterator[Row]:
    """Whole files where there are enough of them for all tasks, else every `world`-th row of each."""
    if source.generator is not None:
        every = (
            Row(source.generator, n, row) for n, row in enumerate(call_generator(source.generator, source.args), 1)
        )
        yield from islice(every, rank, source.max_documents, world)
        return
    files = list(find(source.path or "").values())
    if len(files) >= world and source.max_documents is None:
        for file in files[rank::world]:
            yield from read(file, Position())
    else:
        rows = (row for file in files for row in read(file, Position()))
        yield from islice(rows, rank, source.max_documents, world)


class WithText:
    """A document without text is none, whatever the reason."""

    def __call__(self, document: Document) -> str | None:
        return document.metadata.get(GIVEN_UP) or (None if document.text.strip() else "empty")


@version(1)
def ingest_stage(config: Ingest, inputs: dict[str, Path], out: Path) -> dict[str, Any]:
    """Reads pages and sources into `shards` shards."""
    content = _content(config.pages, config.sources)
    for name, planned in config.content.items():
        check_unchanged(name, planned, content[name])
    steps: list[PipelineStep] = [WebPages(config.pages, config.extraction)] if config.pages else []
    run_tasks([*steps, Rows(config.sources), Sieve(WithText(), out), writer(out)], config.shards, out, config.engine)
    return settle(out, config.shards, config.drop_limit)
