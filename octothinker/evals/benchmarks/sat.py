"""SAT maths of AGIEval (Zhong et al. 2023): 32 problems with four choices, those without a figure."""

from __future__ import annotations

import re
from collections.abc import Iterator

from octothinker.evals.benchmarks import Benchmark, choices, read
from octothinker.evals.exemplars import CHOICE_4_SHOT

BENCHMARK = Benchmark(
    name="sat",
    source="AGIEval v1, sat-math",
    rows=32,
    licence="MIT (AGIEval)",
    answer="choice",
    prompt=CHOICE_4_SHOT,
    paper="letter",
)


def rows(file: str, sha256: str) -> Iterator[dict[str, str]]:
    for row in read(file, sha256):
        options = re.split(r"(?:^|\s)[A-D]\)\s*", row.text("options"))[1:]
        yield row.problem(row.text("id"), choices(row.text("question"), options), row.text("Answer"))
