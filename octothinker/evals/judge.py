"""From a response to a verdict, by our rules and by the paper's.

    response --cut where the model goes on to a problem of its own--> choice letter here, all else by the grader

A letter is read here, since it needs no equality; numbers with a tolerance too (physics to two figures). Whatever is not
plainly one of these goes to the grader (grade/pool.py), and nothing a model wrote is ever evaluated.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

from octothinker.evals import paper_rule
from octothinker.evals.benchmarks import CONTINUATIONS, Answer, PaperRule
from octothinker.grade.extract import after_anchor, answer_of, boxed, cut
from octothinker.grade.pool import Grader
from octothinker.grade.verdict import Item, Verdict

_LETTER = re.compile(
    r"[\s$(\[{*:]*(?:\\(?:text|textbf|mathrm|mathbf)\s*\{)?[\s(]*([A-E](?![A-Za-z0-9'’^_=+*/<>])|[a-e](?=\s*(?:[)\]}.$]|$)))"
)
_MENTIONED = re.compile(r"\(([A-E])\)|(?<![\w'$\\])([B-E])(?![\w'$^_=+*/<>])")
_FLOAT = re.compile(
    r"([-+]?(?:[0-9]+(?:,[0-9]{3})*\.?[0-9]*|\.[0-9]+))(?:\s*(?:e|E|(?:\\times|\\cdot|\*|x)\s*10\s*\^)\s*\{?\s*([-+]?[0-9]{1,2})\s*\}?)?"
    r"(?:\s*/\s*([0-9]+))?"
)
_UNIT = re.compile(r"\s*(?:\\(?:mathrm|text)\s*\{.*\}|[A-Za-z]*)\s*")


@dataclass(frozen=True)
class Reading:
    """A response with all that its verdict depends on."""

    response: str
    gold: str
    truncated: bool
    boxed_only: bool
    answer: Answer
    anchor: str
    tolerance: float = 0.0
    question: str = ""
    paper: PaperRule | None = None


def judge(readings: Sequence[Reading], grader: Grader) -> list[Verdict]:
    """One verdict each, in their order. The grader is asked once for all, it answers equal pairs once."""
    items = [_item(reading) for reading in readings]
    verdicts = grader.grade(items)
    for i, (reading, item) in enumerate(zip(readings, items, strict=True)):
        if verdicts[i].kind == "bad_gold":
            continue
        if reading.answer == "choice":
            letter = choice(item)
            kind = "equal" if letter == reading.gold else "different"
            missing = "truncated" if item.truncated else "no_answer"
            verdicts[i] = Verdict(letter == reading.gold, kind if letter else missing, letter)  # type: ignore[arg-type]
        elif reading.tolerance and verdicts[i].correct is not True:
            found = answer_of(item, True)
            if found is not None and close(reading.gold, found, reading.tolerance):
                verdicts[i] = Verdict(True, "equal", found)
    return verdicts


def judge_as_paper(readings: Sequence[Reading], grader: Grader) -> list[bool | None]:
    """The authors' verdicts on the same responses; None where they have no rule."""

    def same(gold: str, answer: str) -> bool:
        return grader.grade([Item(f"\\boxed{{{answer}}}", gold)])[0].correct is True

    return [
        paper_rule.correct(r.paper, r.response, r.gold, r.question, same) if r.paper is not None else None
        for r in readings
    ]


def _item(reading: Reading) -> Item:
    """The rule of few-shot output reads no further than to where the model goes on to a problem of its own."""
    if reading.boxed_only:
        return Item(reading.response, reading.gold, truncated=reading.truncated)
    whole = reading.response.lstrip()
    text = cut(whole, CONTINUATIONS)
    answer = "number" if reading.answer == "number" else "expression"
    return Item(text, reading.gold, "benchmark", reading.truncated and text == whole, answer, reading.anchor)  # type: ignore[arg-type]


def choice(item: Item) -> str | None:
    """The letter chosen: in the box; for few-shot output after the anchor, else in a box, else the last one named, if it is
    alone in its clause: a model that writes the choices down once more has chosen none."""
    places = [boxed(item.response)]
    if item.rule == "benchmark":
        places.insert(0, after_anchor(item.response, item.anchor))
    for text in places:
        match = _LETTER.match(text) if text else None
        if match:
            return match[1].upper()
    if item.rule == "boxed" or item.truncated:
        return None
    clauses = ({a or b for a, b in _MENTIONED.findall(clause)} for clause in re.split(r"[.;\n]", item.response))
    named = [letters for letters in clauses if letters]
    return named[-1].pop() if named and len(named[-1]) == 1 else None


def close(gold: str, answer: str, tolerance: float) -> bool:
    """Whether both begin with a number and these are within the relative tolerance; signs count, and zero is only zero."""
    g, a = number(gold), number(answer)
    return g is not None and a is not None and math.isclose(g, a, rel_tol=tolerance)


def number(text: str) -> float | None:
    r"""`4.5e33`, `4.5 \times 10^{33}`, `-1./3`, `$3,000$`; what is no number from its start to its end, units apart, is None."""
    plain = text.replace("$", " ").replace("\\,", "").replace("\\!", "").replace("{,}", ",").strip(" .")
    match = _FLOAT.match(plain)
    if (
        match is None
        or len(plain) > 200
        or not re.fullmatch(r"\s*(?:\\(?:mathrm|text)\s*\{.*\}|[A-Za-z]*)\s*", plain[match.end() :])
    ):
        return None
    value = float(match[1].replace(",", "")) * 10.0 ** int(match[2] or 0) / (int(match[3] or 1) or math.nan)
    return value if math.isfinite(value) else None
