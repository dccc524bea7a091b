"""ASDiv (Miao et al. 2020): word problems of many kinds; 131 of its answers are no numbers (times, ratios, names, words)."""

from __future__ import annotations

import re
from collections.abc import Iterator

from octothinker.evals.benchmarks import Benchmark, read
from octothinker.evals.exemplars import GSM_8_SHOT

BENCHMARK = Benchmark(
    name="asdiv",
    source="EleutherAI/asdiv, validation: 2,215 of its 2,305 problems, those of the paper's evaluation",
    rows=2215,
    licence="CC BY-NC 4.0",
    answer="number",
    prompt=GSM_8_SHOT,
    paper="number",
)


def rows(file: str, sha256: str) -> Iterator[dict[str, str]]:
    """`9 (apples)` is 9; `-(1/3)` stays a number."""
    for row in read(file, sha256):
        answer = re.sub(r"(?<=\S)\s+\([^()]*\)$", "", row.text("answer"))
        question = f"{row.text('body')} {row.text('question')}"
        yield row.problem(row.text("idx"), question, answer, row.text("solution_type"))
