"""The stages that make data: tokenizer, shards of a source, problems.

Each run config holds where its data lie, which is no part of the stage's identity, and `content`, which is: what the
data are (documents.fingerprint) and every setting of the source that decides what is made of them.
"""

from __future__ import annotations

import dataclasses
import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

from octothinker.config import Experiment, Problems, Source
from octothinker.data.documents import fingerprint, renderer, rows, texts
from octothinker.data.files import HUB, Position
from octothinker.data.problems import gradable, read_problems
from octothinker.data.shards import MANIFEST, Shards, adopt_shards, write_shards
from octothinker.model.tokenizer import Tokenizer, train_tokenizer
from octothinker.records import write_text
from octothinker.typed import ConfigError, to_json, version

ELSEWHERE = {"path", "generator", "args", "licence", "note"}  # in the fingerprint, or without effect on the result


def content_of(where: str, spec: Source | Problems) -> dict[str, Any]:
    """Identity of a source or problem set: any field of it counts unless ELSEWHERE. ConfigErrors begin with `where`."""
    try:
        if isinstance(spec, Source):
            renderer(spec)
        if spec.path and (Path(spec.path) / MANIFEST).is_file():
            return {"shards": Shards.open(Path(spec.path)).sha256}
        if spec.path and not spec.path.startswith(HUB):  # what is wrong with files at hand is said before anything runs
            next(texts(spec), None) if isinstance(spec, Source) else read_problems(spec)
        settings = {key: value for key, value in to_json(spec).items() if key not in ELSEWHERE}
        return {**fingerprint(spec), **settings}
    except ConfigError as error:
        raise ConfigError(f"{where}: {error}") from error


def check_unchanged(name: str, planned: dict[str, Any], found: dict[str, Any]) -> None:
    """The stage's key was made from `planned`: other data under that key would pass for it ever after."""
    if planned != found:
        raise ConfigError(f"{name}: changed after the run was planned; start the run again")


@dataclass(frozen=True, kw_only=True)
class TokenizerRun:
    """A tokenizer trained on the first documents of each source."""

    sources: dict[str, Source] = field(metadata={"identity": False})
    content: tuple[dict[str, Any], ...]
    """As in ShardsRun, of each source in turn."""
    vocab_size: int
    max_documents: int

    @classmethod
    def of(cls, experiment: Experiment) -> TokenizerRun:
        config = experiment.tokenizer
        assert config is not None  # there is no such stage without it
        sources = {name: experiment.sources[name] for name in config.sources}
        content = tuple(content_of(f"sources.{name}", source) for name, source in sources.items())
        return cls(sources=sources, content=content, vocab_size=config.vocab_size, max_documents=config.max_documents)


@dataclass(frozen=True, kw_only=True)
class ShardsRun:
    """The tokenised documents of one source; the tokenizer is an input."""

    source: Source = field(metadata={"identity": False})
    content: dict[str, Any]

    @classmethod
    def of(cls, experiment: Experiment, name: str) -> ShardsRun:
        source = experiment.sources[name]
        return cls(source=source, content=content_of(f"sources.{name}", source))


@dataclass(frozen=True, kw_only=True)
class ProblemsRun:
    """One problem set, checked and in one form."""

    problems: Problems = field(metadata={"identity": False})
    content: dict[str, Any]

    @classmethod
    def of(cls, experiment: Experiment, name: str) -> ProblemsRun:
        problems = experiment.problems[name]
        return cls(problems=problems, content=content_of(f"problems.{name}", problems))


@version(1)
def tokenizer_stage(config: TokenizerRun, inputs: dict[str, Path], out: Path) -> dict[str, Any]:
    """Writes a folder that Tokenizer.load reads."""

    def documents() -> Iterator[str]:
        for name, source, planned in zip(config.sources, config.sources.values(), config.content, strict=True):
            check_unchanged(f"sources.{name}", planned, content_of(f"sources.{name}", source))
            yield from islice(texts(source), config.max_documents)

    tokenizer = train_tokenizer(documents(), config.vocab_size)
    tokenizer.save(out)
    return {"vocab_size": tokenizer.vocab_size, "hash": tokenizer.hash}


@version(2)
def shards_stage(config: ShardsRun, inputs: dict[str, Path], out: Path) -> dict[str, Any]:
    """inputs: `tokenizer`, a folder. Writes a folder that Shards.open reads; a killed writer's rest is written anew."""
    check_unchanged("source", config.content, content_of("source", config.source))
    position, tokenizer = Position(), Tokenizer.load(inputs["tokenizer"])
    if "shards" in config.content:
        manifest = adopt_shards(Path(config.source.path or ""), tokenizer.hash, out)
    else:
        manifest = write_shards(texts(config.source, position), tokenizer, out, position)
    return {key: manifest[key] for key in ("documents", "tokens", "blank", "sha256")}


@version(1)
def problems_stage(config: ProblemsRun, inputs: dict[str, Path], out: Path) -> dict[str, Any]:
    """Writes problems.jsonl with rows {"id", "question", "answer", "level"}; the result lists the golds that nobody can grade
    against, which RL leaves out (rl/loop.py) and evaluation counts apart."""
    check_unchanged("problems", config.content, content_of("problems", config.problems))
    problems = read_problems(config.problems)
    lines = [json.dumps(dataclasses.asdict(problem), ensure_ascii=False) + "\n" for problem in problems]
    write_text(out / "problems.jsonl", "".join(lines))
    skipped = sum(1 for _ in rows(config.problems)) - len(problems) if config.problems.skip_empty_answers else 0
    by_level = Counter(problem.level for problem in problems)
    bad = gradable(problems)[1]
    return {"n": len(problems), "by_level": dict(sorted(by_level.items())), "skipped": skipped, "bad_golds": bad}
