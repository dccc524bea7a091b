"""Minerva's 272 problems of MIT OpenCourseWare (Lewkowycz et al. 2022), asked as MATH is; `ocw` are the same, few-shot.

Numeric answers are right within 1%, as Minerva's authors hold it.
"""

from __future__ import annotations

from collections.abc import Iterator

from octothinker.evals.benchmarks import Benchmark, boxes, read
from octothinker.evals.exemplars import MINERVA_4_SHOT

BENCHMARK = Benchmark(
    name="minerva_math",
    source="math-ai/minervamath, test",
    rows=272,
    licence="CC BY-NC-SA 4.0",
    answer="expression",
    prompt=MINERVA_4_SHOT,
    tolerance=0.01,
)


def rows(file: str, sha256: str) -> Iterator[dict[str, str]]:
    for row in read(file, sha256):
        yield row.problem(row.text("idx"), row.text("problem"), boxes(row.text("solution"))[-1], row.text("type"))
