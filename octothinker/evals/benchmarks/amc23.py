"""AMC 12 of 2023, 40 problems with whole numbers for answers. Asked zero-shot, as in the paper."""

from __future__ import annotations

from collections.abc import Iterator

from octothinker.evals.benchmarks import Benchmark, read
from octothinker.evals.exemplars import ZERO_SHOT

BENCHMARK = Benchmark(
    name="amc23",
    source="AI-MO/aimo-validation-amc, 2023",
    rows=40,
    licence="the Mathematical Association of America's; none given",
    answer="number",
    prompt=ZERO_SHOT,
    paper="number",
)


def rows(file: str, sha256: str) -> Iterator[dict[str, str]]:
    for row in read(file, sha256):
        yield row.problem(row.text("id"), row.text("question"), row.text("answer"))
