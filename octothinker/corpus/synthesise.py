"""Problems made of documents, with worked answers that several samples (or a known answer) agree on.

    document ─ questions ─ LLM ─> "Question: …" ─┬─ `samples` solutions each ─ \\boxed{} ─ the grader ─ agreed? ─> a document
    metadata.question, metadata.answer ──────────┘

One answer of a model is an opinion; that most of several independent ones are equal (self-consistency, arXiv 2203.11171) is
evidence. Where a document brings a question and its answer, each solution is graded against that instead.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, Literal

from datatrove.data import Document

from octothinker.corpus.flow import documents, settle, shards, writer
from octothinker.corpus.instruct import fill, instruction, quoted, require, shortened
from octothinker.corpus.ledger import TASKS, Ledger
from octothinker.corpus.llm import LLM, Answer, Ask, Client
from octothinker.grade.extract import boxed
from octothinker.grade.pool import Grader, usable_gold
from octothinker.grade.verdict import Item
from octothinker.records import Progress
from octothinker.typed import check, not_identity, version

LONGEST_QUESTION = 2000
"""Characters."""


@dataclass(frozen=True, kw_only=True)
class Synthesise:
    """Questions and answers out of documents."""

    llm: LLM
    style: Literal["short", "long"] = "short"
    """`short`: worked steps, as `Question: …\\nAnswer: …`; `long`: thinking in full, as question, newline, thought."""
    per_document: int = 2
    questions: str = field(default_factory=lambda: instruction("questions"))
    """With {text} and {count} in it."""
    solve: str = ""
    """With {question} in it; empty: the one that ships for the style."""
    samples: int = 5
    """Solutions of each question."""
    agree: float = 0.6
    """Share of the samples whose answers must be equal; with a known answer, the share that must be right."""
    keep: int = 1
    """Solutions kept of each question: the shortest that are right."""
    temperature: float = 0.8
    """Of the solutions: samples that cannot differ agree on nothing."""
    max_characters: int = 8000
    """Of a document that are shown."""
    drop_limit: float = not_identity(1.0)

    def __post_init__(self) -> None:
        require("synthesise.questions", self.questions, "text", "count")
        require("synthesise.solve", self.instruction, "question")
        check(self.samples >= 2, "synthesise.samples must be at least 2: one answer agrees with itself")
        check(0 < self.agree <= 1, f"synthesise.agree={self.agree} must be over 0 and at most 1")

    @property
    def instruction(self) -> str:
        return self.solve or instruction(f"solve_{self.style}")


@dataclass(frozen=True)
class Problem:
    """`gold` is a known answer, None where agreement must stand for it."""

    document: Document
    number: int
    question: str
    gold: str | None = None


def parse_questions(text: str, limit: int) -> list[str]:
    """What stands behind `Question:` at the beginnings of lines, up to the next or a blank line; without doubles, at most
    `limit`."""
    parts = re.split(r"(?m)^[ \t]*Question:[ \t]*", text)[1:]
    found = dict.fromkeys(re.split(r"\n[ \t]*\n", part, maxsplit=1)[0].strip() for part in parts)
    return [question for question in found if 10 <= len(question) <= LONGEST_QUESTION][:limit]


def agreed(answers: Sequence[str], grader: Grader) -> tuple[str, list[int]] | None:
    """(an answer, indices of all that equal it) for the largest group of equal ones; None when none can be graded."""
    groups: list[tuple[str, list[int]]] = []
    for i, answer in enumerate(answers):
        for gold, members in groups:
            if grader.grade([Item(f"\\boxed{{{answer}}}", gold)])[0].correct is True:
                members.append(i)
                break
        else:
            if usable_gold(answer) is None:
                groups.append((answer, [i]))
    return max(groups, key=lambda group: len(group[1])) if groups else None


def right_ones(problem: Problem, answers: Sequence[Answer], agree: float, grader: Grader) -> list[int] | str:
    """The solutions whose answer holds, shortest first; or why the problem is dropped."""
    boxes = {i: boxed(a.text) for i, a in enumerate(answers) if not a.failed and a.finish == "stop"}
    given = {i: answer for i, answer in boxes.items() if answer}
    if not given:
        return "no_answer"
    if problem.gold is not None:
        verdicts = grader.grade([Item(answers[i].text, problem.gold) for i in given])
        right = [i for i, verdict in zip(given, verdicts, strict=True) if verdict.correct is True]
    else:
        places, best = list(given), agreed(list(given.values()), grader)
        right = [places[i] for i in best[1]] if best else []
    if len(right) < agree * len(answers):
        return "wrong" if problem.gold is not None else "disagree"
    return sorted(right, key=lambda i: (len(answers[i].text), i))


def render(question: str, solution: str, style: str) -> str:
    return f"{question}\n{solution.strip()}" if style == "long" else f"Question: {question}\nAnswer: {solution.strip()}"


class Synthesis:
    """One run: questions out of a document, then solutions of each."""

    def __init__(self, config: Synthesise, client: Client, grader: Grader) -> None:
        self.config, self.client, self.grader = config, client, grader
        self.problems: Counter[str] = Counter()

    def ask_questions(self, document: Document) -> list[Ask]:
        if _known(document):
            return []
        text = quoted(shortened(document.text, self.config.max_characters))
        return [Ask(fill(self.config.questions, text=text, count=str(self.config.per_document)))]

    def ask_solutions(self, question: str) -> list[Ask]:
        prompt = fill(self.config.instruction, question=quoted(question))
        return [Ask(prompt, sample, self.config.temperature) for sample in range(1, self.config.samples + 1)]

    def foreseen(self, document: Document) -> Iterator[Ask | int]:
        """All that will be asked about a document, as far as it is known: for the estimate."""
        asks = self.ask_questions(document)
        yield from asks
        answers = [self.client.known(ask) for ask in asks]
        if None in answers:
            yield from [LONGEST_QUESTION // 4] * self.config.per_document * self.config.samples
            return
        problems = self.found(document, [answer for answer in answers if answer])
        for problem in problems if not isinstance(problems, str) else []:
            yield from self.ask_solutions(problem.question)

    def found(self, document: Document, answers: list[Answer]) -> list[Problem] | str:
        known = _known(document)
        if known:
            return [Problem(document, 0, known[0], known[1])]
        if answers[0].failed:
            return f"failed_{answers[0].failed}"
        questions = parse_questions(answers[0].text, self.config.per_document)
        return [Problem(document, i, q) for i, q in enumerate(questions)] or "no_question"

    def solved(self, problem: Problem, answers: list[Answer]) -> Iterator[Document]:
        found = right_ones(problem, answers, self.config.agree, self.grader)
        self.problems[found if isinstance(found, str) else "verified"] += 1
        for i in found[: self.config.keep] if not isinstance(found, str) else []:
            text = render(problem.question, answers[i].text, self.config.style)
            id = hashlib.sha256(f"{problem.document.id}\0{problem.number}\0{i}".encode(errors="replace")).hexdigest()
            metadata = {
                "source": "synthetic",
                "made_of": problem.document.id,
                "question": problem.question,
                "answer": boxed(answers[i].text),
                "agreement": len(found) / len(answers),
                "verified_by": "agreement" if problem.gold is None else "grader",
                "model": self.config.llm.model,
            }
            yield Document(text=text, id=id[:32], metadata=metadata)


def _known(document: Document) -> tuple[str, str] | None:
    question, answer = document.metadata.get("question"), document.metadata.get("answer")
    if not (isinstance(question, str) and isinstance(answer, str)) or usable_gold(answer) is not None:
        return None
    return question.strip(), answer


@version(1)
def synthesise_stage(config: Synthesise, inputs: dict[str, Path], out: Path) -> dict[str, Any]:
    """inputs: `documents`. Writes question-and-answer documents; the ledger says of each source document whether any
    verified problem came of it."""
    files = shards(inputs["documents"])
    with Client(config.llm, out) as client, Grader() as grader:
        work = Synthesis(config, client, grader)
        estimate = client.start(
            ask for file in files for document in documents(file) for ask in work.foreseen(document)
        )
        progress = Progress(out, estimate.requests + estimate.cached, "answers")
        for task, file in enumerate(files):
            ledger = Ledger()
            with writer(out) as write:
                for new in _of_shard(work, file, ledger, progress):
                    write.write(new, rank=task)
            ledger.save(out / TASKS / f"{task:05d}.json")
        result = settle(out, len(files), config.drop_limit, inputs["documents"])
        return {**result, "problems": dict(sorted(work.problems.items())), "spent": asdict(client.spent)}


def _of_shard(work: Synthesis, file: Path, ledger: Ledger, progress: Progress) -> Iterator[Document]:
    """The new documents made of one shard; all of its questions are asked before the first of them is solved."""
    asked = work.client.answers((d, work.ask_questions(d)) for d in documents(file))
    sources = [(document, work.found(document, answers)) for document, answers in asked]
    problems = [problem for _, found in sources if not isinstance(found, str) for problem in found]
    solutions = work.client.answers((p, work.ask_solutions(p.question)) for p in problems)
    for document, found in sources:
        ledger.enter(document.text)
        made = 0
        for problem, answers in islice(solutions, 0 if isinstance(found, str) else len(found)):
            for new in work.solved(problem, answers):
                ledger.add(new.text)
                yield new
                made += 1
            progress.update(work.client.done, spent=work.client.spent.cost)
        why = found if isinstance(found, str) else "made_into_others" if made else "not_verified"
        ledger.drop(why, document.id, document.text)
