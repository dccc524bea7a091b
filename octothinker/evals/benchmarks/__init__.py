"""Benchmarks, one small file each: where the rows come from, how they are asked few-shot, how the answer is read.

A benchmark is a module here with `BENCHMARK` and a function `rows`; there is no list to enter it in. The problems go the
way of all problem sets (`problems` gives the config of that stage), so a file counts by its content.
"""

from __future__ import annotations

import importlib
import pkgutil
import re
import string
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from octothinker.config import Problems
from octothinker.data.files import Position, sha256
from octothinker.data.files import find as find_files
from octothinker.data.files import read as read_rows
from octothinker.evals.exemplars import Prompt
from octothinker.grade.extract import boxed
from octothinker.typed import ConfigError, check, suggest

Answer = Literal["number", "expression", "choice"]
PaperRule = Literal["number", "math", "olympiad", "letter", "courses", "table"]

CONTINUATIONS = (
    *("\nQ:", "\nProblem:", "\nQuestion:", "\nUser:", "\nHuman:"),
    *("\n\n\n", "<|endoftext|>", "<|im_end|>"),
)
"""With these a base model goes on to a problem of its own; what follows is no part of the answer."""


@dataclass(frozen=True, kw_only=True)
class Benchmark:
    name: str
    source: str
    """Where it is published, in words: the data set and its split, or another place."""
    hub: str | None = None
    """The same for a program, `hf://datasets/owner/name@revision/file`; None: it is read from a file only."""
    rows: int
    """In the published test split."""
    licence: str
    answer: Answer
    """How the answer is read from few-shot output: a number (or, where the gold is none, the words), an expression (lists
    and several parts too), or the letter of a choice."""
    prompt: Prompt
    paper: PaperRule | None = None
    """The authors' rule for it (paper_rule.py); None: they have none."""
    tolerance: float = 0.0
    """Relative error that is forgiven a numeric answer: physics is given to some figures."""


def find(name: str) -> Benchmark | None:
    """The benchmark of that name, or None."""
    if name not in names():
        return None
    benchmark: Benchmark = importlib.import_module(f"{__name__}.{name}").BENCHMARK
    return benchmark


def names() -> list[str]:
    return sorted(module.name for module in pkgutil.iter_modules(__path__))


def available(name: str, data: Path | None) -> bool:
    """Whether `problems` would find it (a gated set on the hub may still refuse)."""
    if data is None:
        benchmark = find(name)
        return benchmark is not None and benchmark.hub is not None
    return (data / name / "test.jsonl").is_file() or (data / f"{name}.jsonl").is_file()


def problems(name: str, data: Path | None) -> Problems:
    """Config of the problem set: a benchmark's file as it is published, or a file of one's own with question and answer.

    Looks for <data>/<name>/test.jsonl, then <data>/<name>.jsonl; without `data`, for the benchmark on the hub. ConfigError
    when it is not there.
    """
    if data is None:
        benchmark = find(name)
        if benchmark is None or benchmark.hub is None:
            known = f"{name} is on no hub" if benchmark else f"{name}: no such benchmark{suggest(name, names())}"
            raise ConfigError(f"{known}; give --data FOLDER with {name}/test.jsonl")
        file = next(iter(find_files(benchmark.hub).values()))
    else:
        places = (data / name / "test.jsonl", data / f"{name}.jsonl")
        found = next((f for f in places if f.is_file()), None)
        if found is None:
            hint = "" if name in names() else f"; of that name there is no benchmark either{suggest(name, names())}"
            raise ConfigError(f"{name}: neither {places[0]} nor {places[1]} exists{hint}")
        file = found
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

    def texts(self, name: str) -> list[str]:
        """A field that is a list of texts."""
        value = self.fields.get(name)
        check(isinstance(value, list), f"{self.where}: field {name!r} is no list")
        return [str(item).strip() for item in value or []]

    def problem(self, number: int | str, question: str, answer: str, level: str = "") -> dict[str, str]:
        """An answer is one line: a line break in a published one is a space."""
        return {"id": str(number), "question": question, "answer": " ".join(answer.split()), "level": level}


def boxes(solution: str) -> list[str]:
    """What stands in the boxes of a published solution, in their order; `\boxed 5` and `\fbox{5}` are boxes there."""
    text = re.sub(r"\\boxed\s+([^\s$]+)", r"\\boxed{\1}", solution.replace("\\fbox{", "\\boxed{"))
    found = [boxed(piece) for piece in re.split(r"(?=\\boxed)", text)[1:]]
    check(None not in found and bool(found), f"a solution without a whole box: {solution[-80:]!r}")
    return [answer for answer in found if answer]


def choices(question: str, options: Iterable[str]) -> str:
    """The question with its options, lettered, in the form of the exemplars."""
    lettered = " ".join(f"({letter}) {option}" for letter, option in zip(string.ascii_uppercase, options, strict=False))
    return f"{question}\nAnswer choices: {lettered}"


def read(file: str, expected: str) -> Iterator[Row]:
    """Rows of a JSONL or parquet file whose SHA-256 is the `expected` one."""
    path = Path(file)
    if sha256(path) != expected:
        raise ConfigError(f"{path}: changed since the run was planned; start the run again")
    for row in read_rows(path, Position()):
        yield Row(row.where, row.fields)
