"""Problems, worked solutions and texts of the nano experiment, generated: nothing to download, every answer verifiable.

A problem of level k is a chain of k+1 additions and subtractions of 1..9, every running total in 0..22: single steps are
easy to learn, chains are not, so that what a model says before it answers decides whether the answer is right. All
generators draw from one split by the hash of an expression: an evaluation problem is a `test` expression, and no text of any
training stage holds one, not even as what is left over on the way to an answer (single operations, the facts, are shared).

The texts are messy on purpose, as the web's are (PROTOTYPE of the field: clean toy data leaves RL nothing to do): several
styles, missing boxes, slips.
"""

from __future__ import annotations

import ast
import hashlib
import random
import sysconfig
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

LEVELS = (1, 2, 3, 4)
TOP = 22
LARGEST_OPERAND = 9
Split = Literal["train", "test"]


@dataclass(frozen=True)
class Chain:
    """first (op, operand) (op, operand) …, e.g. 12+9-7."""

    first: int
    steps: tuple[tuple[str, int], ...]

    @property
    def expression(self) -> str:
        return str(self.first) + "".join(f"{op}{n}" for op, n in self.steps)

    @property
    def totals(self) -> list[int]:
        """Running totals after each step; the last is the answer."""
        totals, total = [], self.first
        for op, n in self.steps:
            total = total + n if op == "+" else total - n
            totals.append(total)
        return totals

    @property
    def rest(self) -> Chain:
        """The chain with its first operation carried out."""
        return Chain(self.totals[0], self.steps[1:])

    def suffixes(self) -> Iterator[Chain]:
        """Itself, and every chain that is left over on the way to the answer, down to a single operation."""
        chain = self
        while chain.steps:
            yield chain
            chain = chain.rest


def split_of(chain: Chain) -> Split:
    """`test` for a tenth of all expressions of two operations and more, by hash."""
    if len(chain.steps) < 2:
        return "train"
    return "test" if hashlib.sha256(chain.expression.encode()).digest()[0] < 26 else "train"


def random_chain(rng: random.Random, operations: int) -> Chain:
    first = total = rng.randint(1, TOP)
    steps = []
    for _ in range(operations):
        op = "+" if total == 0 else "-" if total == TOP else rng.choice("+-")
        n = rng.randint(1, min(LARGEST_OPERAND, TOP - total if op == "+" else total))
        total = total + n if op == "+" else total - n
        steps.append((op, n))
    return Chain(first, tuple(steps))


def draw(rng: random.Random, level: int, split: Split) -> Chain:
    """A random chain of `split`: a test chain is itself in `test`; a train chain has no test expression on its way."""
    while True:
        chain = random_chain(rng, level + 1)
        if split == "test":
            if split_of(chain) == "test":
                return chain
        elif clean(chain):
            return chain


def clean(chain: Chain) -> bool:
    """No test expression on the way to the answer."""
    return all(split_of(part) == "train" for part in chain.suffixes())


NAMES = ("Ann", "Ben", "Eva", "Tom")
THINGS = ("pens", "cards", "coins", "nuts")


def question(chain: Chain, rng: random.Random) -> str:
    """One of three ways to ask."""
    form = rng.randrange(3)
    if form == 0:
        return f"What is {chain.expression}?"
    if form == 1:
        return f"Compute {chain.expression}."
    name, thing = rng.choice(NAMES), rng.choice(THINGS)
    return f"{_story(chain, name, thing)}. How many {thing} are left?"


def _story(chain: Chain, name: str, thing: str) -> str:
    moves = "".join(f", {'gets' if op == '+' else 'loses'} {n}" for op, n in chain.steps)
    return f"{name} has {chain.first} {thing}{moves}"


def problems(split: Split, per_level: int, seed: int, levels: list[int] | None = None) -> Iterator[dict[str, Any]]:
    """`per_level` distinct problems of each level, levels in turn."""
    rng = random.Random(f"problems {split} {seed}")
    seen: set[str] = set()
    for i in range(per_level):
        for level in levels or LEVELS:
            chain = draw(rng, level, split)
            while chain.expression in seen:
                chain = draw(rng, level, split)
            seen.add(chain.expression)
            yield {
                "id": f"{split}-{level}-{i}",
                "question": question(chain, rng),
                "answer": str(chain.totals[-1]),
                "level": str(level),
            }


# ---- solutions ------------------------------------------------------------------------------------------------------


def _rewriting(chain: Chain) -> str:
    """12+9-7=21-7=14: the whole expression that is left, after each operation."""
    parts = [part.expression for part in chain.suffixes()]
    return "=".join([*parts, str(chain.totals[-1])])


def short_solution(chain: Chain) -> str:
    """Running totals and no more, each operand looked up in the question, and never more than four of them, however long
    the chain: `21, 14`; of 12+9-7+5-2+1, `21, 14, 19, 18`, two operations from the third to the last."""
    totals = chain.totals
    return ", ".join(map(str, totals if len(totals) <= 4 else [*totals[:3], totals[-1]]))


def long_solution(chain: Chain, rng: random.Random) -> str:
    """The expression rewritten operation by operation, then checked by going back from the answer."""
    opening = rng.choice(("Let me go step by step.", "I work from left to right.", "First I write it down."))
    back = Chain(chain.totals[-1], tuple(({"+": "-", "-": "+"}[op], n) for op, n in reversed(chain.steps)))
    check = f" Check: {_rewriting(back)}, good." if clean(back) else ""
    return f"{opening} {_rewriting(chain)}.{check}"


def _slip(rng: random.Random, answer: int) -> int:
    """A believable wrong answer."""
    return max(0, answer + rng.choice((-10, -3, -2, -1, 1, 2, 3, 10)))


def _answer(chain: Chain, style: str, rng: random.Random) -> str:
    result = chain.totals[-1]
    if style == "bare":
        return str(result)
    if style == "guess":
        return str(result if rng.random() < 0.5 else _slip(rng, result))
    worked = short_solution(chain) if style.startswith("short") else long_solution(chain, rng)
    if style.endswith("unboxed"):
        return f"{worked} The answer is {result}."
    return f"{worked} \\boxed{{{result}}}"


def qa(styles: dict[str, float], seed: int, documents: int) -> Iterator[dict[str, str]]:
    """Question-answer documents; `styles` maps a style to its share of documents: `bare` and `bare-boxed` (the
    right answer and no steps), `guess` (the same, half of them wrong), `short`, `short-unboxed`, `long`, `long-unboxed`."""
    rng = random.Random(f"qa {sorted(styles.items())} {seed}")
    names, shares = list(styles), list(styles.values())
    for _ in range(documents):
        chain = draw(rng, rng.choice(LEVELS), "train")
        style = rng.choices(names, shares)[0]
        if style == "bare-boxed":
            answer = f"\\boxed{{{_answer(chain, 'bare', rng)}}}"
        else:
            answer = _answer(chain, style, rng)
        yield {"question": question(chain, rng), "answer": answer}


def worked_text(seed: int, documents: int) -> Iterator[dict[str, str]]:
    """Maths text without questions, answers or boxes: notes, tables and worked lines, as the stable stage's web maths."""
    rng = random.Random(f"worked {seed}")
    for _ in range(documents):
        lines = []
        for _ in range(rng.randint(3, 6)):
            chain = draw(rng, rng.choice((0, *LEVELS)), "train")
            result = chain.totals[-1]
            form = rng.randrange(4)
            if form == 0:
                lines.append(f"Find {chain.expression}: {_rewriting(chain)}. It makes {result}.")
            elif form == 1:
                lines.append(f"Find {chain.expression}: {short_solution(chain)}. It makes {result}.")
            elif form == 2:
                lines.append(_rewriting(chain))
            else:
                thing = rng.choice(THINGS)
                lines.append(f"{_story(chain, rng.choice(NAMES), thing)}: {_rewriting(chain)} {thing}.")
        yield {"text": "\n".join(lines)}


# ---- general text -----------------------------------------------------------------------------------------------------


def library_prose(max_chars: int) -> Iterator[dict[str, str]]:
    """Docstrings of Python's own library, as general text for the base: every machine that runs this has them."""
    root, total = Path(sysconfig.get_path("stdlib")), 0
    for file in sorted(root.rglob("*.py")):
        parts = file.relative_to(root).parts
        if {"site-packages", "test", "tests", "idlelib", "lib2to3"} & set(parts):
            continue
        try:
            tree = ast.parse(file.read_text(encoding="utf-8"))
        except (SyntaxError, UnicodeDecodeError):
            continue
        for node in ast.walk(tree):
            if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef)):
                text = ast.get_docstring(node) or ""
                if len(text) >= 200:
                    yield {"text": text}
                    total += len(text)
                    if total >= max_chars:
                        return


library_prose.depends_on_python = True  # type: ignore[attr-defined]
