"""Benchmarks, one small file each: where the rows come from, how they are asked few-shot, how the answer is read.

A benchmark is a module here with `BENCHMARK` and a function `rows`; there is no list to enter it in. The problems go the
way of all problem sets (`problems` gives the config of that stage), so a file counts by its content.
"""

from __future__ import annotations

import importlib
import json
import pkgutil
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from octothinker.config import Problems
from octothinker.data.files import sha256
from octothinker.evals.exemplars import Shot
from octothinker.typed import ConfigError, check, suggest

CONTINUATIONS = (
    *("\nQ:", "\nProblem:", "\nQuestion:", "\nUser:", "\nHuman:"),
    *("\n\n\n", "<|endoftext|>", "<|im_end|>"),
)
"""With these a base model goes on to a problem of its own; what follows is no part of the answer."""


@dataclass(frozen=True, kw_only=True)
class Benchmark:
    name: str
    source: str
    """Where it is published: data set on the hub with its split, or another place."""
    rows: int
    """In the published test split."""
    licence: str
    answer: Literal["number", "expression"]
    """How the answer is read from few-shot output (grade.verdict.Item)."""
    shots: tuple[Shot, ...]
    shot: str
    """One example; {question}, {working} and {answer} are filled in."""
    ask: str
    """The question itself, at the end of the prompt."""
    anchor: str
    """Words before the answer."""
    stop: tuple[str, ...]
    """As in the paper; end the generation."""

    def few_shot(self, question: str) -> str:
        """The exemplars and the question. Filled in literally: questions are full of braces."""
        shots = "".join(_fill(self.shot, question=q, working=w, answer=a) for q, w, a in self.shots)
        return shots + _fill(self.ask, question=question)

    def perfect(self, answer: str) -> str:
        """What a model that imitates the exemplars writes to give this answer."""
        return _fill(self.shot.removeprefix(self.ask), question="", working="So it is.", answer=answer).rstrip("\n")


def _fill(template: str, **fields: str) -> str:
    """In one pass, so that nothing inside a filled-in text is filled in again."""
    return re.sub(r"\{(\w+)\}", lambda match: fields[match[1]], template)


def find(name: str) -> Benchmark | None:
    """The benchmark of that name, or None."""
    if name not in names():
        return None
    benchmark: Benchmark = importlib.import_module(f"{__name__}.{name}").BENCHMARK
    return benchmark


def names() -> list[str]:
    return sorted(module.name for module in pkgutil.iter_modules(__path__))


def problems(name: str, data: Path) -> Problems:
    """Config of the problem set: a benchmark's file as it is published, or a file of one's own with question and answer.

    Looks for <data>/<name>/test.jsonl, then <data>/<name>.jsonl. ConfigError when neither is there.
    """
    file = next((f for f in (data / name / "test.jsonl", data / f"{name}.jsonl") if f.is_file()), None)
    if file is None:
        hint = "" if name in names() else f"; of that name there is no benchmark either{suggest(name, names())}"
        raise ConfigError(f"{name}: neither {data / name / 'test.jsonl'} nor {data / f'{name}.jsonl'} exists{hint}")
    if name not in names():
        return Problems(path=str(file))
    args = {"file": str(file), "sha256": sha256(file)}
    return Problems(generator=f"{__name__}.{name}:rows", args=args)


@dataclass(frozen=True)
class Row:
    """One line of a published file; what is missing is an error that names the place."""

    where: str
    fields: dict[str, Any]

    def text(self, name: str) -> str:
        if name not in self.fields:
            raise ConfigError(f"{self.where}: no field {name!r}; it has: {', '.join(self.fields)}")
        value = self.fields[name]
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        check(isinstance(value, (str, int, float)), f"{self.where}: field {name!r} is no text and no number")
        return str(value).strip()

    def problem(self, number: int | str, question: str, answer: str, level: str = "") -> dict[str, str]:
        return {"id": str(number), "question": question, "answer": answer, "level": level}


def read(file: str, expected: str) -> Iterator[Row]:
    """Rows of a JSONL file whose SHA-256 is the `expected` one."""
    path = Path(file)
    if sha256(path) != expected:
        raise ConfigError(f"{path}: changed since the run was planned; start the run again")
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        if line.strip():
            try:
                fields = json.loads(line)
            except json.JSONDecodeError as error:
                raise ConfigError(f"{path}: line {number}: not valid JSON: {error}") from error
            check(isinstance(fields, dict), f"{path}: line {number}: each line must be a JSON object")
            yield Row(f"{path}: line {number}", fields)
