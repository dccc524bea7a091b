"""Grade answers that lie in a file: anybody's outputs, by the rules of the rewards and of the evaluation.

{"id", "response", "gold", "kind"?}  ->  {"id", "correct", "kind", "extracted", "how", "seconds"}
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from typing import Any

from octothinker.data.documents import text_field
from octothinker.data.files import Row
from octothinker.evals.benchmarks import Answer
from octothinker.evals.judge import Reading, judge
from octothinker.grade.pool import Grader
from octothinker.grade.verdict import Item, Rule, Verdict
from octothinker.typed import ConfigError

KINDS = ("number", "expression", "choice")


def grade_rows(rows: Iterable[Row], rule: Rule, grader: Grader, places: int | None = None) -> Iterator[dict[str, Any]]:
    """One verdict a row, in their order; `seconds` is its wall-clock time. `kind`: what the gold is, a number, an expression
    (the default) or the letter of a choice. ConfigError names file, line and field."""
    for row in rows:
        id, response, gold = (text_field(row, name) for name in ("id", "response", "gold"))
        kind = row.fields.get("kind", "expression")
        if kind not in KINDS:
            raise ConfigError(f"{row.where}: field 'kind' is {kind!r}, not one of {', '.join(KINDS)}")
        began = time.perf_counter()
        verdict = _verdict(response, gold, kind, rule, grader, places)
        yield {
            "id": id,
            "correct": verdict.correct,
            "kind": verdict.kind,
            "extracted": verdict.extracted,
            "how": verdict.how,
            "seconds": round(time.perf_counter() - began, 6),
        }


def _verdict(response: str, gold: str, kind: Answer, rule: Rule, grader: Grader, places: int | None) -> Verdict:
    if rule == "whole" and kind != "choice":
        return grader.grade([Item(response, gold, rule, places=places)])[0]
    return judge([Reading(response, gold, False, rule == "boxed", kind, "answer is")], grader)[0]


def summary(verdicts: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """Counts by kind and by who decided; what cannot be graded (bad gold, timeout) is no part of the accuracy."""
    kinds: dict[str, int] = {}
    deciders: dict[str, int] = {}
    seconds: list[float] = []
    right = 0
    for row in verdicts:
        kinds[row["kind"]] = kinds.get(row["kind"], 0) + 1
        deciders[row["how"]] = deciders.get(row["how"], 0) + 1
        seconds.append(row["seconds"])
        right += row["correct"] is True
    seconds.sort()
    graded = len(seconds) - kinds.get("bad_gold", 0) - kinds.get("timeout", 0)
    return {
        "n": len(seconds),
        "graded": graded,
        "right": right,
        "accuracy": right / graded if graded else None,
        "kinds": kinds,
        "how": deciders,
        "p50": seconds[len(seconds) // 2] if seconds else None,
        "p99": seconds[int(len(seconds) * 0.99)] if seconds else None,
        "max": seconds[-1] if seconds else None,
    }
