"""MIT OpenCourseWare problems (Lewkowycz et al. 2022): physics, astronomy, economics; numeric answers are right within 1%."""

from __future__ import annotations

import re
from collections.abc import Iterator

from octothinker.evals.benchmarks import Benchmark, read
from octothinker.evals.exemplars import COURSES_4_SHOT

BENCHMARK = Benchmark(
    name="ocw",
    source="the 272 problems of Minerva's evaluation, in DeepSeekMath's form",
    rows=272,
    licence="CC BY-NC-SA 4.0",
    answer="expression",
    prompt=COURSES_4_SHOT,
    paper="courses",
    tolerance=0.01,
)


def rows(file: str, sha256: str) -> Iterator[dict[str, str]]:
    for row in read(file, sha256):
        question = re.sub(r"^Subproblem \d+: ", "", row.text("problem"))
        yield row.problem(row.text("id"), question, row.text("answer").replace("$", ""))
