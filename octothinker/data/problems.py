"""Problems with verifiable answers: read, and checked before anything is spent on them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from octothinker.config import Problems
from octothinker.data.documents import rows, text_field
from octothinker.data.files import find
from octothinker.grade.pool import usable_gold
from octothinker.typed import ConfigError, check


@dataclass(frozen=True)
class Problem:
    id: str
    question: str
    answer: str
    level: str
    """"" when the set has none."""


def read_problems(problems: Problems) -> list[Problem]:
    """All problems, in order. ConfigError for a row without question or answer, and for an id that comes twice.

    A row without an `id` is named by its place: `train-17` is row 17 of train.jsonl.
    """
    stem = _stem(problems)
    found: list[Problem] = []
    first: dict[str, str] = {}  # id -> where it stands
    for row in rows(problems):
        question, answer = text_field(row, problems.question).strip(), text_field(row, problems.answer).strip()
        if not answer and problems.skip_empty_answers:
            continue
        for name, text in ((problems.question, question), (problems.answer, answer)):
            hint = "; skip_empty_answers leaves such rows out" if name == problems.answer else ""
            check(bool(text), f"{row.where}: field {name!r} is empty{hint}")
        id = text_field(row, "id") if "id" in row.fields else f"{stem}-{row.number}"
        if id in first:
            raise ConfigError(f"{row.where}: id {id!r} stands already at {first[id]}")
        first[id] = row.where
        level = "" if row.fields.get(problems.level) is None else text_field(row, problems.level)
        found.append(Problem(id, question, answer, level))
    check(bool(found), f"{problems.path or problems.generator}: no problems there")
    return found


def gradable(problems: list[Problem]) -> tuple[list[Problem], list[dict[str, str]]]:
    """Those whose gold can be graded against (not empty, can stand in a box, equal to itself), and why the others' cannot:
    {"id", "gold", "why"}."""
    why = {problem.id: usable_gold(problem.answer) for problem in problems}
    bad = [{"id": p.id, "gold": p.answer, "why": reason} for p in problems if (reason := why[p.id]) is not None]
    return [p for p in problems if why[p.id] is None], bad


def _stem(problems: Problems) -> str:
    """What unnamed rows are called after; ConfigError when a folder leaves open which file is meant."""
    if problems.generator is not None:
        return problems.generator.rpartition(":")[2]
    path = problems.path or ""
    files = list(find(path))
    if len(files) > 1:
        raise ConfigError(f"problems.path={path!r}: which of {', '.join(files)}? Test and training sets never mix")
    return Path(files[0]).name.split(".")[0]
