"""A sample of the documents, scored 0 to 5 by a chat model for its use in learning mathematics: what the classifier learns from.

    documents ─ strata (year, crawl, …) ─ sample ─ instruction ─ LLM ─ "Final score: n" ─> documents with metadata.score

The additive scale is FineMath's (arXiv 2502.02737), which the paper takes over; the words of the instruction are ours, and
any file can stand in their place.
"""

from __future__ import annotations

import hashlib
import heapq
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from datatrove.data import Document

from octothinker.corpus.asking import interview
from octothinker.corpus.flow import DroppedTooMuch, documents, shards
from octothinker.corpus.instruct import fill, instruction, quoted, require, shortened
from octothinker.corpus.llm import LLM, Answer, Ask
from octothinker.typed import check, not_identity, version

UNPARSED, NOT_SAMPLED = "unparsed", "not_sampled"


@dataclass(frozen=True, kw_only=True)
class Annotate:
    """A stratified sample and the question about each of its documents."""

    llm: LLM
    sample: int = 10_000
    """Documents in all."""
    stratum: str = "year"
    """Field of the metadata; `year` is also read from `date` (2023-…) and `crawl` (CC-MAIN-2023-…)."""
    allocation: Literal["equal", "proportional"] = "equal"
    """Equal numbers from each stratum, small ones whole; or as the strata are large."""
    instruction: str = field(default_factory=lambda: instruction("annotate"))
    """With {text} in it. The text itself, not a file's name: corpus.instruct.instruction("./mine.txt") reads one."""
    max_characters: int = 8000
    """Of a document that are shown: the first two thirds of that and the last third."""
    seed: int = 0
    max_unparsed: float = not_identity(0.2)
    """Largest share of the sampled documents whose answer gives no score; more stop the stage."""

    def __post_init__(self) -> None:
        require("annotate.instruction", self.instruction, "text")
        check(self.sample >= 1, f"annotate.sample={self.sample} must be at least 1")


def parse_score(answer: Answer) -> int | None:
    """n of the last line `Final score: n`, one digit from 0 to 5 and nothing else on it. None for all else: an answer cut
    short, a second and different score, `4/5`, `3.5`."""
    lines = [line.strip() for line in answer.text.split("\n") if line.strip()]
    match = re.fullmatch(r"Final score: ?([0-5])", lines[-1]) if lines and answer.finish == "stop" else None
    if match is None or any(re.match(r"\W*final score", line, re.IGNORECASE) for line in lines[:-1]):
        return None
    return int(match[1])


def stratum_of(metadata: Mapping[str, Any], name: str) -> str:
    """Which stratum a document belongs to; `unknown` when it does not say."""
    value = metadata.get(name)
    if value in (None, "") and name == "year":
        dated = re.search(r"(?<!\d)(?:19|20)\d\d(?!\d)", f"{metadata.get('date') or metadata.get('crawl') or ''}")
        value = dated[0] if dated else None
    return "unknown" if value in (None, "") else str(value)


def quotas(sizes: Mapping[str, int], sample: int, allocation: str) -> dict[str, int]:
    """How many to take of each stratum: never more than it has, `sample` in all (or everything)."""
    taken, left = dict.fromkeys(sizes, 0), min(sample, sum(sizes.values()))
    if allocation == "proportional":
        whole = max(sum(sizes.values()), 1)
        taken = {name: left * size // whole for name, size in sizes.items()}
        rest = sorted(sizes, key=lambda name: (-(left * sizes[name] % whole), name))[: left - sum(taken.values())]
        return {name: n + (name in rest) for name, n in taken.items()}
    for place, name in enumerate(sorted(sizes, key=lambda name: (sizes[name], name))):
        taken[name] = min(sizes[name], left // (len(sizes) - place))
        left -= taken[name]
    return taken


def rank(seed: int, id: str) -> int:
    """A document's place in the draw: it does not depend on the other documents or their order."""
    return int.from_bytes(
        hashlib.blake2b(f"{seed}\0{id}".encode(errors="surrogatepass"), digest_size=8).digest(), "big"
    )


def draw(folder: Path, config: Annotate) -> tuple[dict[str, int], Counter[str], dict[str, int]]:
    """(largest rank that is in the sample, size, number sampled) of each stratum; documents are read once for it."""
    sizes: Counter[str] = Counter()
    lowest: dict[str, list[int]] = {}  # negative ranks, a heap of the `sample` lowest
    for file in shards(folder):
        for document in documents(file):
            name = stratum_of(document.metadata, config.stratum)
            sizes[name] += 1
            heap = lowest.setdefault(name, [])
            if len(heap) < config.sample:
                heapq.heappush(heap, -rank(config.seed, document.id))
            else:
                heapq.heappushpop(heap, -rank(config.seed, document.id))
    taken = quotas(sizes, config.sample, config.allocation)
    limits = {name: -heapq.nlargest(n, lowest[name])[-1] for name, n in taken.items() if n}
    return limits, sizes, taken


@version(1)
def annotate_stage(config: Annotate, inputs: dict[str, Path], out: Path) -> dict[str, Any]:
    """inputs: `documents`. Keeps the sampled documents that got a score, in metadata.score; `annotation` has the reasons."""
    limits, sizes, taken = draw(inputs["documents"], config)
    scores: Counter[int] = Counter()

    def questions(document: Document) -> list[Ask]:
        limit = limits.get(stratum_of(document.metadata, config.stratum), -1)
        if rank(config.seed, document.id) > limit:
            return []
        return [Ask(fill(config.instruction, text=quoted(shortened(document.text, config.max_characters))))]

    def verdict(document: Document, answers: list[Answer]) -> str | None:
        if not answers:
            return NOT_SAMPLED
        score = parse_score(answers[0])
        if score is None:
            return f"{UNPARSED}_cut_short" if answers[0].finish == "length" else UNPARSED
        scores[score] += 1
        document.metadata |= {"score": score, "annotation": answers[0].text, "annotator": config.llm.model}
        return None

    result = interview(config.llm, questions, verdict, inputs["documents"], out, drop_limit=1.0)
    unparsed = sum(n for reason, n in result["dropped"].items() if reason.startswith(UNPARSED))
    asked = result["of_documents"] - result["dropped"].get(NOT_SAMPLED, 0)
    if unparsed > config.max_unparsed * asked:
        raise DroppedTooMuch(
            f"{unparsed} of {asked} answers give no score (max_unparsed={config.max_unparsed:g}); samples in "
            f"{out / 'ledger.json'}. Another model or instruction is needed; the answers are kept"
        )
    strata = {name: {"documents": sizes[name], "sampled": taken[name]} for name in sorted(sizes)}
    return {**result, "scores": {str(n): scores[n] for n in range(6)}, "strata": strata}
