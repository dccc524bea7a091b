"""AIME of 2025, I and II: 30 problems, each answer a whole number from 0 to 999."""

from __future__ import annotations

from collections.abc import Iterator

from octothinker.evals.benchmarks import Benchmark, read
from octothinker.evals.exemplars import ZERO_SHOT

BENCHMARK = Benchmark(
    name="aime25",
    source="math-ai/aime25, test",
    rows=30,
    licence="the Mathematical Association of America's; none given",
    answer="number",
    prompt=ZERO_SHOT,
    paper="number",
)


def rows(file: str, sha256: str) -> Iterator[dict[str, str]]:
    for row in read(file, sha256):
        yield row.problem(row.text("id"), row.text("problem"), str(int(row.text("expected_answer"))))
