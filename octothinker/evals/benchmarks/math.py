"""MATH (Hendrycks et al. 2021), all 5,000 test problems; the answer is what the solution has in its boxes.

After RL on MATH8K this set says nothing: 2,936 of its problems are in there. MATH-500 is what is left.
"""

from __future__ import annotations

from collections.abc import Iterator

from octothinker.evals.benchmarks import Benchmark, boxes, read
from octothinker.evals.exemplars import MINERVA_4_SHOT

BENCHMARK = Benchmark(
    name="math",
    source="hendrycks/competition_mathematics, test",
    rows=5000,
    licence="MIT",
    answer="expression",
    prompt=MINERVA_4_SHOT,
    paper="math",
)


def rows(file: str, sha256: str) -> Iterator[dict[str, str]]:
    for i, row in enumerate(read(file, sha256)):
        level = row.text("level").removeprefix("Level ")
        yield row.problem(i, row.text("problem"), ", ".join(dict.fromkeys(boxes(row.text("solution")))), level)
