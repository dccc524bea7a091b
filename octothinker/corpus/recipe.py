"""A corpus recipe: the sources and, in this order, what is done to their documents."""

from __future__ import annotations

from dataclasses import dataclass, field

from octothinker.config import Source
from octothinker.corpus.annotate import Annotate
from octothinker.corpus.classify import Classifier, Classify
from octothinker.corpus.config import Decontaminate, Dedup, Engine, Filters, Language, Tokenise
from octothinker.corpus.pages import Extraction, Web
from octothinker.corpus.refine import Refine
from octothinker.corpus.synthesise import Synthesise
from octothinker.typed import check


@dataclass(frozen=True, kw_only=True)
class Corpus:
    """None leaves a step out."""

    name: str
    note: str = ""
    pages: dict[str, Web] = field(default_factory=dict)
    """Web pages, to be extracted."""
    sources: dict[str, Source] = field(default_factory=dict)
    """Documents that are text already."""
    extraction: Extraction = field(default_factory=Extraction)
    shards: int = 8
    """Pieces that the documents are cut into, and so tasks of every step; part of what the corpus is."""
    language: Language | None = field(default_factory=Language)
    filters: Filters | None = field(default_factory=Filters)
    annotate: Annotate | None = None
    """Scores a sample, from which `classifier` learns."""
    classifier: Classifier | None = None
    classify: Classify | None = None
    dedup: Dedup | None = field(default_factory=Dedup)
    decontaminate: Decontaminate | None = None
    """Before refinement, and again on what refinement and synthesis wrote."""
    refine: Refine | None = None
    synthesise: Synthesise | None = None
    """Questions and answers from the documents; shards of their own, since a mixture weighs them apart."""
    tokenise: Tokenise | None = None
    engine: Engine = field(default_factory=Engine, metadata={"identity": False})
    """What runs the tasks of every step that does not ask a server."""

    def __post_init__(self) -> None:
        check(bool(self.sources or self.pages), "pages, sources: a corpus is made of something")
        check(not set(self.pages) & set(self.sources), "pages and sources: the same name twice")
        check(
            (self.annotate is None) == (self.classifier is None),
            "annotate and classifier: one is of no use without the other",
        )
        check(
            self.classify is None or self.classifier is not None,
            "classify needs a classifier, and annotate the sample it learns from",
        )
