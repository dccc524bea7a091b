"""Do the training texts and the RL prompts of a run hold problems that it is evaluated on? On for every run that evaluates.

evaluation sets -> overlap.Index of 13 and of 8 words <-- RL prompts; shards, token by token back to text
                -> contamination.jsonl (each match with its words), counts by text and set
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TextIO

from octothinker.config import Problems
from octothinker.data.overlap import Index, find
from octothinker.data.problems import read_problems
from octothinker.data.shards import Shards
from octothinker.model.tokenizer import Tokenizer
from octothinker.records import Progress
from octothinker.typed import version

WORDS = (13, 8)
DOCUMENTS = 500_000
"""Of a source that are looked at, evenly spread; `octo corpus build` looks at all of its documents."""
FILE = "contamination.jsonl"
PROMPTS = "RL prompts"


@dataclass(frozen=True, kw_only=True)
class ContaminationRun:
    """Nothing to choose. What is looked at is in the inputs: `tests.NAME` and `prompts` of `problems` stages, `shards.NAME`,
    `tokenizer`."""


@version(1)
def contamination_stage(config: ContaminationRun, inputs: dict[str, Path], out: Path) -> dict[str, Any]:
    """{"texts": {text: {"documents": looked at, "of": all, "sets": {set: {"problems", "whole", "13", "8"}}}}}: problems of
    each set that stand whole in the text; that do, or share so many words in a row with it."""
    tests = {name.removeprefix("tests."): _asked(path) for name, path in inputs.items() if name.startswith("tests.")}
    indexes = {n: Index(tests, n) for n in WORDS}
    tokenizer = Tokenizer.load(inputs["tokenizer"])
    shards = {n.removeprefix("shards."): Shards.open(p) for n, p in inputs.items() if n.startswith("shards.")}
    chosen = {name: range(0, s.documents, -(-s.documents // DOCUMENTS)) for name, s in shards.items()}
    progress, done = Progress(out, sum(map(len, chosen.values())), "documents"), 0

    def decoded(name: str) -> Iterator[tuple[str, str]]:
        nonlocal done
        for i in chosen[name]:
            yield f"document {i}", tokenizer.decode(shards[name].document(i).tolist())
            done += 1
            progress.update(done)

    prompts = _asked(inputs["prompts"]) if "prompts" in inputs else []
    texts: dict[str, Any] = {}
    with open(out / FILE, "w", encoding="utf-8") as evidence:
        if prompts:
            sets = _look(PROMPTS, prompts, tests, indexes, evidence)
            texts[PROMPTS] = {"documents": len(prompts), "of": len(prompts), "sets": sets}
        for name, found in shards.items():
            sets = _look(name, decoded(name), tests, indexes, evidence)
            texts[name] = {"documents": len(chosen[name]), "of": found.documents, "sets": sets}
    return {"texts": texts}


def _look(
    text: str,
    documents: Iterable[tuple[str, str]],
    tests: dict[str, list[tuple[str, str]]],
    indexes: dict[int, Index],
    evidence: TextIO,
) -> dict[str, dict[str, int]]:
    """The "sets" of one text; the first piece of evidence for each problem goes to `evidence`."""
    hits = {(name, kind): set[str]() for name in tests for kind in ("whole", *map(str, indexes))}
    for document in documents:
        for n, index in indexes.items():
            for match in find(index, [document]):
                places = [hits[match.set, kind] for kind in ["whole"] * match.exact + [str(n)]]
                if any(match.problem not in place for place in places):
                    row = {"in": text, "words": n, **asdict(match)}
                    evidence.write(json.dumps(row, ensure_ascii=False) + "\n")
                for place in places:
                    place.add(match.problem)
    return {
        name: {"problems": len(asked), **{kind: len(found) for (other, kind), found in hits.items() if other == name}}
        for name, asked in tests.items()
    }


def _asked(folder: Path) -> list[tuple[str, str]]:
    return [(p.id, p.question) for p in read_problems(Problems(path=str(folder / "problems.jsonl")))]
