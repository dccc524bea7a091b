"""Do the training texts and the RL prompts of a run hold problems that it is evaluated on? On for every run that evaluates.

evaluation sets -> overlap.Index of 13 and of 8 words <-- RL prompts; shards, token by token back to text
                -> contamination.jsonl (each match with its words), counts by text and set
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

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
    """What is looked for is in the inputs: `tests.NAME` and `prompts` of the `problems` stage, `shards.NAME`, `tokenizer`."""

    words: tuple[int, ...] = WORDS


@version(1)
def contamination_stage(config: ContaminationRun, inputs: dict[str, Path], out: Path) -> dict[str, Any]:
    """{"texts": {text: {"documents": looked at, "of": all, "sets": {set: {"problems", "whole", "13", "8"}}}}}: problems of
    each set that stand whole in the text, or share so many words in a row with it."""
    tests = {name.removeprefix("tests."): _asked(path) for name, path in inputs.items() if name.startswith("tests.")}
    indexes = {n: Index(tests, n) for n in config.words}
    tokenizer = Tokenizer.load(inputs["tokenizer"])
    shards = {n.removeprefix("shards."): Shards.open(p) for n, p in inputs.items() if n.startswith("shards.")}
    every = {name: -(-found.documents // DOCUMENTS) for name, found in shards.items()}
    progress = Progress(out, sum(len(range(0, s.documents, every[name])) for name, s in shards.items()), "documents")
    done, texts = 0, dict[str, Any]()

    def decoded(name: str) -> Iterator[tuple[str, str]]:
        nonlocal done
        for i in range(0, shards[name].documents, every[name]):
            yield f"document {i}", tokenizer.decode(shards[name].document(i).tolist())
            done += 1
            progress.update(done)

    with open(out / FILE, "w", encoding="utf-8") as evidence:

        def look(text: str, documents: Iterator[tuple[str, str]], of: int) -> None:
            hits = {(name, kind): set[str]() for name in tests for kind in ("whole", *map(str, config.words))}
            looked = 0
            for document in documents:
                looked += 1
                for n, index in indexes.items():
                    for match in find(index, [document]):
                        kinds = ["whole"] * match.exact + [str(n)]
                        if not all(
                            match.problem in hits[match.set, kind] for kind in kinds
                        ):  # one piece of evidence is enough
                            evidence.write(
                                json.dumps({"in": text, "words": n, **asdict(match)}, ensure_ascii=False) + "\n"
                            )
                        for kind in kinds:
                            hits[match.set, kind].add(match.problem)
            sets = {
                name: {"problems": len(asked), **{kind: len(found) for (s, kind), found in hits.items() if s == name}}
                for name, asked in tests.items()
            }
            texts[text] = {"documents": looked, "of": of, "sets": sets}

        if "prompts" in inputs:
            prompts = _asked(inputs["prompts"])
            look(PROMPTS, iter(prompts), len(prompts))
        for name, found in shards.items():
            look(name, decoded(name), found.documents)
    return {"texts": texts}


def _asked(folder: Path) -> list[tuple[str, str]]:
    return [(p.id, p.question) for p in read_problems(Problems(path=str(folder / "problems.jsonl")))]
