"""Test questions in training texts: a document that holds a large share of a question's 5-grams in one place goes.

    questions ─ words ─ 5-grams ─> index (sorted hashes) <─ look up ─ 5-grams of a document
    hits of one question, close together, >= coverage of its n-grams ─> drop, with the matched words as evidence

A run of 13 words, what most published checks look for, cannot exist in a question of twelve, and is broken by one changed word;
shares of short n-grams survive both. Hits count only within a stretch of the question's own size: a manual of 100,000 words
holds half the phrases of any question somewhere. A question with too few n-grams of its own must stand there whole.
The words are those of data/overlap.py, which `octo contamination` uses.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from datatrove.data import Document

from octothinker.corpus.config import Decontaminate
from octothinker.corpus.flow import TASKS, sift
from octothinker.corpus.minhash import Array, shingles
from octothinker.data.overlap import question_words, words
from octothinker.records import read_jsonl, write_text
from octothinker.typed import ConfigError, version

EVIDENCE = "evidence.jsonl"
SHORT_WORDS = 2
"""Different words of three letters or more that a question must have to count whole, and a number, or so many words in all
(PHRASE): `In the following` stands anywhere."""
PHRASE = 8
FEW = 5
"""Of so few n-grams at most one may be missing: `the following is an example of a` are three of some question's five."""
SLACK = 1.5
"""Words of a stretch in which hits count, as a multiple of the question's."""


@dataclass(frozen=True)
class Hit:
    """A question in a document."""

    set: str
    problem: str
    coverage: float
    """Share of the question's n-grams that stand in the stretch."""
    text: str
    """The stretch: words of the document, normalised."""


class Coverage:
    """The n-grams of the questions of some benchmarks, {set: [(id, question)]}."""

    def __init__(self, sets: Mapping[str, Sequence[tuple[str, str]]], config: Decontaminate) -> None:
        self.config = config
        self.problems: list[tuple[str, str]] = []
        self.lengths: list[int] = []
        """Words of each question."""
        grams: list[Array] = []
        texts: dict[str, int] = {}  # the same question in two benchmarks is one
        for name, rows in sets.items():
            for problem, question in rows:
                text = " ".join(question_words(question))
                if text not in texts:
                    texts[text] = len(texts)
                    self.problems.append((name, problem))
                    self.lengths.append(text.count(" ") + 1)
        flat, starts = shingles(list(texts), config.n)
        own, enough, kept, self.needed = list[Array](), list[bool](), list[Array](), list[float]()
        for text, (start, end) in zip(texts, pairwise(starts), strict=True):
            long = [len(word) >= 3 and word.isalpha() for word in text.split()]
            # `x 2 2 x 1` stands in any page of formulas: an n-gram without a word is no evidence
            telling = [any(long[i : i + config.n]) for i in range(end - start)]
            own.append(np.unique(flat[start:end]))
            grams.append(np.unique(flat[start:end][np.array(telling, bool)]))
            # a question of fewer words than an n-gram has one shingle, shorter than those of any document
            distinct = {word for word, telling_word in zip(text.split(), long, strict=True) if telling_word}
            asks = len(long) >= PHRASE or any(char.isdigit() for char in text)
            enough.append(len(long) >= config.n and len(distinct) >= SHORT_WORDS and asks)
        often = Counter(np.concatenate(grams).tolist())
        for all_of_it, telling_grams, long_enough in zip(own, grams, enough, strict=True):
            few = [g for g in telling_grams.tolist() if often[g] <= config.common]
            short = len(few) < config.min_hits  # then only the whole question is evidence
            kept.append(np.array(few, np.uint64) if not short else all_of_it if long_enough else flat[:0])
            some = max(config.min_hits, config.coverage * len(few), len(few) - 1 if len(few) <= FEW else 0)
            self.needed.append(len(kept[-1]) if short else some)
        self.sizes = [len(k) for k in kept]
        self.too_short = self.sizes.count(0)
        """Questions that this rule cannot see."""
        pairs = sorted((gram, i) for i, k in enumerate(kept) for gram in k.tolist())
        self.grams = np.array([gram for gram, _ in pairs], np.uint64)
        self.owners = np.array([i for _, i in pairs], np.int64)

    def find(self, text: str) -> list[Hit]:
        """Every question that stands in the text, the best covered first."""
        tokens = words(text)
        flat, _ = shingles([" ".join(tokens)], self.config.n)
        if len(tokens) < self.config.n or not len(self.grams):
            return []
        left, right = (np.searchsorted(self.grams, flat, side) for side in ("left", "right"))
        places: dict[int, list[tuple[int, int]]] = {}  # question -> (place in the text, place in the index)
        for place in np.flatnonzero(right > left):
            for entry in range(left[place], right[place]):
                places.setdefault(int(self.owners[entry]), []).append((int(place), int(self.grams[entry])))
        found = [hit for i, hits in places.items() if (hit := self._judge(i, hits, tokens))]
        return sorted(found, key=lambda hit: (-hit.coverage, hit.set, hit.problem))

    def _judge(self, i: int, hits: list[tuple[int, int]], tokens: list[str]) -> Hit | None:
        """The stretch of the text with the most different n-grams of question `i`, if they are enough."""
        needed = self.needed[i]
        if len({gram for _, gram in hits}) < needed:
            return None
        reach = int(SLACK * self.lengths[i]) + self.config.n
        inside, first, best, where = Counter[int](), 0, 0, (0, 0)
        for place, gram in hits:
            inside[gram] += 1
            while place - hits[first][0] > reach:
                inside[hits[first][1]] -= 1
                inside += Counter()  # forgets what is at zero
                first += 1
            if len(inside) > best:
                best, where = len(inside), (hits[first][0], place)
        if best < needed:
            return None
        text = " ".join(tokens[where[0] : where[1] + self.config.n])
        return Hit(*self.problems[i], round(best / self.sizes[i], 3), text)


class ContaminationJudge:
    """Drops what holds a question, as `contaminated`; writes every hit of its task to a file of its own."""

    def __init__(self, config: Decontaminate, sets: dict[str, list[tuple[str, str]]], folder: Path) -> None:
        self.config, self.sets, self.folder = config, sets, folder

    @cached_property
    def index(self) -> Coverage:
        return Coverage(self.sets, self.config)

    def begin(self, task: int) -> None:
        (self.folder / TASKS).mkdir(exist_ok=True)
        self.evidence = open(evidence_file(self.folder, task), "w", encoding="utf-8", buffering=1)

    def __call__(self, document: Document) -> str | None:
        found = self.index.find(document.text)
        for hit in found:
            self.evidence.write(json.dumps({"id": document.id, **asdict(hit)}, ensure_ascii=False) + "\n")
        if not found:
            return None
        document.metadata["contaminated"] = [asdict(hit) for hit in found[:3]]
        return "contaminated"


def evidence_file(folder: Path, task: int) -> Path:
    return folder / TASKS / f"{task:05d}.evidence.jsonl"


@version(2)
def decontaminate_stage(config: Decontaminate, inputs: dict[str, Path], out: Path) -> dict[str, Any]:
    """inputs: `documents`, and `problems.<set>` for each benchmark. Writes evidence.jsonl beside the documents."""
    sets = {
        role.removeprefix("problems."): [(row["id"], row["question"]) for row in read_jsonl(folder / "problems.jsonl")]
        for role, folder in inputs.items()
        if role.startswith("problems.")
    }
    if not sets:
        raise ConfigError("decontaminate: no benchmarks; give decontaminate.data or decontaminate.benchmarks")
    judge = ContaminationJudge(config, sets, out)
    result = sift(judge, inputs["documents"], out, config.engine, config.drop_limit)
    files = sorted((out / TASKS).glob("*.evidence.jsonl"))
    write_text(out / EVIDENCE, "".join(file.read_text(encoding="utf-8") for file in files))
    hits = Counter(row["set"] for row in read_jsonl(out / EVIDENCE))
    index = judge.index
    return {**result, "questions": len(index.problems), "too_short": index.too_short, "hits": dict(hits)}
